"""Days and times in words, in the person's zone. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def zone_of(name: str) -> tzinfo:
    """Return the zone called ``name`` (IANA); UTC when it is unknown here."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def start_of_day(day: date, zone: tzinfo) -> datetime:
    """Return the first instant of ``day`` in ``zone``, as aware UTC."""
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)


def day_name(day: date, today: date) -> str:
    """Return for example ``Today, Monday 23 November``; the year only when it is another one."""
    name = f"{day:%A} {day.day} {day:%B}" + (f" {day.year}" if day.year != today.year else "")
    near = {0: "Today, ", 1: "Tomorrow, ", -1: "Yesterday, "}
    return near.get((day - today).days, "") + name


def moment(at: datetime, zone: tzinfo) -> str:
    """Return for example ``23 November 2026, 14:05``."""
    local = at.astimezone(zone)
    return f"{local.day} {local:%B %Y, %H:%M}"


def clock_time(at: datetime, zone: tzinfo) -> str:
    """Return for example ``14:05``."""
    return f"{at.astimezone(zone):%H:%M}"


def ago(at: datetime, now: datetime) -> str:
    """Return how long ago, in the largest whole unit: ``just now``, ``3 minutes ago``, ``2 days ago``."""
    passed = max(now - at, timedelta())
    for size, word in ((timedelta(days=1), "day"), (timedelta(hours=1), "hour"), (timedelta(minutes=1), "minute")):
        count = passed // size
        if count:
            return f"{count} {word}{'' if count == 1 else 's'} ago"
    return "just now"
