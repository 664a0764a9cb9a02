from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from app.domain.calendars import Busy
from app.web import texts
from app.web.pages.agenda_days import Span, days_of, span_of
from tests.fakes import make_item

BERLIN = ZoneInfo("Europe/Berlin")
TODAY = date(2026, 11, 23)


def titles(items, first=TODAY, days=3, zone=BERLIN):
    return [[entry.title for entry in day.entries] for day in days_of(items, Span(first, days, zone), TODAY)]


def one(item, day=0):
    return days_of([item], Span(TODAY, 3, BERLIN), TODAY)[day].entries[0]


def at(day, hour, minute=0):
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def test_a_day_belongs_to_the_persons_zone():
    late = make_item(at(23, 23, 30), at(24, 0, 30), summary="past midnight in Berlin")

    assert titles([late]) == [[], ["past midnight in Berlin"], []]
    assert titles([late], zone=ZoneInfo("America/New_York")) == [["past midnight in Berlin"], [], []]


def test_an_end_at_midnight_does_not_touch_the_next_day():
    assert titles([make_item(at(23, 20), at(23, 23), summary="evening")]) == [["evening"], [], []]


def test_an_event_over_midnight_stands_on_both_days_and_says_so():
    night = make_item(at(23, 22), at(25, 7))

    assert [one(night, day).time for day in range(3)] == ["from 23:00", texts.AGENDA_ALL_DAY, "until 08:00"]


def test_an_event_without_length_is_shown():
    assert one(make_item(at(23, 9), at(23, 9))).time == "10:00\N{EN DASH}10:00"


def test_an_all_day_event_is_the_same_dates_in_every_zone():
    holiday = make_item(TODAY, TODAY + timedelta(days=2), summary="holiday")

    for zone in (BERLIN, ZoneInfo("Pacific/Kiritimati"), ZoneInfo("Pacific/Niue")):
        assert titles([holiday], zone=zone) == [["holiday"], ["holiday"], []]


def test_all_day_then_running_then_by_time():
    items = [
        make_item(at(23, 12), at(23, 13), summary="noon"),
        make_item(at(23, 7), at(23, 8), summary="morning"),
        make_item(at(22, 12), at(23, 12), summary="since yesterday"),
        make_item(TODAY, TODAY + timedelta(days=1), summary="all day"),
    ]

    assert titles(items)[0] == ["all day", "since yesterday", "morning", "noon"]


@pytest.mark.parametrize(
    ("summary", "privacy", "title"),
    [
        ("Doctor", "private", "Doctor"),
        (None, "private", texts.AGENDA_PRIVATE_UNTITLED),
        ("", "default", texts.AGENDA_UNTITLED),
        (None, "default", texts.AGENDA_UNTITLED),
    ],
)
def test_titles_of_private_and_untitled_events(summary, privacy, title):
    entry = one(make_item(at(23, 9), at(23, 10), summary=summary, privacy=privacy))

    assert entry.title == title
    assert (texts.AGENDA_PRIVATE in entry.marks) == (summary == "Doctor")


def test_marks_say_what_is_special():
    item = make_item(at(23, 9), at(23, 10), status="tentative", is_recurring=True, busy=Busy.FREE)

    assert one(item).marks == (texts.AGENDA_TENTATIVE, texts.AGENDA_REPEATS, texts.AGENDA_FREE)


def test_a_calendar_named_after_its_account_is_said_once():
    item = make_item(at(23, 9), at(23, 10), calendar_name="ada@example.test")

    assert one(item).source == "ada@example.test"
    assert one(make_item(at(23, 9), at(23, 10))).source == "Work · ada@example.test"


def test_a_span_covers_the_long_and_the_short_day_of_a_clock_change():
    autumn = Span(date(2026, 10, 25), 1, BERLIN).window()
    spring = Span(date(2026, 3, 29), 1, BERLIN).window()

    assert autumn.end - autumn.start == timedelta(hours=25)
    assert spring.end - spring.start == timedelta(hours=23)


@pytest.mark.parametrize(
    ("from_text", "days_text", "expected"),
    [
        ("2026-12-01", "3", (date(2026, 12, 1), 3)),
        ("", "", (TODAY, 7)),
        ("tomorrow", "0", (TODAY, 1)),
        ("9999-12-31", "400", (TODAY, 31)),
        ("2026-12-01", "²", (date(2026, 12, 1), 7)),
    ],
)
def test_what_cannot_be_read_falls_back(from_text, days_text, expected):
    span = span_of(from_text, days_text, TODAY, BERLIN)

    assert (span.first, span.days) == expected


def test_neighbouring_spans_meet():
    span = Span(TODAY, 7, BERLIN)

    assert span.query(7) == "from=2026-11-30&days=7"
    assert span.query(-7) == "from=2026-11-16&days=7"
