"""Turn a series' local days into UTC instants and recurrence ids, a year of them in well under a millisecond.

A zone's offset is kept per day; the few days on which the clock changes are converted time by time. A time the clock
skips is read with the offset before the gap, a doubled one is the first of the two (RFC 5545 section 3.3.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Final

from app.domain.calendars import RemoteEvent, canonical_recurrence_id
from app.domain.errors import Unrepresentable
from app.domain.recurrence_rules import Moment
from app.domain.zones import find_zone

Start = tuple[str, datetime | date]
"""Recurrence id and start (UTC instant, or date when all-day) of an instance."""

_BLOCK: Final = 512
"""Days kept together."""
_LAST_DAY: Final = date.max.toordinal()


@dataclass(frozen=True, slots=True)
class Anchor:
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

    def place_days(self, days: Sequence[int]) -> list[Start]:
        """Return the instances on ascending days (ordinals), each at the time of day of DTSTART."""
        if self.zone is None:
            return [(text, day) for day, text in map(_day, days)]
        found = _instants(self.zone, self.first.time(), days)
        if days and days[0] == self.first.toordinal():
            found[0] = (canonical_recurrence_id(self.start), self.start)
        return found

    def resolve(self, moment: Moment) -> datetime | date:
        """Return where an RDATE stands on this series' time line."""
        return moment.day if self.zone is None else moment.instant(self.zone, self.first.time())


def anchor_of(master: RemoteEvent) -> Anchor:
    """Return a master's anchor. Raises ``Unrepresentable`` (``unknown_time_zone``, ``bad_time``)."""
    start, end = master.start, master.end
    if isinstance(start, datetime) and isinstance(end, datetime):
        zone = find_zone(master.time_zone) or find_zone(master.time_zone_raw)
        if zone is None:
            raise Unrepresentable("unknown_time_zone")
        return Anchor(start.astimezone(zone).replace(tzinfo=None), start, end - start, zone)
    if start is None or end is None or isinstance(start, datetime) or isinstance(end, datetime):
        raise Unrepresentable("bad_time")
    return Anchor(datetime.combine(start, time()), start, end - start, None)


def _instants(zone: tzinfo, clock: time, days: Sequence[int]) -> list[Start]:
    shifts: dict[timedelta, tuple[int, time, str]] = {}
    found: list[Start] = []
    for day in days:
        offset = _offsets(zone, day // _BLOCK)[day % _BLOCK]
        if offset is None:
            instant = datetime.combine(date.fromordinal(day), clock, zone).astimezone(UTC)
            found.append((canonical_recurrence_id(instant), instant))
            continue
        if offset not in shifts:
            shifts[offset] = _shift(clock, offset)
        ahead, utc_clock, suffix = shifts[offset]
        utc_day, text = _day(day + ahead)
        found.append((text + suffix, datetime.combine(utc_day, utc_clock)))
    return found


def _shift(clock: time, offset: timedelta) -> tuple[int, time, str]:
    """Return what an offset makes of a local time: days to add, the time in UTC, and the end of its recurrence id."""
    any_day = date(2000, 1, 1)
    moment = datetime.combine(any_day, clock, UTC) - offset
    return (moment.date() - any_day).days, moment.timetz(), canonical_recurrence_id(moment)[8:]


def _day(ordinal: int) -> tuple[date, str]:
    """Return a day and its canonical text."""
    return _days(ordinal // _BLOCK)[ordinal % _BLOCK]


@lru_cache(maxsize=256)
def _days(block: int) -> tuple[tuple[date, str], ...]:
    # The ends of the calendar repeat themselves to fill their blocks; nobody asks for what lies beyond.
    ordinals = (min(max(block * _BLOCK + at, 1), _LAST_DAY) for at in range(_BLOCK))
    return tuple((day, canonical_recurrence_id(day)) for day in map(date.fromordinal, ordinals))


@lru_cache(maxsize=1024)
def _offsets(zone: tzinfo, block: int) -> tuple[timedelta | None, ...]:
    """Return the zone's offset on each local day of a block; null when the clock changes during it."""
    return tuple(_offset(zone, block * _BLOCK + at) for at in range(_BLOCK))


def _offset(zone: tzinfo, ordinal: int) -> timedelta | None:
    if not 2 < ordinal < _LAST_DAY - 2:
        # There the conversion may leave the calendar, and must say so.
        return None
    before, after = (datetime.combine(date.fromordinal(ordinal + at), time(), zone).utcoffset() for at in (0, 1))
    return before if before == after else None
