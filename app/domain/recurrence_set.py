"""The starts of a series: DTSTART, rules and RDATEs, less EXDATEs and EXRULEs (RFC 5545 section 3.8.5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from itertools import takewhile
from operator import itemgetter
from typing import Final

from app.domain.calendars import canonical_recurrence_id
from app.domain.recurrence_clock import Anchor, Start
from app.domain.recurrence_plain import plain_days
from app.domain.recurrence_rules import Moment, Rule, RuleSet
from app.domain.recurrence_walk import walk

_LAST_SECOND: Final = time(23, 59, 59)


@dataclass(slots=True)
class Excluded:
    """Starts taken out of a series: instances by recurrence id, and whole local days of a timed series."""

    anchor: Anchor
    ids: set[str] = field(default_factory=set)
    days: set[date] = field(default_factory=set)

    def add(self, moment: Moment) -> None:
        """Take out an EXDATE; a DATE on a timed series means that local day."""
        if self.anchor.zone is not None and moment.clock is None:
            self.days.add(moment.day)
        else:
            self.ids.add(canonical_recurrence_id(self.anchor.resolve(moment)))

    def leave(self, starts: Mapping[str, datetime | date]) -> list[Start]:
        """Return the starts that are left, in order: recurrence ids of one series sort by time."""
        left = sorted((found for found in starts.items() if found[0] not in self.ids), key=itemgetter(0))
        return [found for found in left if self._local_day(found[1]) not in self.days] if self.days else left

    def _local_day(self, start: datetime | date) -> date:
        return start.astimezone(self.anchor.zone).date() if isinstance(start, datetime) else start


def starts_of(anchor: Anchor, lines: RuleSet, low: datetime, high: datetime) -> Iterator[Start]:
    """Yield DTSTART, rule instances in [``low``, ``high``] and RDATEs, in no order and some twice.

    ``low`` and ``high`` are naive wall times, not before DTSTART. Raises ``Unrepresentable``.
    """
    if _starts_itself(anchor, lines):
        yield _named(anchor.start)
    for rule in lines.rules:
        yield from _rule_starts(anchor, rule, low, high)
    for moment in lines.dates:
        yield _named(anchor.resolve(moment))


def excluded_from(anchor: Anchor, lines: RuleSet, low: datetime, high: datetime) -> Excluded:
    """Return what EXDATEs and EXRULEs take out between two naive wall times. Raises ``Unrepresentable``."""
    excluded = Excluded(anchor)
    for moment in lines.excluded_dates:
        excluded.add(moment)
    for rule in lines.excluded_rules:
        excluded.ids.update(recurrence_id for recurrence_id, _ in _rule_starts(anchor, rule, low, high))
    return excluded


def _rule_starts(anchor: Anchor, rule: Rule, low: datetime, high: datetime) -> Iterable[Start]:
    days = plain_days(rule, anchor.first, low, high)
    starts = _walked(anchor, rule, low, high) if days is None else anchor.place_days(days)
    until = _until(anchor, rule)
    return starts if until is None else takewhile(lambda found: found[1] <= until, starts)


def _walked(anchor: Anchor, rule: Rule, low: datetime, high: datetime) -> Iterator[Start]:
    return (_named(anchor.place(wall)) for wall in walk(rule, anchor.first, low, high))


def _named(start: datetime | date) -> Start:
    return canonical_recurrence_id(start), start


def _starts_itself(anchor: Anchor, lines: RuleSet) -> bool:
    """Return whether DTSTART is an instance: always (section 3.8.5.3), unless every rule ended before it."""
    if not lines.rules:
        return True
    limits = [_until(anchor, rule) for rule in lines.rules]
    return any(limit is None or limit >= anchor.start for limit in limits)


def _until(anchor: Anchor, rule: Rule) -> datetime | date | None:
    """Return the last allowed start, whatever type it was written in; null when open.

    A date on a timed series means the end of that local day; a floating time is the master's; a time on an all-day
    series means its date.
    """
    if rule.until is None:
        return None
    return rule.until.day if anchor.zone is None else rule.until.instant(anchor.zone, _LAST_SECOND)
