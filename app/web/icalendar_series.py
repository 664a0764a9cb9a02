"""Which dates a series has in an iCalendar file: rules in order, and what the rules alone would get wrong. Pure.

Inside the stored window the file must expand to what is stored, whoever expanded it: a provider's own occurrences may
differ from its rules. So the rules are expanded here once more, and the differences become EXDATE and RDATE.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timezone, tzinfo

from dateutil.rrule import weekday

from app.domain.calendar_reading import ShownSeries
from app.domain.calendars import EventStatus, RemoteEvent, Series, Window
from app.domain.errors import Unrepresentable
from app.domain.recurrence import expand
from app.domain.recurrence_rules import Moment, Rule, parse_lines, read_moment
from app.domain.zones import find_zone

_LAST_SECOND = time(23, 59, 59)
_FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY")
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


@dataclass(frozen=True, slots=True)
class Dates:
    """What stands beside DTSTART."""

    rules: tuple[str, ...]
    """Values of RRULE."""
    excluded: tuple[datetime | date, ...]
    added: tuple[datetime | date, ...]


def dates_of(found: ShownSeries, master: RemoteEvent, window: Window | None) -> Dates:
    """Return rules and dates of a series; rules that say nothing here give way to the stored occurrences."""
    moved = {one.recurrence_id for one in found.exceptions if one.status is not EventStatus.CANCELLED}
    cancelled = {one.recurrence_id for one in found.exceptions if one.status is EventStatus.CANCELLED}
    stored = {one.recurrence_id: one.start for one in found.occurrences if one.recurrence_id not in moved}
    try:
        lines = parse_lines(master.rules)
        rules = tuple(_rule(rule, master) for rule in lines.rules)
        # What an EXRULE takes away is no date of the rules, and becomes an EXDATE: few programs know EXRULE.
        plain = replace(master, rules=tuple(line for line in master.rules if not line.upper().startswith("EXRULE")))
        own = () if window is None else expand(Series(plain), window, cap=100_000)
    except (Unrepresentable, ValueError, OverflowError):
        return _as_stored(stored)
    zone = zone_of_event(master)
    if any(isinstance(one, datetime) and is_nameless(one, zone) for one in (master.start, master.end)):
        # Written in UTC, where its rules would mean other days and other hours.
        return _as_stored(stored)
    expanded = {one.recurrence_id: one.start for one in own}
    excluded = [_start(one, master) for one in lines.excluded_dates]
    excluded += [_start(read_moment(one), master) for one in sorted(filter(None, cancelled))]
    added = [_start(one, master) for one in lines.dates]
    if window is not None:
        excluded += [start for key, start in expanded.items() if key not in stored and key not in moved]
        added += [start for key, start in stored.items() if key not in expanded]
    return Dates(rules, _unique(excluded), _unique(added))


def _as_stored(stored: Mapping[str, datetime | date]) -> Dates:
    return Dates((), (), _unique(stored.values()))


def is_nameless(moment: datetime, zone: tzinfo) -> bool:
    """Return whether a file has no words for a time in a zone: the second of two equal hours, or a bare offset.

    RFC 5545 section 3.3.5 takes an hour that comes twice for the first one, and wants a definition for every TZID.
    """
    is_offset = isinstance(zone, timezone) and zone is not UTC
    return is_offset or bool(moment.astimezone(zone).fold)


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


def _rule(rule: Rule, master: RemoteEvent) -> str:
    """Return a rule as RFC 5545 writes it: providers' own texts have blanks, empty parts and worse."""
    parts = {
        "FREQ": _FREQUENCIES[rule.frequency],
        "UNTIL": rule.until and _until(rule.until, master),
        "COUNT": rule.count and str(rule.count),
        "INTERVAL": str(rule.interval),
        "BYDAY": ",".join(map(_weekday, rule.weekdays)),
        **{name.upper(): ",".join(map(str, numbers)) for name, numbers in rule.by.items()},
        "WKST": _WEEKDAYS[rule.week_start],
    }
    return ";".join(f"{name}={value}" for name, value in parts.items() if value)


def _weekday(day: weekday) -> str:
    return f"{day.n or ''}{_WEEKDAYS[day.weekday]}"


def _until(moment: Moment, master: RemoteEvent) -> str:
    """Return the last moment in the type that RFC 5545 section 3.3.10 wants."""
    if not isinstance(master.start, datetime):
        return f"{moment.day:%Y%m%d}"
    return f"{moment.instant(zone_of_event(master), _LAST_SECOND):%Y%m%dT%H%M%SZ}"


def _unique(found: Iterable[datetime | date]) -> tuple[datetime | date, ...]:
    return tuple(sorted(set(found), key=str))
