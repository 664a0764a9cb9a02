"""Recurrence rules and series of the kind people make, drawn by hypothesis."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from app.domain.calendars import EventKind, EventStatus, RemoteEvent, Series

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia")
DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
LENGTH = timedelta(minutes=45)

walls = st.integers(0, 28 * 365 * 24 * 4).map(
    lambda quarters: datetime.fromisoformat("1999-01-01") + timedelta(minutes=15 * quarters)
)


@st.composite
def rules(draw):
    """Draw an RRULE line; a COUNT stands last."""
    frequency = draw(st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]))
    by_months = frequency in ("MONTHLY", "YEARLY")
    parts = [f"FREQ={frequency}", f"INTERVAL={draw(st.integers(1, 5))}", f"WKST={draw(st.sampled_from(DAYS))}"]
    days = draw(st.lists(st.sampled_from(DAYS), max_size=3, unique=True))
    # n-th weekdays and others are not mixed: dateutil, which judges here, takes that for a contradiction.
    nth = draw(st.sampled_from(["", "1", "2", "4", "5", "-1", "-2"])) if frequency == "MONTHLY" else ""
    if days:
        parts.append("BYDAY=" + ",".join(nth + day for day in days))
    if by_months and draw(st.booleans()):
        numbers = draw(st.lists(st.sampled_from([1, 2, 15, 28, 29, 30, 31, -1, -3, -31]), min_size=1, max_size=3))
        parts.append("BYMONTHDAY=" + ",".join(map(str, numbers)))
    if draw(st.booleans()):
        months = draw(st.lists(st.integers(1, 12), min_size=1, max_size=2))
        parts.append("BYMONTH=" + ",".join(map(str, months)))
    if by_months and draw(st.booleans()):
        parts.append(f"BYSETPOS={draw(st.sampled_from(['1', '-1', '2', '1,-1']))}")
    limit = draw(st.none() | st.integers(1, 60))
    return "RRULE:" + ";".join(parts) + ("" if limit is None else f";COUNT={limit}")


def series(wall, zone, *lines, length=LENGTH, exceptions=()):
    """Return a series that starts at a local time."""
    start = wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    kind, status = EventKind.MASTER, EventStatus.CONFIRMED
    times = {"start": start, "end": start + length, "time_zone": zone}
    return Series(RemoteEvent("m", kind, status, None, None, rules=lines, **times), tuple(exceptions))


def is_certain(wall, zone):
    """Return whether a local time has one reading: neither skipped nor doubled by the clock."""
    home = ZoneInfo(zone)
    readings = {wall.replace(tzinfo=home, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return len(readings) == 1
