"""Expansion of series: set construction, clock changes, exceptions, bounds."""

import zoneinfo
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version

import pytest

from app.domain.calendars import Busy, EventKind, EventStatus, RemoteEvent, Series, Window
from app.domain.errors import Unrepresentable
from app.domain.recurrence import expand, expander_version, single_occurrence, standalone

YEAR = Window(datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def master(start, end, *rules, zone="Europe/Berlin", **fields):
    """Return a timed master; start and end in UTC."""
    times = {"start": utc(start), "end": utc(end), "time_zone": zone}
    kind, status = EventKind.MASTER, fields.pop("status", EventStatus.CONFIRMED)
    return RemoteEvent("m", kind, status, None, None, rules=rules, **{**times, **fields})


def all_day(first, last, *rules):
    return RemoteEvent(
        "m",
        EventKind.MASTER,
        EventStatus.CONFIRMED,
        None,
        None,
        all_day=True,
        start=date.fromisoformat(first),
        end=date.fromisoformat(last),
        rules=rules,
    )


def exception(recurrence_id, start=None, end=None, *, status=EventStatus.CONFIRMED, **fields):
    times = {} if start is None else {"start": utc(start), "end": utc(end)}
    return RemoteEvent(f"m_{recurrence_id}", EventKind.EXCEPTION, status, "m", recurrence_id, **times, **fields)


def starts(event, *exceptions, window=YEAR):
    found = expand(Series(event, exceptions), window)
    return [f"{o.start:%m-%dT%H:%M}" if isinstance(o.start, datetime) else f"{o.start:%m-%d}" for o in found]


def test_a_weekly_meeting_keeps_its_wall_clock_across_the_clock_change():
    event = master("2025-03-24T08:00", "2025-03-24T09:00", "RRULE:FREQ=WEEKLY;COUNT=2")

    assert starts(event) == ["03-24T08:00", "03-31T07:00"]


def test_a_time_the_clock_skips_moves_forward_and_keeps_its_length():
    event = master("2025-03-29T01:30", "2025-03-29T02:00", "RRULE:FREQ=DAILY;COUNT=3")

    found = expand(Series(event), YEAR)

    assert [o.start.isoformat()[5:16] for o in found] == ["03-29T01:30", "03-30T01:30", "03-31T00:30"]
    assert {o.end - o.start for o in found} == {timedelta(minutes=30)}


def test_a_doubled_time_is_the_first_of_the_two():
    event = master("2025-10-25T00:30", "2025-10-25T01:30", "RRULE:FREQ=DAILY;COUNT=3")

    assert starts(event) == ["10-25T00:30", "10-26T00:30", "10-27T01:30"]


def test_a_series_that_starts_in_the_second_doubled_hour_keeps_its_first_instant():
    event = master("2025-10-26T01:30", "2025-10-26T02:00", "RRULE:FREQ=DAILY;COUNT=2")

    assert starts(event) == ["10-26T01:30", "10-27T01:30"]


def test_two_instances_on_one_instant_are_one():
    # Samoa left out 30 December 2011 altogether.
    event = master("2011-12-29T20:00", "2011-12-29T20:30", "RRULE:FREQ=DAILY;COUNT=3", zone="Pacific/Apia")
    window = Window(utc("2011-12-01"), utc("2012-02-01"))

    assert starts(event, window=window) == ["12-29T20:00", "12-30T20:00"]


def test_all_day_series_are_dates_and_know_no_clock_change():
    event = all_day("2025-03-29", "2025-03-30", "RRULE:FREQ=DAILY;COUNT=3")

    found = expand(Series(event), YEAR)

    assert [(o.start, o.end) for o in found] == [
        (date(2025, 3, day), date(2025, 3, day) + timedelta(days=1)) for day in (29, 30, 31)
    ]
    assert [o.recurrence_id for o in found] == ["20250329", "20250330", "20250331"]


@pytest.mark.parametrize(
    ("until", "last"),
    [
        ("20250603T073000Z", "06-03T07:30"),
        ("20250603T072959Z", "06-02T07:30"),
        ("20250603", "06-03T07:30"),
        ("20250603T093000", "06-03T07:30"),
        ("20250603T092959", "06-02T07:30"),
    ],
)
def test_until_is_inclusive_in_every_form_it_is_written_in(until, last):
    event = master("2025-06-01T07:30", "2025-06-01T08:00", f"RRULE:FREQ=DAILY;UNTIL={until}")

    assert starts(event)[-1] == last


def test_until_between_the_two_readings_of_a_doubled_hour_keeps_the_first():
    # 00:30Z is 02:30 before the clocks go back, 01:10Z is 02:10 after it.
    event = master("2025-10-25T00:30", "2025-10-25T01:00", "RRULE:FREQ=DAILY;UNTIL=20251026T011000Z")

    assert starts(event) == ["10-25T00:30", "10-26T00:30"]


def test_a_time_in_the_until_of_an_all_day_series_means_its_date():
    event = all_day("2025-02-01", "2025-02-02", "RRULE:FREQ=DAILY;UNTIL=20250203T120000Z")

    assert starts(event) == ["02-01", "02-02", "02-03"]


def test_a_series_that_ended_before_it_began_is_empty():
    assert starts(master("2025-06-01T07:30", "2025-06-01T08:00", "RRULE:FREQ=DAILY;UNTIL=20250501T000000Z")) == []


def test_a_start_beside_its_rule_is_the_first_instance_and_counts():
    # 6 June 2025 is a Friday.
    event = master("2025-06-06T08:00", "2025-06-06T09:00", "RRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=3")

    assert starts(event) == ["06-06T08:00", "06-09T08:00", "06-16T08:00"]


@pytest.mark.parametrize(
    "line",
    [
        "EXDATE:20250602T080000Z",
        "EXDATE;TZID=Europe/Berlin:20250602T100000",
        "EXDATE;TZID=America/New_York:20250602T040000",
        "EXDATE:20250602T100000",
        "EXDATE;TZID=No/Such_Zone:20250602T100000",
        "EXDATE;VALUE=DATE:20250602",
        "EXRULE:FREQ=WEEKLY;BYDAY=MO",
    ],
)
def test_an_excluded_instance_is_gone_however_it_is_written(line):
    event = master("2025-06-01T08:00", "2025-06-01T09:00", "RRULE:FREQ=DAILY;COUNT=3", line)

    assert starts(event) == ["06-01T08:00", "06-03T08:00"]


@pytest.mark.parametrize(
    "line", ["EXDATE;VALUE=DATE:20250602", "EXDATE:20250602", "EXDATE;TZID=Europe/Helsinki:20250602T000000"]
)
def test_an_excluded_all_day_instance_is_gone_however_it_is_written(line):
    assert starts(all_day("2025-06-01", "2025-06-02", "RRULE:FREQ=DAILY;COUNT=3", line)) == ["06-01", "06-03"]


def test_added_dates_join_the_rule_and_doubles_are_one():
    event = master(
        "2025-06-02T08:00",
        "2025-06-02T09:00",
        "RRULE:FREQ=WEEKLY;COUNT=2",
        "RDATE;TZID=Europe/Berlin:20250604T100000,20250609T100000",
        "RDATE;VALUE=PERIOD:20250605T080000Z/PT5H",
    )

    assert starts(event) == ["06-02T08:00", "06-04T08:00", "06-05T08:00", "06-09T08:00"]


def test_added_dates_alone_come_beside_the_start():
    assert starts(all_day("2025-06-01", "2025-06-02", "RDATE;VALUE=DATE:20250610")) == ["06-01", "06-10"]


def test_a_cancelled_exception_removes_its_instance_and_counts_towards_count():
    event = master("2025-06-02T08:00", "2025-06-02T09:00", "RRULE:FREQ=WEEKLY;COUNT=3")

    assert starts(event, exception("20250609T080000Z", status=EventStatus.CANCELLED)) == ["06-02T08:00", "06-16T08:00"]


def test_an_exception_replaces_its_instance_wherever_it_was_moved():
    event = master("2025-06-02T08:00", "2025-06-02T09:00", "RRULE:FREQ=WEEKLY;COUNT=2")
    moved = exception("20250609T080000Z", "2025-05-01T10:00", "2025-05-01T12:00", busy=Busy.TENTATIVE)

    found = expand(Series(event, (moved,)), YEAR)

    assert [(o.recurrence_id, o.source_id, o.busy) for o in found] == [
        ("20250609T080000Z", "m_20250609T080000Z", Busy.TENTATIVE),
        ("20250602T080000Z", "m", Busy.BUSY),
    ]
    assert found[0].series_id == "m"


def test_an_exception_is_found_from_either_side_of_its_move():
    event = master("2025-06-02T08:00", "2025-06-02T09:00", "RRULE:FREQ=WEEKLY;COUNT=2")
    out = exception("20250609T080000Z", "2025-09-01T10:00", "2025-09-01T12:00")
    june, september = (Window(utc(f"2025-{month}-01"), utc(f"2025-{month}-28")) for month in ("06", "09"))

    assert starts(event, out, window=june) == ["06-02T08:00"]
    assert starts(event, out, window=september) == ["09-01T10:00"]


def test_swapped_instances_both_stay():
    event = master("2025-06-02T08:00", "2025-06-02T09:00", "RRULE:FREQ=WEEKLY;COUNT=2")
    one = exception("20250602T080000Z", "2025-06-09T08:00", "2025-06-09T09:00")
    two = exception("20250609T080000Z", "2025-06-02T08:00", "2025-06-02T09:00")

    found = expand(Series(event, (one, two)), YEAR)

    assert [(f"{o.start:%d}", o.recurrence_id[6:8]) for o in found] == [("02", "09"), ("09", "02")]


def test_a_date_as_recurrence_id_replaces_the_timed_instance_of_that_day():
    event = master("2025-06-02T08:00", "2025-06-02T09:00", "RRULE:FREQ=WEEKLY;COUNT=2")

    assert starts(event, exception("20250609", status=EventStatus.CANCELLED)) == ["06-02T08:00"]


def test_an_exception_nobody_can_read_leaves_its_instance_where_it_was():
    event = master("2025-06-02T08:00", "2025-06-02T09:00", "RRULE:FREQ=WEEKLY;COUNT=2")

    assert starts(event, exception("20250609T080000Z", problem="bad_time")) == ["06-02T08:00", "06-09T08:00"]


def test_a_cancelled_or_unreadable_master_takes_its_exceptions_along():
    moved = exception("20250609T080000Z", "2025-06-10T08:00", "2025-06-10T09:00")
    line = "RRULE:FREQ=WEEKLY;COUNT=2"

    cancelled = master("2025-06-02T08:00", "2025-06-02T09:00", line, status=EventStatus.CANCELLED)
    assert starts(cancelled, moved) == []
    assert starts(master("2025-06-02T08:00", "2025-06-02T09:00", line, problem="bad_rule"), moved) == []


def test_an_orphan_stands_alone_under_its_series():
    orphan = exception("20250609T080000Z", "2025-06-10T08:00", "2025-06-10T09:00")

    (found,) = standalone(orphan, YEAR)

    assert (found.series_id, found.recurrence_id, found.source_id) == ("m", "20250609T080000Z", orphan.provider_id)
    assert standalone(exception("20250609T080000Z", status=EventStatus.CANCELLED), YEAR) == ()


def test_a_single_event_is_one_occurrence_inside_its_window():
    event = RemoteEvent(
        "s",
        EventKind.SINGLE,
        EventStatus.CONFIRMED,
        None,
        None,
        start=utc("2025-06-01T08:00"),
        end=utc("2025-06-01T08:00"),
    )

    (found,) = single_occurrence(event, YEAR)

    assert (found.series_id, found.recurrence_id) == ("s", "")
    assert found.busy is Busy.FREE
    assert single_occurrence(event, Window(utc("2025-06-01T08:01"), utc("2025-07-01"))) == ()


def test_the_window_is_half_open_and_long_events_reach_into_it():
    event = master("2025-06-01T08:00", "2025-06-03T08:00", "RRULE:FREQ=MONTHLY;COUNT=2", zone="UTC")

    assert starts(event, window=Window(utc("2025-06-03T07:59"), utc("2025-07-01T08:00"))) == ["06-01T08:00"]
    assert starts(event, window=Window(utc("2025-06-03T08:00"), utc("2025-07-01T08:00"))) == []


def test_an_all_day_occurrence_counts_where_it_is_still_that_day_somewhere():
    event = all_day("2025-06-01", "2025-06-02", "RRULE:FREQ=YEARLY")
    evening_before_in_utc = Window(utc("2025-05-31T11:00"), utc("2025-05-31T12:00"))
    noon_after_in_utc = Window(utc("2025-06-02T11:00"), utc("2025-06-02T12:00"))

    assert starts(event, window=evening_before_in_utc) == ["06-01"]
    assert starts(event, window=noon_after_in_utc) == ["06-01"]
    assert starts(event, window=Window(utc("2025-06-02T12:00"), utc("2025-06-03T00:00"))) == []


def test_an_old_endless_series_is_walked_from_the_window():
    event = master("1970-01-05T08:00", "1970-01-05T08:30", "RRULE:FREQ=DAILY;INTERVAL=3", zone="UTC")

    found = expand(Series(event), Window(utc("2025-06-01"), utc("2025-06-08")))

    assert [o.start for o in found] == [
        day
        for day in (utc("2025-06-01T08:00") + timedelta(days=n) for n in range(7))
        if (day - event.start).days % 3 == 0
    ]


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("RRULE:FREQ=HOURLY;COUNT=1000000", "too_many_instances"),
        ("RRULE:FREQ=HOURLY;BYMINUTE=0,1,2,3,4,5,6,7,8,9", "too_many_instances"),
        ("RRULE:FREQ=SECONDLY", "unsupported_rule"),
        ("RRULE:FREQ=MINUTELY;COUNT=3", "unsupported_rule"),
        ("RRULE:FREQ=HOURLY;BYMINUTE=0,30;BYSETPOS=9", "unsupported_rule"),
        ("RRULE:FREQ=DAILY;BYEASTER=1", "unsupported_rule"),
        ("RRULE:FREQ=MONTHLY;RSCALE=CHINESE", "unsupported_rule"),
        ("RRULE:FREQ=FORTNIGHTLY", "bad_rule"),
        ("RRULE:FREQ=MONTHLY;BYSETPOS=0;BYDAY=MO", "bad_rule"),
        ("RRULE:FREQ=MONTHLY;BYDAY=XX", "bad_rule"),
        ("RRULE:FREQ=DAILY;UNTIL=soon", "bad_date"),
        ("EXDATE:20251301", "bad_date"),
        ("NONSENSE", "bad_rule"),
    ],
)
def test_what_cannot_be_expanded_says_why(rule, code):
    with pytest.raises(Unrepresentable) as caught:
        expand(Series(master("2020-01-01T08:00", "2020-01-01T08:30", rule)), YEAR)

    assert caught.value.detail == code


def test_more_rules_than_anybody_makes_are_refused():
    lines = ["RRULE:FREQ=YEARLY;COUNT=1"] * 10

    assert starts(master("2025-01-01T08:00", "2025-01-01T08:30", *lines)) == ["01-01T08:00"]
    with pytest.raises(Unrepresentable, match="unsupported_rule"):
        starts(master("2025-01-01T08:00", "2025-01-01T08:30", *lines, "EXRULE:FREQ=YEARLY;COUNT=1"))


def test_the_version_names_the_zone_database_and_there_is_no_other():
    assert expander_version().endswith(f":{version('tzdata')}")
    assert zoneinfo.TZPATH == ()


def test_more_occurrences_than_the_cap_are_refused():
    event = master("2025-01-01T08:00", "2025-01-01T08:30", "RRULE:FREQ=DAILY")

    with pytest.raises(Unrepresentable):
        expand(Series(event), YEAR, cap=364)
    assert len(expand(Series(event), YEAR, cap=365)) == 365


def test_a_rule_that_never_matches_ends():
    assert starts(master("2025-01-01T08:00", "2025-01-01T08:30", "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30")) == [
        "01-01T08:00"
    ]


def test_a_series_without_a_zone_is_refused_but_a_fixed_offset_will_do():
    line = "RRULE:FREQ=DAILY;COUNT=1"

    with pytest.raises(Unrepresentable, match="unknown_time_zone"):
        starts(master("2025-06-01T08:00", "2025-06-01T09:00", line, zone=None))
    assert starts(master("2025-06-01T08:00", "2025-06-01T09:00", line, zone=None, time_zone_raw="GMT+02:00"))


def test_the_end_of_the_calendar_is_no_accident():
    event = master("9999-12-31T23:00", "9999-12-31T23:30", "RRULE:FREQ=DAILY", zone="Asia/Tokyo")

    with pytest.raises(Unrepresentable, match="absurd_time"):
        expand(Series(event), YEAR)
