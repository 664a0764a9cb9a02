"""Turn stored series and single events into occurrences inside a window (RFC 5545 section 3.8.5).

Expansion happens in the master's wall clock; each instance is turned into UTC afterwards. A wall time the clock skips
is read with the offset before the gap (02:30 becomes 03:30, section 3.3.5), a doubled one is the first of the two, and
every instance lasts exactly as long as the master. All-day series are whole dates and know no zone.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from app.domain.calendars import Busy, EventStatus, Occurrence, RemoteEvent, Series, Window
from app.domain.errors import Unrepresentable
from app.domain.recurrence_clock import Anchor, Start, anchor_of
from app.domain.recurrence_rules import Moment, parse_lines, read_moment
from app.domain.recurrence_set import excluded_from, starts_of
from app.domain.zones import zone_data_version

# A date begins first where the clocks are 14 hours ahead of UTC and ends last where they are 12 behind.
_DATE_BEGINS_BEFORE_UTC: Final = timedelta(hours=14)
_DATE_ENDS_AFTER_UTC: Final = timedelta(hours=12)
_MARGIN: Final = timedelta(days=2)
"""Wall clocks and UTC differ by less than this, skipped days included."""
_REVISION: Final = 2


def expander_version() -> str:
    """Return what expansion depends on beside a series and a window: this code, and the zone database.

    Occurrences stored under another version must be expanded anew. ``_REVISION`` is raised by whoever changes what
    ``expand`` returns.
    """
    return f"{_REVISION}:{zone_data_version()}"


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
        occurrences = [] if master is None else _unchanged(master, series.exceptions, window, cap)
    except OverflowError as error:
        raise Unrepresentable("absurd_time") from error
    for exception in series.exceptions:
        occurrences += standalone(exception, window)
    if len(occurrences) > cap:
        raise Unrepresentable("too_many_instances")
    if series.exceptions:
        occurrences.sort(key=lambda item: (_begin(item.start), item.recurrence_id))
    return tuple(occurrences)


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


def _unchanged(master: RemoteEvent, exceptions: Iterable[RemoteEvent], window: Window, cap: int) -> list[Occurrence]:
    """Return the instances nobody changed, in order of start."""
    anchor = anchor_of(master)
    lines = parse_lines(master.rules)
    low, high = _reach(anchor, window)
    excluded = excluded_from(anchor, lines, low, high)
    for event in exceptions:
        replaced = _replaced_start(event)
        if replaced is not None:
            excluded.add(replaced)
    # Keyed by recurrence id: a date that a rule gives as well, and two wall times on one instant, are one instance.
    left = _inside(excluded.leave(dict(starts_of(anchor, lines, low, high))), anchor.length, window)
    if len(left) > cap:
        raise Unrepresentable("too_many_instances")
    series_id, all_day, length = master.provider_id, master.all_day, anchor.length
    busy = busy_of(master, anchor.start, anchor.start + length)
    return [Occurrence(series_id, id_, series_id, all_day, start, start + length, busy) for id_, start in left]


def _inside(starts: list[Start], length: timedelta, window: Window) -> list[Start]:
    """Drop what does not touch the window from both ends of the starts; what is between touches it, too."""
    first, last = 0, len(starts)
    while first < last and not touches(starts[last - 1][1], starts[last - 1][1] + length, window):
        last -= 1
    while first < last and not touches(starts[first][1], starts[first][1] + length, window):
        first += 1
    return starts[first:last]


def _reach(anchor: Anchor, window: Window) -> tuple[datetime, datetime]:
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
