"""Google events as they come, into the domain's words."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.calendars import Busy, EventKind, EventStatus
from app.providers.google.parse import MOST_ATTENDEES, parse_calendar, parse_event, parse_items

TIMED = {
    "id": "e1",
    "start": {"dateTime": "2025-03-24T10:00:00-05:00", "timeZone": "America/Chicago"},
    "end": {"dateTime": "2025-03-24T11:30:00-05:00", "timeZone": "America/Chicago"},
}
ALL_DAY = {"id": "d1", "start": {"date": "2025-03-24"}, "end": {"date": "2025-03-26"}}
START = datetime(2025, 3, 24, 15, tzinfo=UTC)


def parsed(*parts, zone=None):
    item = {}
    for part in parts:
        item |= part
    return parse_event(item, zone)


def test_a_timed_event_is_two_instants_and_a_zone():
    event = parsed(TIMED)

    assert (event.start, event.end) == (START, datetime(2025, 3, 24, 16, 30, tzinfo=UTC))
    assert (event.kind, event.all_day, event.time_zone) == (EventKind.SINGLE, False, "America/Chicago")
    assert event.problem is None


def test_an_all_day_event_is_two_dates():
    event = parsed(ALL_DAY)

    assert (event.start, event.end, event.all_day) == (date(2025, 3, 24), date(2025, 3, 26), True)


def test_absent_fields_have_the_defaults_of_the_reference():
    event = parsed(TIMED)

    assert (event.status, event.busy, event.event_type) == (EventStatus.CONFIRMED, Busy.BUSY, "default")
    assert (event.privacy, event.self_response, event.attendees) == ("default", None, ())


@pytest.mark.parametrize(
    ("fields", "busy"),
    [
        ({}, Busy.BUSY),
        ({"transparency": "transparent"}, Busy.FREE),
        ({"transparency": "unheard-of"}, Busy.BUSY),
        ({"attendees": [{"self": True, "responseStatus": "declined"}]}, Busy.FREE),
        ({"attendees": [{"responseStatus": "declined"}]}, Busy.BUSY),
        ({"attendees": [{"self": True, "responseStatus": "tentative"}]}, Busy.TENTATIVE),
        ({"attendees": [{"self": True, "responseStatus": "needsAction"}]}, Busy.BUSY),
        ({"status": "tentative"}, Busy.TENTATIVE),
        ({"eventType": "outOfOffice"}, Busy.OUT_OF_OFFICE),
        ({"eventType": "outOfOffice", "transparency": "transparent"}, Busy.FREE),
        ({"eventType": "workingLocation", "transparency": "transparent"}, Busy.ELSEWHERE),
        ({"eventType": "birthday", "transparency": "transparent"}, Busy.FREE),
        ({"eventType": "focusTime"}, Busy.BUSY),
        ({"eventType": "somethingNew"}, Busy.BUSY),
    ],
)
def test_busy_follows_the_flag_then_the_answer_then_the_type(fields, busy):
    assert parsed(TIMED, fields).busy is busy


def test_words_nobody_knows_yet_hide_and_block_and_are_kept():
    event = parsed(
        TIMED,
        {
            "status": "wavering",
            "transparency": "opalescent",
            "visibility": "secret",
            "attendees": [{"self": True, "responseStatus": "mulling"}],
        },
    )

    assert (event.busy, event.privacy, event.status) == (Busy.BUSY, "private", EventStatus.CONFIRMED)
    assert event.unknown_values == {
        "status": "wavering",
        "transparency": "opalescent",
        "visibility": "secret",
        "responseStatus": "mulling",
    }
    assert parsed(TIMED).unknown_values is None


def test_people_links_and_texts_are_kept():
    event = parsed(
        TIMED,
        {
            "summary": "Re\x00view \ud800",
            "location": "Room 1",
            "organizer": {"email": "o@example.com", "displayName": "O", "self": True},
            "attendees": [{"email": "a@example.com", "responseStatus": "accepted"}, {"self": True}],
            "htmlLink": "javascript:alert(1)",
            "conferenceData": {
                "entryPoints": [
                    {"entryPointType": "phone", "uri": "tel:1"},
                    {"entryPointType": "video", "uri": "https://v.example.com/1"},
                ]
            },
            "hangoutLink": "https://h.example.com",
            "iCalUID": "u",
            "etag": '"1"',
            "sequence": 2,
            "updated": "2025-03-25T13:08:22.211Z",
            "visibility": "confidential",
        },
    )

    assert event.summary == "Review ?"
    assert (event.is_organizer, event.organizer) == (True, {"name": "O", "email": "o@example.com"})
    assert event.attendees == ({"email": "a@example.com", "response": "accepted"}, {})
    assert event.html_link is None
    assert event.conference_url == "https://v.example.com/1"
    assert (event.ical_uid, event.etag, event.sequence, event.privacy) == ("u", '"1"', 2, "private")
    assert event.updated_at == datetime(2025, 3, 25, 13, 8, 22, 211000, tzinfo=UTC)


def test_an_organizer_who_is_no_attendee_answers_as_organizer():
    assert parsed(TIMED, {"organizer": {"self": True}}).self_response == "organizer"


def test_crowds_are_cut_and_said_to_be():
    event = parsed(TIMED, {"attendees": [{"email": f"{n}@example.com"} for n in range(MOST_ATTENDEES + 1)]})

    assert (len(event.attendees), event.attendees_omitted) == (MOST_ATTENDEES, True)


def test_a_master_keeps_its_lines_repaired_and_raw():
    lines = ["RRULE:FREQ=WEEKLY;", "EXDATE;TZID=America/Chicago:20250331T100000"]

    event = parsed(TIMED, {"recurrence": lines})

    assert event.kind is EventKind.MASTER
    assert event.rules == ("RRULE:FREQ=WEEKLY", lines[1])
    assert event.rules_raw == lines


def test_a_yearly_rule_by_days_of_the_month_means_the_month_of_the_start():
    event = parsed({"id": "e", "start": {"date": "2022-09-07"}, "recurrence": ["RRULE:FREQ=YEARLY;BYMONTHDAY=7"]})

    assert event.rules == ("RRULE:FREQ=YEARLY;BYMONTHDAY=7;BYMONTH=9",)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["nonsense"], "bad_rule"),
        (["RRULE:FREQ=SECONDLY"], "unsupported_rule"),
        (["RRULE:FREQ=DAILY;UNTIL=never"], "bad_date"),
        ([7], "bad_rule"),
    ],
)
def test_rules_nobody_can_read_make_a_problem_not_an_exception(lines, problem):
    assert parsed(TIMED, {"recurrence": lines}).problem == problem


def test_rules_inside_an_exception_are_ignored():
    event = parsed(TIMED, {"recurringEventId": "m", "recurrence": ["RRULE:FREQ=DAILY"]})

    assert (event.kind, event.rules) == (EventKind.EXCEPTION, ())


@pytest.mark.parametrize(
    ("original", "identity"),
    [
        ({"dateTime": "2025-03-28T10:00:00-05:00", "timeZone": "America/Chicago"}, "20250328T150000Z"),
        ({"dateTime": "2015-07-01T10:00:00+09:00"}, "20150701T010000Z"),
        ({"date": "2025-03-28"}, "20250328"),
        ({"dateTime": "garbage"}, None),
        (None, None),
    ],
)
def test_the_recurrence_id_is_the_original_start(original, identity):
    event = parsed({"id": "x", "recurringEventId": "m", "originalStartTime": original, "status": "cancelled"})

    assert (event.kind, event.status, event.series_id) == (EventKind.EXCEPTION, EventStatus.CANCELLED, "m")
    assert event.recurrence_id == identity
    assert event.problem is None


def test_tombstones_come_apart_from_cancelled_exceptions():
    found = parse_items(
        [
            {"id": "gone", "status": "cancelled"},
            {"id": "m_20250328T150000Z", "status": "cancelled"},
            {"id": "m_20250329T150000Z", "status": "cancelled", "recurringEventId": "m"},
            TIMED,
            {"status": "confirmed"},
            "text",
            None,
        ],
        None,
    )

    assert found.removed == ("gone", "m_20250328T150000Z")
    assert [event.provider_id for event in found.events] == ["m_20250329T150000Z", "e1"]
    assert found.dropped == 3


@pytest.mark.parametrize(
    ("start", "end", "expected_end"),
    [
        ({"date": "2025-03-24"}, {"date": "2025-03-24"}, date(2025, 3, 25)),
        ({"date": "2025-03-24"}, {"date": "2025-03-20"}, date(2025, 3, 25)),
        ({"date": "2025-03-24"}, {"dateTime": "2025-03-24T10:00:00Z"}, date(2025, 3, 25)),
        ({"date": "2025-03-24"}, None, date(2025, 3, 25)),
        ({"date": "2025-03-24T10:30:00-07:00"}, {"date": "2025-03-24T11:00:00-07:00"}, date(2025, 3, 25)),
        ({"dateTime": "2025-03-24T15:00:00Z"}, {"dateTime": "2025-03-24T15:00:00Z"}, START),
        ({"dateTime": "2025-03-24T15:00:00Z"}, {"dateTime": "2025-03-24T14:00:00Z"}, START),
        ({"dateTime": "2025-03-24T15:00:00Z"}, {"dateTime": "0000-01-01T00:00:00Z"}, START),
    ],
)
def test_an_end_that_cannot_be_is_repaired(start, end, expected_end):
    event = parsed({"id": "e", "start": start, "end": end})

    assert event.end == expected_end
    assert event.problem is None


@pytest.mark.parametrize(
    ("start", "problem"),
    [
        (None, "no_time"),
        ({}, "no_time"),
        ({"date": "0000-00-00"}, "bad_time"),
        ({"dateTime": "yesterday"}, "bad_time"),
        ({"dateTime": "2025-03-24T15:00:00"}, "floating_time"),
        ({"dateTime": "0001-01-01T00:00:00+14:00"}, "absurd_time"),
        ({"date": "9999-12-31"}, "absurd_time"),
    ],
)
def test_a_start_that_cannot_be_is_a_problem(start, problem):
    event = parsed({"id": "e", "start": start})

    assert (event.problem, event.start) == (problem, None)


@pytest.mark.parametrize(
    ("start", "calendar_zone", "name", "raw"),
    [
        ({"dateTime": "2025-03-24T15:00:00", "timeZone": "GMT+02:00"}, None, None, "GMT+02:00"),
        (
            {"dateTime": "2025-03-24T15:00:00Z", "timeZone": "Nowhere/Land"},
            "Europe/Paris",
            "Europe/Paris",
            "Nowhere/Land",
        ),
        ({"dateTime": "2025-03-24T15:00:00Z"}, None, "UTC", None),
        ({"dateTime": "2025-03-24T15:00:00-07:00"}, None, None, "-07:00"),
    ],
)
def test_an_unknown_zone_falls_back_to_the_calendar_then_to_the_offset(start, calendar_zone, name, raw):
    event = parsed({"id": "e", "start": start, "recurrence": ["RRULE:FREQ=DAILY"]}, zone=calendar_zone)

    assert (event.time_zone, event.time_zone_raw, event.problem) == (name, raw, None)


def test_a_calendar_is_read_with_unknown_roles_as_reader():
    calendar = parse_calendar(
        {
            "id": "c",
            "summary": "S",
            "summaryOverride": "Mine",
            "accessRole": "archivist",
            "primary": True,
            "timeZone": "Mars/Olympus",
        }
    )

    assert calendar is not None
    assert (calendar.name, calendar.access_role, calendar.is_primary, calendar.time_zone) == (
        "Mine",
        "reader",
        True,
        None,
    )
    assert parse_calendar({"summary": "no id"}) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
TIMES = (
    st.none()
    | JSON
    | st.fixed_dictionaries(
        {}, optional={"date": JSON, "dateTime": JSON | st.just("0001-01-01T00:00:00+14:00"), "timeZone": JSON}
    )
)
FIELDS = st.fixed_dictionaries(
    {"id": st.text(min_size=1, max_size=5)},
    optional={
        "status": st.sampled_from(["confirmed", "tentative", "cancelled", "new"]) | JSON,
        "start": TIMES,
        "end": TIMES,
        "originalStartTime": TIMES,
        "recurrence": JSON | st.lists(st.text(max_size=30).map("RRULE:FREQ=DAILY;".__add__), max_size=2),
        "recurringEventId": JSON,
        "attendees": JSON,
        "organizer": JSON,
        "conferenceData": JSON,
        "sequence": JSON,
        "updated": JSON,
        "visibility": JSON,
        "eventType": JSON,
    },
)


@settings(max_examples=300, deadline=None)
@given(FIELDS, JSON)
def test_nothing_a_provider_sends_raises(item, anything):
    for event in parse_items([item, anything], None).events:
        assert event.problem or event.status is EventStatus.CANCELLED or event.start is not None
