"""Turn stored series and single events into occurrences inside a window (RFC 5545 section 3.8.5).

Expansion happens in the master's wall clock; each instance is turned into UTC afterwards. A wall time the clock skips
is read with the offset before the gap (02:30 becomes 03:30, section 3.3.5), a doubled one is the first of the two, and
every instance lasts exactly as long as the master. All-day series are whole dates and know no zone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

from app.domain.calendars import (
    Busy,
    EventStatus,
    Occurrence,
    RemoteEvent,
    Series,
    Window,
    canonical_recurrence_id,
)
from app.domain.errors import Unrepresentable
from app.domain.recurrence_rules import Moment, Rule, RuleSet, parse_lines, read_moment
from app.domain.recurrence_walk import walk
from app.domain.zones import find_zone

# A date begins first where the clocks are 14 hours ahead of UTC and ends last where they are 12 behind.
_DATE_BEGINS_BEFORE_UTC: Final = timedelta(hours=14)
_DATE_ENDS_AFTER_UTC: Final = timedelta(hours=12)
_MARGIN: Final = timedelta(days=2)
"""Wall clocks and UTC differ by less than this, skipped days included."""
_LAST_SECOND: Final = time(23, 59, 59)


def expand(series: Series, window: Window, cap: int = 10_000) -> tuple[Occurrence, ...]:
    """Return the occurrences of a series that touch the window, in order of start.

    Rule instances and RDATEs, less EXDATEs, EXRULEs and cancelled exceptions; then the other exceptions, wherever they
    were moved. Empty for a cancelled master, and for one with a ``problem``; without a master the exceptions stand
    alone.

    Raises ``Unrepresentable``: the rules cannot be read, or give more than ``cap`` occurrences.
    """
    master = series.master
    if master is not None and not _takes_place(master):
        return ()
    try:
        occurrences = [] if master is None else list(_unchanged(master, series.exceptions, window, cap))
    except OverflowError as error:
        raise Unrepresentable("absurd_time") from error
    for exception in series.exceptions:
        occurrences += standalone(exception, window)
    if len(occurrences) > cap:
        raise Unrepresentable("too_many_instances")
    return tuple(sorted(occurrences, key=lambda item: (_begin(item.start), item.recurrence_id)))


def standalone(event: RemoteEvent, window: Window) -> tuple[Occurrence, ...]:
    """Return the occurrence of one exception, with or without its master at hand; empty when outside the window.

    Invited to one instance of a foreign series, a person has the exception alone.
    """
    return _as_it_stands(event, window, event.series_id or event.provider_id, event.recurrence_id or "")


def single_occurrence(event: RemoteEvent, window: Window) -> tuple[Occurrence, ...]:
    """Return the occurrence of an event that does not recur; empty when cancelled or outside the window."""
    return _as_it_stands(event, window, event.provider_id, "")


def busy_of(event: RemoteEvent, start: datetime | date, end: datetime | date) -> Busy:
    """Return how an occurrence of ``event`` counts: its own class, but an empty span blocks nobody."""
    return Busy.FREE if start == end else event.busy


def touches(start: datetime | date, end: datetime | date, window: Window) -> bool:
    """Return whether a span touches the window; for dates, whether it does so anywhere on Earth."""
    if isinstance(start, datetime) and isinstance(end, datetime):
        return start < window.end and (end > window.start or start >= window.start)
    return _midnight(start) - _DATE_BEGINS_BEFORE_UTC < window.end and (
        _midnight(end) + _DATE_ENDS_AFTER_UTC > window.start
    )


@dataclass(frozen=True, slots=True)
class _Anchor:
    """Where a series starts, and how its wall times become instants or dates."""

    first: datetime
    """Naive wall-clock DTSTART; midnight when all-day."""
    start: datetime | date
    length: timedelta
    zone: tzinfo | None
    """Null when all-day."""

    def place(self, wall: datetime) -> datetime | date:
        """Return the instant (UTC) or date of a naive wall time."""
        if self.zone is None:
            return wall.date()
        if wall == self.first:
            # In a doubled hour the provider's own instant says which of the two was meant.
            return self.start
        return wall.replace(tzinfo=self.zone).astimezone(UTC)

    def resolve(self, moment: Moment) -> datetime | date:
        """Return where an RDATE stands on this series' time line."""
        return moment.day if self.zone is None else moment.instant(self.zone, self.first.time())

    def end_of(self, start: datetime | date) -> datetime | date:
        """Return the exclusive end of an instance."""
        return start + self.length


@dataclass(slots=True)
class _Excluded:
    """Starts taken out of a series: instants, and whole local days."""

    anchor: _Anchor
    instants: set[datetime] = field(default_factory=set)
    days: set[date] = field(default_factory=set)

    def add(self, moment: Moment) -> None:
        """Take out an EXDATE; a DATE on a timed series means that local day."""
        if self.anchor.zone is None or moment.clock is None:
            self.days.add(moment.day)
        else:
            self.instants.add(moment.instant(self.anchor.zone, moment.clock))

    def add_start(self, start: datetime | date) -> None:
        """Take out one start that a rule gave."""
        if isinstance(start, datetime):
            self.instants.add(start)
        else:
            self.days.add(start)

    def covers(self, start: datetime | date) -> bool:
        """Return whether the instance starting at ``start`` is taken out."""
        if not isinstance(start, datetime):
            return start in self.days
        return start in self.instants or (bool(self.days) and start.astimezone(self.anchor.zone).date() in self.days)


def _unchanged(
    master: RemoteEvent, exceptions: Iterable[RemoteEvent], window: Window, cap: int
) -> Iterator[Occurrence]:
    """Yield the instances nobody changed."""
    anchor = _anchor(master)
    lines = parse_lines(master.rules)
    low, high = _reach(anchor, window)
    excluded = _excluded(anchor, lines, low, high)
    for event in exceptions:
        replaced = _replaced_start(event)
        if replaced is not None:
            excluded.add(replaced)
    starts: set[datetime | date] = set()
    for start in _starts(anchor, lines, low, high):
        if start in starts or excluded.covers(start) or not touches(start, anchor.end_of(start), window):
            continue
        starts.add(start)
        if len(starts) > cap:
            raise Unrepresentable("too_many_instances")
        yield _occurrence(master, master.provider_id, canonical_recurrence_id(start), start, anchor.end_of(start))


def _starts(anchor: _Anchor, lines: RuleSet, low: datetime, high: datetime) -> Iterator[datetime | date]:
    if _starts_itself(anchor, lines):
        yield anchor.start
    for rule in lines.rules:
        yield from _rule_starts(anchor, rule, low, high)
    for moment in lines.dates:
        yield anchor.resolve(moment)


def _rule_starts(anchor: _Anchor, rule: Rule, low: datetime, high: datetime) -> Iterator[datetime | date]:
    until = _until(anchor, rule)
    for wall in walk(rule, anchor.first, low, high):
        start = anchor.place(wall)
        if until is not None and start > until:
            return
        yield start


def _starts_itself(anchor: _Anchor, lines: RuleSet) -> bool:
    """Return whether DTSTART is an instance: always (section 3.8.5.3), unless every rule ended before it."""
    if not lines.rules:
        return True
    limits = [_until(anchor, rule) for rule in lines.rules]
    return any(limit is None or limit >= anchor.start for limit in limits)


def _until(anchor: _Anchor, rule: Rule) -> datetime | date | None:
    """Return the last allowed start, whatever type it was written in; null when open.

    A date on a timed series means the end of that local day; a floating time is the master's; a time on an all-day
    series means its date.
    """
    if rule.until is None:
        return None
    return rule.until.day if anchor.zone is None else rule.until.instant(anchor.zone, _LAST_SECOND)


def _excluded(anchor: _Anchor, lines: RuleSet, low: datetime, high: datetime) -> _Excluded:
    excluded = _Excluded(anchor)
    for moment in lines.excluded_dates:
        excluded.add(moment)
    for rule in lines.excluded_rules:
        for start in _rule_starts(anchor, rule, low, high):
            excluded.add_start(start)
    return excluded


def _anchor(master: RemoteEvent) -> _Anchor:
    start, end = master.start, master.end
    if isinstance(start, datetime) and isinstance(end, datetime):
        zone = find_zone(master.time_zone) or find_zone(master.time_zone_raw)
        if zone is None:
            raise Unrepresentable("unknown_time_zone")
        return _Anchor(start.astimezone(zone).replace(tzinfo=None), start, end - start, zone)
    if start is None or end is None or isinstance(start, datetime) or isinstance(end, datetime):
        raise Unrepresentable("bad_time")
    return _Anchor(datetime.combine(start, time()), start, end - start, None)


def _reach(anchor: _Anchor, window: Window) -> tuple[datetime, datetime]:
    """Return the naive wall times between which instances can touch the window."""
    earliest = window.start.replace(tzinfo=None) - _MARGIN
    low = earliest - anchor.length if earliest - anchor.first > anchor.length else anchor.first
    return low, window.end.replace(tzinfo=None) + _MARGIN


def _as_it_stands(event: RemoteEvent, window: Window, series_id: str, recurrence_id: str) -> tuple[Occurrence, ...]:
    if not _takes_place(event) or event.start is None or event.end is None:
        return ()
    try:
        if not touches(event.start, event.end, window):
            return ()
    except OverflowError:
        # The first or last days of the calendar: real calendars hold them, no window does.
        return ()
    return (_occurrence(event, series_id, recurrence_id, event.start, event.end),)


def _occurrence(
    event: RemoteEvent, series_id: str, recurrence_id: str, start: datetime | date, end: datetime | date
) -> Occurrence:
    return Occurrence(
        series_id=series_id,
        recurrence_id=recurrence_id,
        source_id=event.provider_id,
        all_day=event.all_day,
        start=start,
        end=end,
        busy=busy_of(event, start, end),
    )


def _replaced_start(exception: RemoteEvent) -> Moment | None:
    """Return the start of the instance an exception takes the place of; null when it does not, or nobody knows.

    One that cannot be represented does not: the unchanged instance is the better guess at when somebody is busy.
    """
    if exception.problem is not None and exception.status is not EventStatus.CANCELLED:
        return None
    return read_moment(exception.recurrence_id) if exception.recurrence_id else None


def _takes_place(event: RemoteEvent) -> bool:
    return event.status is not EventStatus.CANCELLED and event.problem is None


def _begin(start: datetime | date) -> datetime:
    # An exception may turn one instance of a timed series into an all-day one.
    return start if isinstance(start, datetime) else _midnight(start)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
