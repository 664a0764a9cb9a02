"""Read and write the times of Graph events, and turn recurrence patterns into rules.

Sources: Graph v1.0 reference, resources `dateTimeTimeZone`, `recurrencePattern` and `recurrenceRange`.
"""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from app.sandbox.calendar.graph_errors import bad_request
from app.sandbox.calendar.recurrence import BadRecurrenceError, Series, wall_clock
from app.sandbox.calendar.world import Json
from app.sandbox.calendar.zones import find_zone

NEEDS_WINDOW = (
    "This request requires a time window specified by the query string parameters StartDateTime and EndDateTime."
)
"""What the service answers when a calendar view is asked for without both bounds."""
_UTC = ZoneInfo("Etc/UTC")
_INDEX = {"first": 1, "second": 2, "third": 3, "fourth": 4, "last": -1}
_LAST_DAY_OF_EVERY_MONTH = 28
_FREQUENCY = {
    "daily": "DAILY",
    "weekly": "WEEKLY",
    "absoluteMonthly": "MONTHLY",
    "relativeMonthly": "MONTHLY",
    "absoluteYearly": "YEARLY",
    "relativeYearly": "YEARLY",
}


def named_zone(name: str | None, fallback: ZoneInfo = _UTC) -> ZoneInfo:
    """Return the zone with a Windows or IANA name, `fallback` for no or an unknown name."""
    return (find_zone(name) if name else None) or fallback


def naive(when: Json) -> datetime:
    """Return the wall-clock time of a `dateTimeTimeZone`.

    Raises GraphError.
    """
    try:
        moment = datetime.fromisoformat(str(when["dateTime"]))
    except (KeyError, ValueError, TypeError) as error:
        raise bad_request("The value of dateTime is not a date and time.", "ErrorInvalidParameter") from error
    return moment.replace(tzinfo=None)


def moment_of(when: Json) -> datetime:
    """Return the aware UTC moment of a `dateTimeTimeZone`.

    Raises GraphError.
    """
    try:
        moment = datetime.fromisoformat(str(when["dateTime"]))
        # Some clients send an offset inside dateTime; it then wins over the zone beside it.
        aware = moment if moment.tzinfo else moment.replace(tzinfo=named_zone(when.get("timeZone")))
        return aware.astimezone(UTC)
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise bad_request("The value of dateTime is not a date and time.", "ErrorInvalidParameter") from error


def written(wall: datetime, zone_name: str) -> Json:
    """Return a `dateTimeTimeZone` with the seven fraction digits Graph writes."""
    return {"dateTime": f"{wall:%Y-%m-%dT%H:%M:%S}.{wall.microsecond:06d}0", "timeZone": zone_name}


def in_zone(when: Json, zone_name: str, *, is_all_day: bool) -> Json:
    """Return a time written in another zone; all-day events stay at midnight whatever the zone."""
    if when.get("timeZone") == zone_name:
        return when
    try:
        if is_all_day:
            return written(naive(when), zone_name)
        return written(wall_clock(moment_of(when), named_zone(zone_name)), zone_name)
    except OverflowError:
        return when


def parse_bound(text: str, name: str) -> datetime:
    """Return the aware UTC moment of a query parameter; one without offset is UTC.

    Raises GraphError.
    """
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise bad_request(f"The value of {name} is not a date and time.", "ErrorInvalidParameter") from error


def series_of(body: Json, mailbox_zone: ZoneInfo) -> Series:
    """Return the recurring series that a master describes.

    Raises GraphError for bad times, BadRecurrenceError for a pattern that cannot be expanded.
    """
    recurrence = body["recurrence"]
    limits = recurrence.get("range") or {}
    if body.get("isAllDay"):
        start, length, zone = naive(body["start"]), naive(body["end"]) - naive(body["start"]), mailbox_zone
    else:
        zone_name = limits.get("recurrenceTimeZone") or body.get("originalStartTimeZone")
        zone = named_zone(zone_name, named_zone(body["start"].get("timeZone")))
        begin = moment_of(body["start"])
        start, length = wall_clock(begin, zone), moment_of(body["end"]) - begin
    first = datetime.combine(_start_date(limits, start), start.time())
    line = _rule(recurrence.get("pattern") or {}, limits, first)
    return Series(first, length, zone, is_all_day=bool(body.get("isAllDay")), lines=(line,))


def slot_times(series: Series, slot: datetime) -> tuple[Json, Json]:
    """Return `start` and `end` of the occurrence at `slot`: UTC, or midnights for all-day."""
    if series.is_all_day:
        return written(slot, "UTC"), written(slot + series.length, "UTC")
    start = slot.replace(tzinfo=series.zone).astimezone(UTC).replace(tzinfo=None)
    return written(start, "UTC"), written(start + series.length, "UTC")


def _start_date(limits: Json, start: datetime) -> date:
    try:
        day = date.fromisoformat(str(limits.get("startDate")))
    except ValueError:
        return start.date()
    return start.date() if day.year == 1 else day


def _rule(pattern: Json, limits: Json, first: datetime) -> str:
    kind = str(pattern.get("type"))
    if kind not in _FREQUENCY:
        raise BadRecurrenceError(f"unknown pattern: {kind}")
    parts = [f"FREQ={_FREQUENCY[kind]}", f"INTERVAL={int(pattern.get('interval') or 1)}"]
    if kind == "weekly":
        parts += [f"BYDAY={_days(pattern, first)}", f"WKST={_day(pattern.get('firstDayOfWeek') or 'sunday')}"]
    elif kind.startswith("relative"):
        # One day a month, even when several days of the week are listed.
        parts += [f"BYDAY={_days(pattern, first)}", f"BYSETPOS={_INDEX[str(pattern.get('index') or 'first')]}"]
    elif kind.startswith("absolute"):
        parts += _month_days(int(pattern.get("dayOfMonth") or first.day))
    if kind.endswith("Yearly"):
        parts.append(f"BYMONTH={int(pattern.get('month') or first.month)}")
    return "RRULE:" + ";".join(parts + _end(limits))


def _month_days(day: int) -> list[str]:
    if day <= _LAST_DAY_OF_EVERY_MONTH:
        return [f"BYMONTHDAY={day}"]
    # Exchange takes the last day of months that are too short, where RFC 5545 would leave the month out.
    candidates = ",".join(str(number) for number in range(_LAST_DAY_OF_EVERY_MONTH, day + 1))
    return [f"BYMONTHDAY={candidates}", "BYSETPOS=-1"]


def _end(limits: Json) -> list[str]:
    kind = limits.get("type")
    if kind == "numbered":
        return [f"COUNT={int(limits.get('numberOfOccurrences') or 1)}"]
    if kind == "endDate":
        return [f"UNTIL={str(limits.get('endDate')).replace('-', '')}"]
    return []


def _days(pattern: Json, first: datetime) -> str:
    names = pattern.get("daysOfWeek") or [first.strftime("%A")]
    return ",".join(_day(name) for name in names)


def _day(name: str) -> str:
    return str(name)[:2].upper()
