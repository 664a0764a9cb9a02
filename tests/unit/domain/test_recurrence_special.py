"""The days on which calendars differ: clock changes, skipped and rare days, odd lines."""

from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from app.domain.calendars import EventKind, EventStatus, RemoteEvent, Series, Window
from app.domain.recurrence import expand
from tests.unit.domain.drawn_rules import series

CHANGES = [
    ("Europe/Berlin", date(2025, 3, 30), date(2025, 10, 26)),
    ("Europe/Dublin", date(2025, 3, 30), date(2025, 10, 26)),
    ("America/New_York", date(2025, 3, 9), date(2025, 11, 2)),
    # Clocks change at midnight, by half an hour, and in the other half of the year.
    ("America/Santiago", date(2025, 9, 7), date(2025, 4, 6)),
    ("Australia/Lord_Howe", date(2025, 10, 5), date(2025, 4, 6)),
    ("Australia/Sydney", date(2025, 10, 5), date(2025, 4, 6)),
]
QUARTER, DAY = timedelta(minutes=15), timedelta(days=1)
ALWAYS = Window(datetime(2000, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC))


def read_off_a_clock(zone, day):
    """Return the first instant of every local time of the days around ``day``, by watching a clock go by."""
    seen = defaultdict(list)
    now = datetime.combine(day - 4 * DAY, time(), UTC)
    while now < datetime.combine(day + 5 * DAY, time(), UTC):
        seen[now.astimezone(ZoneInfo(zone)).replace(tzinfo=None)].append(now)
        now += QUARTER
    return {wall: instants[0] for wall, instants in seen.items()}


@pytest.mark.parametrize(("zone", "day"), [(zone, day) for zone, *days in CHANGES for day in days])
def test_every_time_of_a_week_with_a_clock_change(zone, day):
    clock = read_off_a_clock(zone, day)
    for quarter in range(96):
        wall = datetime.combine(day - 3 * DAY, time()) + quarter * QUARTER
        walls = [wall + number * DAY for number in range(7)]
        # A skipped time is read as if the clock had not changed: just as long after the day before.
        expected = [clock.get(each) or clock[each - DAY] + DAY for each in walls]

        found = expand(series(wall, zone, "RRULE:FREQ=DAILY;COUNT=7", length=2 * QUARTER), ALWAYS)

        assert [one.start for one in found] == expected
        assert {one.end - one.start for one in found} == {2 * QUARTER}
        assert len({one.recurrence_id for one in found}) == 7


@pytest.mark.parametrize(
    ("first", "rule", "days"),
    [
        ("2024-02-29", "FREQ=YEARLY;COUNT=3", "2024-02-29 2028-02-29 2032-02-29"),
        ("2024-02-29", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=-1;COUNT=3", "2024-02-29 2025-02-28 2026-02-28"),
        ("2025-01-31", "FREQ=MONTHLY;COUNT=4", "2025-01-31 2025-03-31 2025-05-31 2025-07-31"),
        ("2025-01-31", "FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=3", "2025-01-31 2025-02-28 2025-03-31"),
        # What Outlook means by the 31st of every month.
        (
            "2025-01-31",
            "FREQ=MONTHLY;BYMONTHDAY=28,29,30,31;BYSETPOS=-1;COUNT=4",
            "2025-01-31 2025-02-28 2025-03-31 2025-04-30",
        ),
        ("2025-01-31", "FREQ=MONTHLY;BYDAY=5FR;COUNT=3", "2025-01-31 2025-05-30 2025-08-29"),
        ("2025-06-02", "FREQ=MONTHLY;BYDAY=1MO,FR;COUNT=4", "2025-06-02 2025-06-06 2025-06-13 2025-06-20"),
        # Only long years have a week 53, and its Friday is the next year's first day.
        ("2015-12-28", "FREQ=YEARLY;BYWEEKNO=53;BYDAY=MO;COUNT=3", "2015-12-28 2020-12-28 2026-12-28"),
        ("2016-01-01", "FREQ=YEARLY;BYWEEKNO=53;BYDAY=FR;COUNT=3", "2016-01-01 2021-01-01 2027-01-01"),
        ("2025-06-02", "FREQ=DAILY;COUNT=-1;UNTIL=20250603", "2025-06-02 2025-06-03"),
        ("2025-06-02", "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO;WKST=SU;COUNT=3", "2025-06-02 2025-06-15 2025-06-16"),
        ("2025-06-02", "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO;WKST=MO;COUNT=3", "2025-06-02 2025-06-08 2025-06-16"),
        ("2025-06-02", "FREQ=DAILY;UNTIL=20250601", ""),
    ],
)
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_rare_days(first, rule, days, zone):
    start = datetime.combine(date.fromisoformat(first), time(9))
    subject = series(start, zone, f"RRULE:{rule}") if zone else all_day(start.date(), f"RRULE:{rule}")

    assert " ".join(f"{one.start:%Y-%m-%d}" for one in expand(subject, ALWAYS)) == days


def all_day(first, *lines, exceptions=()):
    kind, status = EventKind.MASTER, EventStatus.CONFIRMED
    times = {"all_day": True, "start": first, "end": first + DAY}
    return Series(RemoteEvent("m", kind, status, None, None, rules=lines, **times), tuple(exceptions))


def test_a_week_of_samoa_has_no_instance_twice_at_any_time_of_day():
    for hour in range(24):
        wall = datetime(2011, 12, 27, hour)  # noqa: DTZ001 - a local time
        window = Window(datetime(2011, 12, 1, tzinfo=UTC), datetime(2012, 2, 1, tzinfo=UTC))

        found = [one.start for one in expand(series(wall, "Pacific/Apia", "RRULE:FREQ=DAILY;COUNT=7"), window)]

        # The seven wall dates hold one that never was; its instance falls on the next one's.
        assert found == [found[0] + number * DAY for number in range(6)]


def test_an_exception_may_turn_a_timed_instance_into_a_whole_day_and_back():
    wall = datetime(2025, 6, 2, 10)  # noqa: DTZ001 - a local time
    kind, status = EventKind.EXCEPTION, EventStatus.CONFIRMED
    whole = {"all_day": True, "start": date(2025, 6, 3), "end": date(2025, 6, 4)}
    timed = {"start": datetime(2025, 6, 3, 8, tzinfo=UTC), "end": datetime(2025, 6, 3, 9, tzinfo=UTC)}
    to_day = RemoteEvent("x", kind, status, "m", "20250603T080000Z", **whole)
    to_time = RemoteEvent("x", kind, status, "m", "20250603", **timed)

    was_timed = expand(series(wall, "Europe/Berlin", "RRULE:FREQ=DAILY;COUNT=3", exceptions=[to_day]), ALWAYS)
    was_whole = expand(all_day(date(2025, 6, 2), "RRULE:FREQ=DAILY;COUNT=3", exceptions=[to_time]), ALWAYS)

    assert [one.all_day for one in was_timed] == [False, True, False]
    assert [one.all_day for one in was_whole] == [True, False, True]
    assert [one.recurrence_id for one in was_whole] == ["20250602", "20250603", "20250604"]


def test_a_rule_for_ever_costs_no_more_late_than_early():
    # Walked from its start this would be refused: 300,000 instances lie before the window.
    wall = datetime(1200, 1, 1, 9)  # noqa: DTZ001 - a local time
    window = Window(datetime(2025, 6, 1, tzinfo=UTC), datetime(2025, 6, 8, tzinfo=UTC))

    found = expand(series(wall, "UTC", "RRULE:FREQ=DAILY;COUNT=1000000"), window)

    assert [one.recurrence_id for one in found] == [f"202506{day:02}T090000Z" for day in range(1, 8)]
