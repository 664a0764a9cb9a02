"""Expansion against a plain reading of RFC 5545, for rules nobody thought of."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.calendars import EventKind, EventStatus, RemoteEvent, Series, Window
from app.domain.errors import Unrepresentable
from app.domain.recurrence import expand

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")
DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


@st.composite
def rules(draw):
    """Draw a rule of the kind people make."""
    frequency = draw(st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]))
    parts = [f"FREQ={frequency}", f"INTERVAL={draw(st.integers(1, 5))}", f"WKST={draw(st.sampled_from(DAYS))}"]
    days = draw(st.lists(st.sampled_from(DAYS), max_size=3, unique=True))
    if days:
        parts.append(f"BYDAY={','.join(days)}")
    if frequency in ("MONTHLY", "YEARLY") and draw(st.booleans()):
        parts.append(f"BYMONTHDAY={draw(st.sampled_from([1, 15, 29, 31, -1]))}")
    if draw(st.booleans()):
        parts.append(f"BYMONTH={draw(st.integers(1, 12))}")
    if draw(st.booleans()):
        parts.append(f"COUNT={draw(st.integers(1, 40))}")
    return "RRULE:" + ";".join(parts)


walls = st.integers(0, 28 * 365 * 24 * 60).map(
    lambda minutes: datetime.fromisoformat("1999-01-01") + timedelta(minutes=minutes)
)


def series(wall, zone, *lines, length=timedelta(minutes=45)):
    start = wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    return Series(
        RemoteEvent(
            "m",
            EventKind.MASTER,
            EventStatus.CONFIRMED,
            None,
            None,
            start=start,
            end=start + length,
            time_zone=zone,
            rules=lines,
        )
    )


def plainly(wall, zone, rule, window):
    """Return the starts by walking the whole rule from its own beginning.

    The start counts towards COUNT even beside its rule.
    """
    home = ZoneInfo(zone)
    limit = window.end.replace(tzinfo=None) + timedelta(days=2)
    body = rrulestr(rule.split(";COUNT=")[0], dtstart=wall)
    count = int(rule.split(";COUNT=")[1]) if "COUNT" in rule else None
    walls_found = [wall]
    for moment in body.xafter(wall, inc=False):
        if moment > limit or (count is not None and len(walls_found) >= count):
            break
        walls_found.append(moment)
    instants = {moment.replace(tzinfo=home).astimezone(UTC) for moment in walls_found}
    return sorted(i for i in instants if i < window.end and i + timedelta(minutes=45) > window.start)


@settings(max_examples=150, deadline=None)
@given(rules(), walls, st.sampled_from(ZONES), st.integers(2000, 2027))
def test_expansion_is_the_plain_walk_seen_through_the_window(rule, wall, zone, year):
    window = Window(datetime(year, 2, 3, 4, tzinfo=UTC), datetime(year, 11, 5, 6, tzinfo=UTC))
    # A wall time that the clock skips or doubles at the very start has two readings; the others have one.
    home = ZoneInfo(zone)
    if wall.replace(tzinfo=home).astimezone(UTC).astimezone(home).replace(tzinfo=None) != wall:
        return

    found = expand(series(wall, zone, rule), window)

    assert [o.start for o in found] == plainly(wall, zone, rule, window)


@settings(max_examples=60, deadline=None)
@given(rules(), walls, st.sampled_from(ZONES), st.integers(1, 60 * 48))
def test_every_occurrence_lasts_exactly_as_long_as_its_master(rule, wall, zone, minutes):
    window = Window(datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC))

    found = expand(series(wall, zone, rule, length=timedelta(minutes=minutes)), window)

    assert all(o.end - o.start == timedelta(minutes=minutes) for o in found)
    assert len({o.recurrence_id for o in found}) == len(found)


@settings(max_examples=60, deadline=None)
@given(rules(), walls, st.sampled_from(ZONES), st.integers(2, 300))
def test_two_windows_side_by_side_see_what_one_sees(rule, wall, zone, days):
    start, end = datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)
    middle = start + timedelta(days=days)
    subject = series(wall, zone, rule)

    halves = {*expand(subject, Window(start, middle)), *expand(subject, Window(middle, end))}

    assert halves == set(expand(subject, Window(start, end)))


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="RUEXDATE:;=FQ,0123456789TZMOWYBINCLVP- \n", max_size=60))
def test_no_line_of_text_escapes_the_typed_problem(text):
    window = Window(datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 3, 1, tzinfo=UTC))

    for line in (text, f"RRULE:{text}", f"RRULE:FREQ=MONTHLY;{text}", f"EXDATE:{text}"):
        with suppress(Unrepresentable):
            expand(series(datetime.fromisoformat("2025-01-01T09:00"), "UTC", line), window)
