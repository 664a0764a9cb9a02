"""Walk one recurrence rule over naive wall-clock times, bounded in time and in steps.

``dateutil`` knows the rules but not when to stop: it walks from DTSTART, and a rule that never matches (30 February)
keeps it busy until the year 9999. Both are mended here: DTSTART is advanced to the window when there is no COUNT, and
the walk happens some whole 400-year cycles ahead, near the end of the calendar, where all weekdays are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import MAXYEAR, datetime, timedelta

from dateutil.rrule import DAILY, HOURLY, MONTHLY, WEEKLY, YEARLY, rrule, weekday

from app.domain.errors import Unrepresentable
from app.domain.recurrence_rules import Rule

MOST_STEPS = 50_000
"""Instances looked at for one rule, in the window or before it: a century of days, a fraction of a second of work."""
_CYCLE_YEARS = 400
_DAY_CHOOSERS = ("byweekno", "byyearday", "bymonthday")
_STEPS: Mapping[int, timedelta] = {
    DAILY: timedelta(days=1),
    HOURLY: timedelta(hours=1),
}


def walk(rule: Rule, first: datetime, low: datetime, high: datetime) -> Iterator[datetime]:
    """Yield the rule's naive local times in [``low``, ``high``], in order; ``first`` is the naive DTSTART.

    DTSTART counts towards COUNT even when the rule does not name it (RFC 5545 section 3.3.10), but is only yielded
    when it does. UNTIL is left to the caller, who knows the zone. Raises ``Unrepresentable``.
    """
    explicit = with_defaults(rule, first)
    begin = first if rule.count is not None else _advanced(explicit, first, low)
    years = (MAXYEAR - 1 - high.year) // _CYCLE_YEARS * _CYCLE_YEARS
    taken = 0
    for step, ahead in enumerate(_instances(explicit, _shifted(begin, years))):
        if step > MOST_STEPS:
            raise Unrepresentable("too_many_instances")
        moment = _shifted(ahead, -years)
        taken += 1 if step or moment == first else 2
        if moment > high or (rule.count is not None and taken > rule.count):
            return
        if moment >= low:
            yield moment


def _instances(rule: Rule, begin: datetime) -> Iterator[datetime]:
    try:
        found = rrule(
            rule.frequency,
            dtstart=begin,
            interval=rule.interval,
            wkst=rule.week_start,
            byweekday=rule.weekdays or None,
            bysetpos=rule.by.get("bysetpos"),
            bymonth=rule.by.get("bymonth"),
            bymonthday=rule.by.get("bymonthday"),
            byyearday=rule.by.get("byyearday"),
            byweekno=rule.by.get("byweekno"),
            byhour=rule.by.get("byhour"),
            byminute=rule.by.get("byminute"),
            bysecond=rule.by.get("bysecond"),
        )
    except (ValueError, TypeError) as error:
        raise Unrepresentable("bad_rule") from error
    try:
        yield from found
    except (ValueError, OverflowError):
        # The end of the calendar, far behind every window.
        return


def with_defaults(rule: Rule, first: datetime) -> Rule:
    """Spell out what the rule takes from DTSTART, so that DTSTART can be advanced."""
    if rule.weekdays or any(rule.by.get(part) for part in _DAY_CHOOSERS):
        return rule
    if rule.frequency == WEEKLY:
        return replace(rule, weekdays=(weekday(first.weekday()),))
    if rule.frequency == MONTHLY:
        return replace(rule, by={**rule.by, "bymonthday": (first.day,)})
    if rule.frequency == YEARLY:
        return replace(rule, by={"bymonth": (first.month,), **rule.by, "bymonthday": (first.day,)})
    return rule


def _advanced(rule: Rule, first: datetime, low: datetime) -> datetime:
    """Return the start of the last period of the rule that begins before ``low``; ``first`` when that is later."""
    if low <= first:
        return first
    if rule.frequency == YEARLY:
        ahead = (low.year - first.year) // rule.interval * rule.interval
        return first.replace(year=first.year + ahead, month=1, day=1) if ahead else first
    if rule.frequency == MONTHLY:
        ahead = (low.year * 12 + low.month - first.year * 12 - first.month) // rule.interval * rule.interval
        months = first.year * 12 + first.month - 1 + ahead
        return first.replace(year=months // 12, month=months % 12 + 1, day=1) if ahead else first
    if rule.frequency == WEEKLY:
        week = first - timedelta(days=(first.weekday() - rule.week_start) % 7)
        ahead = (low - week) // timedelta(weeks=rule.interval)
        return week + ahead * timedelta(weeks=rule.interval) if ahead else first
    step = _STEPS[rule.frequency] * rule.interval
    return first + (low - first) // step * step


def _shifted(moment: datetime, years: int) -> datetime:
    return moment.replace(year=moment.year + years)
