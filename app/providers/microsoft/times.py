"""Read Graph's times: a zone-less text of seven fraction digits beside a zone name.

An all-day event is midnight to midnight in whatever zone is asked for: the date is read, the zone ignored.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from app.domain.calendars import canonical_recurrence_id
from app.domain.zones import find_zone
from app.providers.fields import Item, child, flag, instant, text
from app.providers.microsoft.zones import first_known, zone

Point = date | datetime


class BadTime(ValueError):
    """A time cannot be read; the message is a code for ``RemoteEvent.problem``."""


def read_span(item: Item, *, all_day: bool) -> tuple[Point, Point]:
    """Return start and exclusive end: dates when ``all_day``, else UTC instants. Raises ``BadTime``."""
    if all_day:
        first, last = _date(child(item, "start")), _date(child(item, "end"))
        try:
            return first, max(last, first + timedelta(days=1))
        except OverflowError as error:
            raise BadTime("absurd_time") from error
    start, end = _instant(item, "start"), _instant(item, "end")
    return start, max(start, end)


def own_zone(item: Item) -> str | None:
    """Return the IANA zone an event lives in; null when none of its names means anything.

    The series' zone first; ``start.timeZone`` last, and not when it is UTC: that is what was asked for.
    """
    shown = text(child(item, "start"), "timeZone")
    return first_known(
        text(child(child(item, "recurrence"), "range"), "recurrenceTimeZone"),
        text(item, "originalStartTimeZone"),
        text(item, "originalEndTimeZone"),
        None if shown == "UTC" else shown,
    )


def original_id(item: Item, *, all_day_series: bool) -> str | None:
    """Return the canonical recurrence id of an exception, from ``originalStart``; null when it is missing."""
    original = instant(item, "originalStart")
    if original is None:
        return None
    if not all_day_series:
        return canonical_recurrence_id(original)
    home = find_zone(first_known(text(item, "originalStartTimeZone"), text(item, "originalEndTimeZone")))
    # All-day instances give the mailbox's midnight in UTC. Without the zone, the nearest midnight is the best guess.
    local = original.astimezone(home) if home is not None else original + timedelta(hours=12)
    return canonical_recurrence_id(local.date())


def is_all_day(item: Item) -> bool:
    """Return whether an event has dates, not times."""
    return flag(item, "isAllDay")


def _date(value: Item) -> date:
    try:
        return date.fromisoformat((text(value, "dateTime") or "")[:10])
    except ValueError as error:
        raise BadTime("bad_time") from error


def _instant(item: Item, name: str) -> datetime:
    value = child(item, name)
    written = text(value, "dateTime")
    if written is None:
        raise BadTime("no_time")
    try:
        moment = datetime.fromisoformat(written)
    except ValueError as error:
        raise BadTime("bad_time") from error
    home = zone(text(value, "timeZone")) or find_zone(own_zone(item))
    if moment.tzinfo is None and home is None:
        raise BadTime("unknown_time_zone")
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=home)).astimezone(UTC).replace(microsecond=0)
    except OverflowError as error:
        raise BadTime("absurd_time") from error
