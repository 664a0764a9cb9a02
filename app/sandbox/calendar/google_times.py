"""Read and write the times of Google events (`start`, `end`, `originalStartTime`)."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from app.sandbox.calendar.google_errors import invalid, required
from app.sandbox.calendar.recurrence import Series, instant, wall_clock
from app.sandbox.calendar.world import Calendar, Json
from app.sandbox.calendar.zones import find_zone

_UTC = ZoneInfo("Etc/UTC")


@dataclass(frozen=True)
class Span:
    """When an event is; for all-day events the local days of the calendar's zone."""

    start: datetime
    """Aware UTC."""
    end: datetime
    """Aware UTC, exclusive."""


def zone_of(calendar: Calendar) -> ZoneInfo:
    """Return the zone of a calendar; UTC when its name is not known."""
    return find_zone(calendar.time_zone) or _UTC


def parse_moment(text: str, zone: ZoneInfo, location: str) -> datetime:
    """Return the aware UTC moment of an RFC 3339 date-time; one without offset is in `zone`.

    Raises GoogleError.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise invalid(f"Invalid value for: {location}", location) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def parse_bound(text: str, location: str) -> datetime:
    """Return the aware UTC moment of a query parameter, which must carry an offset.

    Raises GoogleError.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise invalid("Bad Request", location) from error
    if moment.tzinfo is None:
        raise invalid("Bad Request", location)
    return moment.astimezone(UTC).replace(microsecond=0)


def is_all_day(when: Json) -> bool:
    """Tell whether a `start` or `end` is a date."""
    return bool(when.get("date"))


def moment_of(when: Json, calendar: Calendar) -> datetime:
    """Return the aware UTC moment of a `start`, `end` or `originalStartTime`.

    Raises GoogleError.
    """
    zone = zone_of(calendar)
    if is_all_day(when):
        return instant(datetime.combine(_date(when), time()), zone)
    if not when.get("dateTime"):
        raise required("start.dateTime")
    named = find_zone(when["timeZone"]) if when.get("timeZone") else None
    return parse_moment(when["dateTime"], named or zone, "dateTime")


def span_of(body: Json, calendar: Calendar) -> Span:
    """Return when an event is.

    Raises GoogleError when it has no times.
    """
    if "start" not in body or "end" not in body:
        raise required("start" if "start" not in body else "end")
    return Span(moment_of(body["start"], calendar), moment_of(body["end"], calendar))


def series_of(body: Json, calendar: Calendar) -> Series:
    """Return the recurring series that a master describes.

    Raises GoogleError when it has no times.
    """
    lines = tuple(body.get("recurrence", ()))
    if is_all_day(body["start"]):
        first = _date(body["start"])
        length = _date(body["end"]) - first
        return Series(datetime.combine(first, time()), length, zone_of(calendar), is_all_day=True, lines=lines)
    named = find_zone(body["start"].get("timeZone", ""))
    zone = named or zone_of(calendar)
    span = span_of(body, calendar)
    return Series(wall_clock(span.start, zone), span.end - span.start, zone, is_all_day=False, lines=lines)


def slot_time(series: Series, slot: datetime, like: Json, calendar: Calendar, length: timedelta) -> Json:
    """Return a `start` (`length` zero) or `end` of the instance at `slot`, in the form of the master's `like`."""
    if series.is_all_day:
        return {"date": (slot + length).date().isoformat()}
    moment = instant(slot, series.zone) + length
    return {**like, "dateTime": write_moment(moment, zone_of(calendar))}


def write_moment(moment: datetime, zone: ZoneInfo) -> str:
    """Return an RFC 3339 date-time with the offset of `zone`."""
    return moment.astimezone(zone).isoformat(timespec="seconds").replace("+00:00", "Z")


def in_zone(when: Json, zone: ZoneInfo, calendar: Calendar) -> Json:
    """Return a time with its date-time written in another zone; dates stay."""
    if is_all_day(when) or not when.get("dateTime"):
        return when
    return {**when, "dateTime": write_moment(moment_of(when, calendar), zone)}


def normal(when: Json, calendar: Calendar) -> Json:
    """Return a `start` or `end` sent by a client as it is stored: offset of the calendar's zone, zone named.

    Raises GoogleError.
    """
    if not isinstance(when, dict):
        raise invalid("Invalid start or end time.")
    if is_all_day(when):
        return {"date": _date(when).isoformat()}
    if when.get("timeZone") and find_zone(when["timeZone"]) is None:
        raise invalid(f"Invalid time zone definition for: {when['timeZone']}", "timeZone")
    written = write_moment(moment_of(when, calendar), zone_of(calendar))
    return {"dateTime": written, "timeZone": when.get("timeZone") or calendar.time_zone}


def _date(when: Json) -> date:
    try:
        return date.fromisoformat(when["date"])
    except (KeyError, ValueError, TypeError) as error:
        raise invalid("Invalid value for: date", "date") from error
