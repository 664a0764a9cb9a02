"""Expansion against a plain reading of RFC 5545, for rules nobody thought of."""

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

from dateutil.rrule import rrulestr
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.domain.calendars import Window
from app.domain.errors import Unrepresentable
from app.domain.recurrence import expand
from app.domain.recurrence_clock import Anchor
from app.domain.recurrence_plain import plain_days
from app.domain.recurrence_rules import parse_lines
from app.domain.recurrence_walk import walk
from tests.unit.domain.drawn_rules import ZONES, is_certain, rules, series, walls

MINUTES_OF_YEARS = 12 * 366 * 24 * 60


def plainly(wall, zone, rule, window):
    """Return the starts by walking the whole rule from its own beginning.

    The start counts towards COUNT even beside its rule. All happens 19 times 400 years later, where the weekdays are
    the same and the end of the calendar, which dateutil runs to when a rule never matches, is near.
    """
    home, later = ZoneInfo(zone), 19 * 400
    limit = window.end.replace(tzinfo=None) + timedelta(days=2)
    body = rrulestr(rule.split(";COUNT=")[0], dtstart=wall.replace(year=wall.year + later))
    count = int(rule.split(";COUNT=")[1]) if "COUNT" in rule else None
    walls_found = [wall]
    for ahead in body.xafter(wall.replace(year=wall.year + later), inc=False):
        moment = ahead.replace(year=ahead.year - later)
        if moment > limit or (count is not None and len(walls_found) >= count):
            break
        walls_found.append(moment)
    instants = {moment.replace(tzinfo=home).astimezone(UTC) for moment in walls_found}
    return sorted(i for i in instants if i < window.end and i + timedelta(minutes=45) > window.start)


@settings(max_examples=150, deadline=None)
@given(rules(), walls, st.integers(0, MINUTES_OF_YEARS), st.integers(0, MINUTES_OF_YEARS // 4))
def test_plain_rules_are_computed_to_what_walking_them_gives(line, first, ahead, span):
    [rule] = parse_lines([line]).rules
    low = first + timedelta(minutes=ahead)
    high = low + timedelta(minutes=span)

    days = plain_days(rule, first, low, high)

    assume(days is not None)
    computed = [datetime.combine(date.fromordinal(day), first.time()) for day in days]
    assert computed == list(walk(rule, first, low, high))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(available_timezones())), st.times(), walls)
def test_days_are_placed_as_single_times_are_in_every_zone(name, clock, wall):
    # The first is far away, so that no instance stands for itself.
    zone, begin = ZoneInfo(name), wall.toordinal()
    anchor = Anchor(datetime.combine(date(1900, 1, 1), clock), wall.astimezone(UTC), timedelta(), zone)
    days = range(begin, begin + 400)

    placed = [start for _, start in anchor.place_days(days)]

    walls_of_days = [datetime.combine(date.fromordinal(day), clock, zone) for day in days]
    assert placed == [wall.astimezone(UTC) for wall in walls_of_days]


@settings(max_examples=150, deadline=None)
@given(rules(), walls, st.sampled_from(ZONES), st.integers(2000, 2027))
def test_expansion_is_the_plain_walk_seen_through_the_window(rule, wall, zone, year):
    window = Window(datetime(year, 2, 3, 4, tzinfo=UTC), datetime(year, 11, 5, 6, tzinfo=UTC))
    assume(is_certain(wall, zone))

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
