"""Which dates a series has in an iCalendar file: rules in order, and what the rules alone would get wrong. Pure.

Inside the stored window the file must expand to what is stored, whoever expanded it: a provider's own occurrences may
differ from its rules. So the rules are expanded here once more, and the differences become EXDATE and RDATE.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo

from app.domain.calendar_reading import ShownSeries
from app.domain.calendars import EventStatus, RemoteEvent, Series, Window
from app.domain.errors import Unrepresentable
from app.domain.recurrence import expand
from app.domain.recurrence_rules import Moment, parse_lines, read_moment
from app.domain.zones import find_zone

_LAST_SECOND = time(23, 59, 59)
_DROPPED = ("RSCALE", "SKIP", "X-")


@dataclass(frozen=True, slots=True)
class Dates:
    """What stands beside DTSTART."""

    rules: tuple[str, ...]
    """Values of RRULE."""
    excluded: tuple[datetime | date, ...]
    added: tuple[datetime | date, ...]


def dates_of(found: ShownSeries, master: RemoteEvent, window: Window | None) -> Dates:
    """Return rules and dates of a series; rules that cannot be read give way to the stored occurrences."""
    moved = {one.recurrence_id for one in found.exceptions if one.status is not EventStatus.CANCELLED}
    cancelled = {one.recurrence_id for one in found.exceptions if one.status is EventStatus.CANCELLED}
    stored = {one.recurrence_id: one.start for one in found.occurrences if one.recurrence_id not in moved}
    try:
        lines, rules = parse_lines(master.rules), _rules(master)
        own = () if window is None else expand(Series(master), window, cap=100_000)
    except Unrepresentable:
        return Dates((), (), tuple(sorted(stored.values(), key=str)))
    expanded = {one.recurrence_id: one.start for one in own}
    excluded = [_start(one, master) for one in lines.excluded_dates]
    excluded += [_start(read_moment(one), master) for one in sorted(filter(None, cancelled))]
    added = [_start(one, master) for one in lines.dates]
    if window is not None:
        excluded += [start for key, start in expanded.items() if key not in stored and key not in moved]
        added += [start for key, start in stored.items() if key not in expanded]
    return Dates(rules, _unique(excluded), _unique(added))


def recurrence_start(exception: RemoteEvent, master: RemoteEvent | None) -> datetime | date | None:
    """Return what RECURRENCE-ID says of an exception; null when nobody knows."""
    if exception.recurrence_id is None:
        return None
    return _start(read_moment(exception.recurrence_id), master or exception)


def zone_of_event(event: RemoteEvent) -> tzinfo:
    """Return the zone an event's times are written in."""
    return find_zone(event.time_zone) or find_zone(event.time_zone_raw) or UTC


def _start(moment: Moment, master: RemoteEvent) -> datetime | date:
    """Return a date or time of a series in the type and zone of its DTSTART."""
    if not isinstance(master.start, datetime):
        return moment.day
    zone = zone_of_event(master)
    return moment.instant(zone, master.start.astimezone(zone).time())


def _rules(master: RemoteEvent) -> tuple[str, ...]:
    found = (line.partition(":") for line in master.rules)
    return tuple(_rule(value, master) for name, _, value in found if name.upper() == "RRULE")


def _rule(value: str, master: RemoteEvent) -> str:
    """Return a rule with UNTIL in the type that RFC 5545 section 3.3.10 wants, without what no reader knows."""
    parts = [part.partition("=") for part in value.split(";") if part]
    kept = [(name.strip().upper(), text.strip()) for name, _, text in parts]
    return ";".join(
        f"{name}={_until(text, master) if name == 'UNTIL' else text}"
        for name, text in kept
        if text and not name.startswith(_DROPPED) and not (name == "COUNT" and int(text) <= 0)
    )


def _until(text: str, master: RemoteEvent) -> str:
    moment = read_moment(text)
    if not isinstance(master.start, datetime):
        return f"{moment.day:%Y%m%d}"
    return f"{moment.instant(zone_of_event(master), _LAST_SECOND):%Y%m%dT%H%M%SZ}"


def _unique(found: Iterable[datetime | date]) -> tuple[datetime | date, ...]:
    return tuple(sorted(set(found), key=str))
