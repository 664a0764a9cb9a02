"""Graph events as they come, into the domain's words."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tzlocal.windows_tz import win_tz

from app.domain.calendars import Busy, EventKind, EventStatus
from app.domain.recurrence_rules import parse_lines
from app.domain.zones import find_zone
from app.providers.fields import instant
from app.providers.microsoft.parse import ItemKind, kind_of, parse_calendar, parse_event, parse_occurrence
from app.providers.microsoft.patterns import rule_lines
from app.providers.microsoft.wire import is_own_link
from app.providers.microsoft.zones import zone, zone_name

TIMED = {
    "id": "AAMk=",
    "type": "singleInstance",
    "start": {"dateTime": "2026-03-05T09:00:00.0000000", "timeZone": "UTC"},
    "end": {"dateTime": "2026-03-05T10:00:00.0000000", "timeZone": "UTC"},
    "originalStartTimeZone": "W. Europe Standard Time",
}
ALL_DAY = {
    "id": "D=",
    "isAllDay": True,
    "start": {"dateTime": "2026-03-05T00:00:00.0000000", "timeZone": "UTC"},
    "end": {"dateTime": "2026-03-07T00:00:00.0000000", "timeZone": "UTC"},
}
WEEKLY = {"type": "weekly", "interval": 2, "daysOfWeek": ["monday", "thursday"], "firstDayOfWeek": "sunday"}
ENDLESS = {"type": "noEnd", "endDate": "0001-01-01", "numberOfOccurrences": 0}


def parsed(*parts):
    item = {}
    for part in parts:
        item |= part
    return parse_event(item)


def test_a_timed_event_is_two_instants_in_its_own_zone():
    event = parsed(TIMED)

    assert (event.start, event.end) == (datetime(2026, 3, 5, 9, tzinfo=UTC), datetime(2026, 3, 5, 10, tzinfo=UTC))
    assert (event.time_zone, event.time_zone_raw) == ("Europe/Berlin", "W. Europe Standard Time")


def test_a_windows_zone_beside_the_time_is_honoured():
    event = parsed(TIMED, {"start": {"dateTime": "2026-07-01T09:00:00.0000000", "timeZone": "Pacific Standard Time"}})

    assert event.start == datetime(2026, 7, 1, 16, tzinfo=UTC)
    assert event.end == event.start


def test_an_all_day_event_is_dates_whatever_the_zone():
    event = parsed(ALL_DAY, {"start": {"dateTime": "2026-03-05T00:00:00.0000000", "timeZone": "Tonga Standard Time"}})

    assert (event.start, event.end, event.all_day) == (date(2026, 3, 5), date(2026, 3, 7), True)


@pytest.mark.parametrize(
    ("fields", "busy"),
    [
        ({}, Busy.BUSY),
        ({"showAs": "free"}, Busy.FREE),
        ({"showAs": "tentative"}, Busy.TENTATIVE),
        ({"showAs": "oof"}, Busy.OUT_OF_OFFICE),
        ({"showAs": "workingElsewhere"}, Busy.ELSEWHERE),
        ({"showAs": "unknown"}, Busy.BUSY),
        ({"showAs": "busy", "responseStatus": {"response": "declined"}}, Busy.FREE),
        ({"showAs": "busy", "responseStatus": {"response": "tentativelyAccepted"}}, Busy.TENTATIVE),
        ({"showAs": "free", "responseStatus": {"response": "tentativelyAccepted"}}, Busy.FREE),
    ],
)
def test_busy_follows_the_flag_then_the_answer(fields, busy):
    assert parsed(TIMED, fields).busy is busy


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"@removed": {"reason": "deleted"}}, ItemKind.REMOVED),
        ({"type": "seriesMaster"}, ItemKind.MASTER),
        ({"type": "exception", "seriesMasterId": "m"}, ItemKind.EXCEPTION),
        ({"type": "occurrence", "seriesMasterId": "m"}, ItemKind.OCCURRENCE),
        ({"type": "occurrence", "seriesMasterId": None}, ItemKind.SINGLE),
        ({"seriesMasterId": "m"}, ItemKind.OCCURRENCE),
        ({"seriesMasterId": "m", "originalStart": "2026-01-01T00:00:00Z"}, ItemKind.EXCEPTION),
        ({"recurrence": {"pattern": {}}}, ItemKind.MASTER),
        ({"recurrence": None}, ItemKind.SINGLE),
    ],
)
def test_an_item_is_what_its_type_or_its_members_say(fields, kind):
    assert kind_of(fields) is kind


def test_words_nobody_knows_yet_hide_and_block_and_are_kept():
    said = {"type": "echo", "showAs": "commuting", "sensitivity": "secret"}

    event = parsed(TIMED, {**said, "responseStatus": {"response": "mulling"}})

    assert (event.busy, event.privacy) == (Busy.BUSY, "private")
    assert event.unknown_values == {**said, "response": "mulling"}
    assert parsed(TIMED, {"showAs": "unknown"}).unknown_values is None


def test_people_links_and_texts_are_kept():
    event = parsed(
        TIMED,
        {
            "subject": None,
            "bodyPreview": "Preview",
            "body": {"contentType": "html", "content": "<script>"},
            "isCancelled": True,
            "isOrganizer": False,
            "hideAttendees": True,
            "sensitivity": "confidential",
            "responseStatus": {"response": "none"},
            "organizer": {"emailAddress": {"name": "O", "address": "o@example.com"}},
            "attendees": [
                {"status": {"response": "tentativelyAccepted"}, "emailAddress": {"address": "a@example.com"}}
            ],
            "onlineMeeting": {"joinUrl": "https://meet.example.com/1"},
            "webLink": "https://outlook.example.com/1",
            "@odata.etag": 'W/"x"',
            "lastModifiedDateTime": "2026-03-05T09:00:00.1234567Z",
        },
    )

    assert (event.summary, event.description) == (None, "Preview")
    assert (event.status, event.privacy, event.self_response) == (EventStatus.CANCELLED, "private", "needs_action")
    assert event.attendees == ({"email": "a@example.com", "response": "tentative"},)
    assert (event.attendees_omitted, event.organizer) == (True, {"name": "O", "email": "o@example.com"})
    assert (event.conference_url, event.html_link) == ("https://meet.example.com/1", "https://outlook.example.com/1")
    assert (event.etag, event.updated_at) == ('W/"x"', datetime(2026, 3, 5, 9, 0, 0, 123456, tzinfo=UTC))


def test_a_timed_exception_is_known_by_the_instant_it_came_from():
    event = parsed(TIMED, {"type": "exception", "seriesMasterId": "m", "originalStart": "2026-03-04T09:00:00.0000000Z"})

    assert (event.kind, event.series_id, event.recurrence_id) == (EventKind.EXCEPTION, "m", "20260304T090000Z")


@pytest.mark.parametrize(
    ("original", "zone_name", "identity"),
    [
        ("2018-06-05T07:00:00Z", "Pacific Standard Time", "20180605"),
        ("2018-06-04T22:00:00Z", "W. Europe Standard Time", "20180605"),
        ("2018-06-04T22:00:00Z", "tzone://Microsoft/Custom", "20180605"),
        ("2018-06-05T07:00:00Z", None, "20180605"),
    ],
)
def test_an_all_day_exception_is_known_by_its_date_at_home(original, zone_name, identity):
    event = parsed(
        ALL_DAY,
        {
            "type": "exception",
            "seriesMasterId": "m",
            "originalStart": original,
            "originalStartTimeZone": zone_name,
        },
    )

    assert event.recurrence_id == identity


def test_a_bare_occurrence_takes_its_form_and_its_class_from_the_master():
    bare = {
        "id": "o=",
        "type": "occurrence",
        "seriesMasterId": "D=",
        "start": {"dateTime": "2026-04-05T00:00:00.0000000", "timeZone": "UTC"},
        "end": {"dateTime": "2026-04-07T00:00:00.0000000", "timeZone": "UTC"},
    }
    master = parsed(ALL_DAY, {"type": "seriesMaster", "showAs": "oof"})

    occurrence = parse_occurrence(bare, master)

    assert occurrence is not None
    assert (occurrence.start, occurrence.end) == (date(2026, 4, 5), date(2026, 4, 7))
    assert (occurrence.recurrence_id, occurrence.source_id) == ("20260405", "D=")
    assert occurrence.busy is Busy.OUT_OF_OFFICE
    assert parse_occurrence({**bare, "start": None}, master) is None


@pytest.mark.parametrize(
    ("pattern", "span", "line"),
    [
        ({"type": "daily", "interval": 3}, ENDLESS, "RRULE:FREQ=DAILY;INTERVAL=3"),
        (WEEKLY, ENDLESS, "RRULE:FREQ=WEEKLY;BYDAY=MO,TH;WKST=SU;INTERVAL=2"),
        (
            {"type": "absoluteMonthly", "dayOfMonth": 28},
            {"type": "numbered", "numberOfOccurrences": 5},
            "RRULE:FREQ=MONTHLY;BYMONTHDAY=28;COUNT=5",
        ),
        ({"type": "absoluteMonthly", "dayOfMonth": 30}, ENDLESS, "RRULE:FREQ=MONTHLY;BYMONTHDAY=28,29,30;BYSETPOS=-1"),
        (
            {"type": "absoluteYearly", "dayOfMonth": 29, "month": 2},
            ENDLESS,
            "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=28,29;BYSETPOS=-1",
        ),
        (
            {"type": "absoluteYearly", "dayOfMonth": 31, "month": 5},
            ENDLESS,
            "RRULE:FREQ=YEARLY;BYMONTH=5;BYMONTHDAY=31",
        ),
        (
            {"type": "relativeMonthly", "daysOfWeek": ["monday", "friday"], "index": "last"},
            ENDLESS,
            "RRULE:FREQ=MONTHLY;BYDAY=MO,FR;BYSETPOS=-1",
        ),
        (
            {"type": "relativeYearly", "daysOfWeek": ["thursday"], "index": "fourth", "month": 11},
            ENDLESS,
            "RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=TH;BYSETPOS=4",
        ),
        ({"type": "daily"}, {"type": "endDate", "endDate": "2026-03-05"}, "RRULE:FREQ=DAILY;UNTIL=20260305T225959Z"),
    ],
)
def test_patterns_become_rules(pattern, span, line):
    lines = rule_lines({"pattern": pattern, "range": span}, find_zone("Europe/Berlin"))

    assert lines == (line,)
    assert parse_lines(lines).rules


def test_an_all_day_series_ends_on_a_date():
    span = {"type": "endDate", "endDate": "2026-03-05"}

    assert rule_lines({"pattern": {"type": "daily"}, "range": span}, None) == ("RRULE:FREQ=DAILY;UNTIL=20260305",)


def test_cancelled_occurrences_are_taken_out_of_the_rule():
    recurrence = {"pattern": {"type": "daily"}, "range": {"type": "noEnd"}}
    ids = ["OID.AAMk=.2026-03-06", "OID.AAMk=.2026-03-09", "no date", 7]

    event = parsed(TIMED, {"type": "seriesMaster", "recurrence": recurrence, "cancelledOccurrences": ids})

    assert event.rules == ("RRULE:FREQ=DAILY", "EXDATE;VALUE=DATE:20260306,20260309")


@pytest.mark.parametrize(
    "pattern",
    [
        {},
        {"type": "lunar"},
        {"type": "weekly", "daysOfWeek": []},
        {"type": "absoluteMonthly", "dayOfMonth": 0},
        {"type": "absoluteYearly", "dayOfMonth": 3, "month": 13},
        {"type": "relativeMonthly", "daysOfWeek": ["monday"], "index": "ninth"},
    ],
)
def test_a_pattern_nobody_knows_has_no_rule_and_is_no_problem(pattern):
    recurrence = {"pattern": pattern, "range": {"type": "noEnd"}}

    event = parsed(TIMED, {"type": "seriesMaster", "recurrence": recurrence})

    assert (event.rules, event.rules_raw, event.problem) == ((), recurrence, None)


def test_the_zone_of_a_series_is_looked_for_in_order():
    recurrence = {"pattern": {"type": "daily"}, "range": {"recurrenceTimeZone": "", "type": "noEnd"}}

    event = parsed(TIMED, {"type": "seriesMaster", "recurrence": recurrence})

    assert (event.time_zone, event.rules) == ("Europe/Berlin", ("RRULE:FREQ=DAILY",))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("W. Europe Standard Time", "Europe/Berlin"),
        ("w. europe standard time", "Europe/Berlin"),
        ("India Standard Time", "Asia/Calcutta"),
        ("Europe/Madrid", "Europe/Madrid"),
        ("tzone://Microsoft/Utc", "UTC"),
        ("tzone://Microsoft/Custom", None),
        ("Customized Time Zone", None),
        ("", None),
        (None, None),
    ],
)
def test_zone_names_of_exchange(name, found):
    assert zone_name(name) == found


def test_every_windows_name_leads_to_a_zone_of_the_database():
    assert [name for name in win_tz if zone(name) is None] == []


@pytest.mark.parametrize(
    ("start", "problem"),
    [
        (None, "no_time"),
        ({"dateTime": "x", "timeZone": "UTC"}, "bad_time"),
        ({"dateTime": "9999-12-31T23:59:59.9999999", "timeZone": "Pacific Standard Time"}, "absurd_time"),
        ({"dateTime": "2026-01-01T00:00:00", "timeZone": "Customized Time Zone"}, "unknown_time_zone"),
    ],
)
def test_a_time_that_cannot_be_read_is_a_problem(start, problem):
    assert parse_event({"id": "e", "start": start, "end": start}).problem == problem


@pytest.mark.parametrize(
    ("link", "is_own"),
    [
        ("https://graph.microsoft.com/v1.0/me/calendarView/delta?$skiptoken=x", True),
        ("https://graph.microsoft.com/beta/me/calendarView/delta", False),
        ("http://graph.microsoft.com/v1.0/me", False),
        ("https://graph.microsoft.com.example.org/v1.0/me", False),
        ("https://graph.microsoft.com@example.org/v1.0/me", False),
        ("https://graph.microsoft.com:444/v1.0/me", False),
        ("https://graph.microsoft.com/v1.0/../beta/me", False),
        ("//graph.microsoft.com/v1.0/me", False),
        ("https://[", False),
    ],
)
def test_only_links_back_to_graph_are_followed(link, is_own):
    assert is_own_link(link) is is_own


@pytest.mark.parametrize(
    ("item", "role", "color"),
    [
        ({"isDefaultCalendar": True}, "owner", None),
        ({"canEdit": True, "canShare": True, "hexColor": "#112233"}, "owner", "#112233"),
        ({"canEdit": True, "hexColor": ""}, "writer", None),
        ({}, "reader", None),
    ],
)
def test_a_calendar_is_read_with_the_rights_it_shows(item, role, color):
    calendar = parse_calendar({"id": "c", "name": "N", **item})

    assert calendar is not None
    assert (calendar.name, calendar.access_role, calendar.color) == ("N", role, color)


def test_times_without_an_offset_are_no_instants():
    assert instant({"t": "2026-01-01T00:00:00"}, "t") is None
    assert instant({"t": 5}, "t") is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
TIMES = JSON | st.fixed_dictionaries({}, optional={"dateTime": JSON, "timeZone": JSON})
PATTERNS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["daily", "weekly", "absoluteMonthly", "relativeYearly"]) | JSON,
        "interval": JSON,
        "daysOfWeek": JSON | st.just(["monday"]),
        "dayOfMonth": JSON,
        "month": JSON,
        "index": JSON,
        "firstDayOfWeek": JSON,
    },
)
ITEMS = st.fixed_dictionaries(
    {"id": st.text(min_size=1, max_size=5)},
    optional={
        "type": st.sampled_from(["singleInstance", "seriesMaster", "exception", "occurrence"]) | JSON,
        "start": TIMES,
        "end": TIMES,
        "isAllDay": JSON,
        "recurrence": JSON | st.fixed_dictionaries({"pattern": PATTERNS, "range": JSON}),
        "seriesMasterId": JSON,
        "originalStart": JSON,
        "originalStartTimeZone": JSON,
        "responseStatus": JSON,
        "attendees": JSON,
        "organizer": JSON,
        "showAs": JSON,
        "location": JSON,
    },
)


@settings(max_examples=300, deadline=None)
@given(ITEMS)
def test_nothing_a_provider_sends_raises(item):
    event = parse_event(item)

    assert event.problem or event.start is not None
    parse_occurrence(item, event)
