"""Read Google's ``start``, ``end`` and ``originalStartTime`` objects.

Either ``date`` (all-day) or ``dateTime``, with an offset, a ``timeZone``, or both. Real calendars also hold times
without either, ends before starts, and years nobody lives in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo

from app.domain.zones import find_zone, iana_name
from app.providers.fields import Item, child, text

_OFFSET = re.compile(r"(?:Z|[+-]\d\d:\d\d)$")

Point = date | datetime
"""A date, or an aware UTC instant."""


class BadTime(ValueError):
    """A time cannot be read; the message is a code for ``RemoteEvent.problem``."""


@dataclass(frozen=True, slots=True)
class Zone:
    """The zone an event lives in."""

    name: str | None
    """IANA; null when unknown, or when ``raw`` is a fixed offset."""
    raw: str | None
    is_known: bool


def read_zone(start: Item, calendar_zone: str | None) -> Zone:
    """Return the zone of an event: its own, else that of its calendar, else the offset of its start."""
    raw = text(start, "timeZone")
    own = iana_name(raw)
    if own is not None:
        return Zone(own, raw, is_known=True)
    if find_zone(raw) is not None:
        return Zone(None, raw, is_known=True)
    home = iana_name(calendar_zone)
    if home is not None:
        return Zone(home, raw, is_known=True)
    # Right until the clocks change, which beats not knowing when somebody is busy.
    offset = _OFFSET.search(text(start, "dateTime") or "")
    if offset is None:
        return Zone(None, raw, is_known=False)
    return Zone("UTC", raw, is_known=True) if offset[0] == "Z" else Zone(None, offset[0], is_known=True)


def read_point(value: Item, zone: Zone) -> Point | None:
    """Return the date or UTC instant of a time object; null when it holds none. Raises ``BadTime``."""
    day, moment = text(value, "date"), text(value, "dateTime")
    if day is not None:
        # Old copies of calendars carry a full time under ``date``; the day is what counts.
        return _date(day[:10])
    return None if moment is None else _instant(moment, _zone_of(value, zone))


def read_span(item: Item, zone: Zone) -> tuple[Point, Point]:
    """Return start and exclusive end, repaired where they contradict each other. Raises ``BadTime``."""
    start = read_point(child(item, "start"), zone)
    if start is None:
        raise BadTime("no_time")
    try:
        end = read_point(child(item, "end"), zone)
    except BadTime:
        end = None
    return start, _repaired_end(start, end)


def _repaired_end(start: Point, end: Point | None) -> Point:
    """Return an end of the start's type: never before it, and a day later at least when all-day."""
    if isinstance(start, datetime):
        return end if isinstance(end, datetime) and end > start else start
    if end is not None and not isinstance(end, datetime) and end > start:
        return end
    try:
        return start + timedelta(days=1)
    except OverflowError as error:
        raise BadTime("absurd_time") from error


def _zone_of(value: Item, zone: Zone) -> tzinfo | None:
    return find_zone(text(value, "timeZone")) or find_zone(zone.name) or find_zone(zone.raw)


def _date(written: str) -> date:
    try:
        return date.fromisoformat(written)
    except ValueError as error:
        raise BadTime("bad_time") from error


def _instant(written: str, zone: tzinfo | None) -> datetime:
    try:
        moment = datetime.fromisoformat(written)
    except ValueError as error:
        raise BadTime("bad_time") from error
    if moment.tzinfo is None and zone is None:
        raise BadTime("floating_time")
    try:
        # Google ignores fractions of a second; so do recurrence ids.
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC).replace(microsecond=0)
    except OverflowError as error:
        raise BadTime("absurd_time") from error
