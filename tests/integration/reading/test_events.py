"""`/v1/events` and `/v1/calendars` from HTTP to PostgreSQL."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from app.domain.calendars import Busy, EventStatus
from app.domain.features import Feature
from tests.integration.reading.room import NOW, exception, master, single

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
WEEK = {"from": "2026-11-23T00:00:00+01:00", "to": "2026-11-30T00:00:00+01:00"}
SECRET = "Only for its owner"


def key(item):
    return item["calendar_id"], item.get("event_id"), item.get("recurrence_id")


def test_pages_hold_every_occurrence_once_while_others_come_and_go(room):
    reader = room.service()
    (ada, _, work), (grace, _, home) = room.calendar_of("ada"), room.calendar_of("grace")
    room.put(work, master("daily", NOW.replace(hour=8), HOUR, "RRULE:FREQ=DAILY"))
    room.put(work, single("long", NOW - 40 * DAY, 60 * DAY))
    room.put(home, single("holiday", date(2026, 11, 22), 4 * DAY))
    room.put(home, single("instant", datetime(2026, 11, 22, 23, 0, tzinfo=UTC), timedelta()))
    room.put(home, single("over", datetime(2026, 11, 22, 22, 0, tzinfo=UTC), HOUR))
    asked = {"user": [str(ada), str(grace)], **WEEK}
    whole = room.get("/v1/events", reader, **asked).json
    names = [one["event_id"] for one in whole["occurrences"]]

    seen = []
    for number, page in enumerate(room.pages("/v1/events", reader, limit=2, **asked)):
        assert len(page["occurrences"]) <= 2
        seen += page["occurrences"]
        if number == 0:
            room.remove(home, "instant")
            room.put(work, single("early", NOW - HOUR * 11))
        if number == 1:
            room.put(work, single("late", NOW + 6 * DAY))

    assert names == ["long", "holiday", "instant", *["daily"] * 7]
    assert whole["next_cursor"] is None
    assert len({key(one) for one in seen}) == len(seen)
    # What was there all the time is in the pages, in the same order, and so is what came ahead of the reader's place.
    assert [one["event_id"] for one in seen if one["event_id"] in names] == [one for one in names if one != "instant"]
    assert "late" in {one["event_id"] for one in seen}
    assert {one["person_id"] for one in seen} == {str(ada), str(grace)}


def test_occurrences_are_told_in_the_words_of_jscalendar(room):
    reader = room.service()
    ada, connection, work = room.calendar_of("ada", is_primary=True)
    organizer = {"email": "ada@example.test", "name": "Ada"}
    guest = {"email": "grace@example.test", "name": "Grace", "response": "needs_action"}
    weekly = master(
        "weekly", datetime(2026, 10, 19, 8, tzinfo=UTC), HOUR, "RRULE:FREQ=WEEKLY", summary="Planning",
        location="Room 4", description="Bring\nnumbers", conference_url="https://meet.example.test/1",
        ical_uid="uid-1", sequence=3, organizer=organizer, attendees=(guest,), updated_at=NOW,
    )  # fmt: skip
    moved = exception(
        "weekly_2", "weekly", "20261123T090000Z", start=datetime(2026, 11, 24, 9, tzinfo=UTC),
        end=datetime(2026, 11, 24, 10, 30, tzinfo=UTC), summary="Moved", busy=Busy.TENTATIVE,
        time_zone="America/New_York",
    )  # fmt: skip
    room.put(work, weekly, moved)
    room.put(work, single("trip", date(2026, 11, 25), 2 * DAY, busy=Busy.OUT_OF_OFFICE))

    answer = room.get("/v1/events", reader, user=str(ada), **(WEEK | {"from": "2026-10-19T00:00:00Z"})).json
    first, last, trip = answer["occurrences"][0], answer["occurrences"][-2], answer["occurrences"][-1]

    # Local time stays through the change of the clocks: 8:00 UTC in summer is 9:00 UTC in winter.
    assert [one["start"][11:] for one in answer["occurrences"][:4]] == ["10:00:00"] * 4
    assert (first["timeZone"], first["duration"], first["utcStart"]) == (
        "Europe/Berlin",
        "PT1H",
        "2026-10-26T09:00:00Z",
    )
    assert first["recurrence_id"] == "20261026T090000Z"
    assert first["locations"] == {"1": {"name": "Room 4"}}
    assert first["virtualLocations"] == {"1": {"uri": "https://meet.example.test/1"}}
    assert first["participants"] == {
        "1": {"roles": {"owner": True}, "email": "ada@example.test", "name": "Ada"},
        "2": {
            "roles": {"attendee": True}, "email": "grace@example.test", "name": "Grace",
            "participationStatus": "needs-action",
        },
    }  # fmt: skip
    assert (first["uid"], first["sequence"], first["updated"]) == ("uid-1", 3, "2026-11-23T12:00:00Z")
    assert (last["title"], last["recurrence_id"], last["start"]) == ("Moved", "20261123T090000Z", "2026-11-24T04:00:00")
    assert (last["duration"], last["freeBusyStatus"], last["busy_class"]) == ("PT1H30M", "busy", "tentative")
    assert (trip["start"], trip["timeZone"], trip["duration"]) == ("2026-11-25", None, "P2D")
    assert trip["showWithoutTime"] is True
    assert "utcStart" not in trip
    assert answer["calendars"][0]["connection_id"] == str(connection)


def test_series_are_told_once_with_what_deviates(room):
    reader = room.service()
    ada, _, work = room.calendar_of("ada")
    gone = exception("w_1", "weekly", "20261123T090000Z", status=EventStatus.CANCELLED)
    room.put(work, master("weekly", NOW.replace(hour=9), HOUR, "RRULE:FREQ=WEEKLY;COUNT=9"), gone)
    room.put(work, single("other", NOW + 10 * DAY))
    for number in range(3):
        room.put(work, single(f"s{number}", NOW + number * HOUR))

    pages = list(
        room.pages(
            "/v1/events", reader, user=str(ada), expand="false", limit=2, **(WEEK | {"to": "2026-12-02T00:00:00Z"})
        )
    )
    told = [one for page in pages for one in page["events"]]

    assert [one["event_id"] for one in told] == ["s0", "s1", "s2", "weekly"]
    assert told[-1]["rules"] == ["RRULE:FREQ=WEEKLY;COUNT=9"]
    assert told[-1]["start"] == "2026-11-23T10:00:00"
    assert told[-1]["exceptions"] == [
        {
            "id": "w_1",
            "busy_class": "busy",
            "status": "cancelled",
            "privacy": "public",
            "recurrence_id": "20261123T090000Z",
        }
    ]


def test_what_is_private_keeps_its_times_and_nothing_else(room):
    reader, counter = room.service(), room.service("counter", (Feature.CALENDAR_FREEBUSY,))
    ada, connection, work = room.calendar_of("ada")
    shared = room.calendar(connection, "Shared", access_role="free_busy")
    told = {
        "summary": SECRET, "location": SECRET, "description": SECRET, "html_link": SECRET, "ical_uid": SECRET,
        "conference_url": SECRET, "organizer": {"email": SECRET}, "attendees": ({"name": SECRET},),
        "event_type": SECRET,
    }  # fmt: skip
    room.put(work, single("private", NOW, privacy="private", **told))
    room.put(shared, single("block", NOW + HOUR, **told))

    pages = [
        room.get("/v1/events", reader, user=str(ada), expand=expand, **WEEK) for expand in ("true", "false")
    ] + [room.get("/v1/changes", reader)]  # fmt: skip
    private, block = pages[0].json["occurrences"]
    room.put(work, single("open", NOW + 2 * HOUR, busy=Busy.FREE, **told))
    times = room.get("/v1/events", counter, user=str(ada), **WEEK)

    assert all(page.status_code == 200 and SECRET not in page.get_data(as_text=True) for page in [*pages, times])
    assert (private["event_id"], private["privacy"], private["freeBusyStatus"]) == ("private", "private", "busy")
    assert set(block) == set(times.json["occurrences"][0]) == {
        "calendar_id", "person_id", "start", "timeZone", "duration", "showWithoutTime", "utcStart", "utcEnd",
        "freeBusyStatus", "busy_class",
    }  # fmt: skip
    assert [one["freeBusyStatus"] for one in times.json["occurrences"]] == ["busy", "busy", "free"]
    assert {one["reach"] for one in times.json["calendars"]} == {"times"}
    assert {one["name"] for one in times.json["calendars"]} == {None}
    # Rules and changes are details.
    assert room.get("/v1/events", counter, user=str(ada), expand="false", **WEEK).status_code == 403
    assert room.get("/v1/changes", counter).json["changes"] == []


def test_whole_days_are_those_where_the_person_is(room):
    reader = room.service()
    ada = room.person("ada", "Pacific/Auckland")
    work = room.calendar(room.connection(ada))
    for day in (22, 23, 24):
        room.put(work, single(f"day-{day}", date(2026, 11, day), DAY))
    # A day in Auckland, and in UTC the second half of one and the first of the next.
    asked = {"user": str(ada), "from": "2026-11-22T11:00:00Z", "to": "2026-11-23T11:00:00Z"}

    def days(**more):
        return [one["event_id"] for one in room.get("/v1/events", reader, **asked, **more).json["occurrences"]]

    assert days() == ["day-23"]
    assert days(time_zone="Etc/UTC") == ["day-22", "day-23"]


def test_calendars_say_how_far_they_can_be_relied_on(room):
    reader = room.service()
    ada = room.person()
    connection = room.connection(ada)
    room.calendar(connection, "Fresh", is_primary=True)
    old = NOW - 400 * DAY
    stale = room.calendar(connection, "Stale", last_success_at=old, last_error="provider_unavailable", paused_at=NOW)
    room.calendar(connection, "Unwanted", is_selected=False)
    room.calendar(connection, "Gone", removed_at=NOW)

    found = {one["name"]: one for one in room.get("/v1/calendars", reader, user=str(ada)).json["calendars"]}
    looked_at = room.get("/v1/events", reader, user=str(ada), calendar=str(stale), **WEEK).json["calendars"]

    assert list(found) == ["Fresh", "Stale", "Unwanted"]
    assert (found["Fresh"]["is_stale"], found["Fresh"]["error"], found["Fresh"]["is_primary"]) == (False, None, True)
    assert found["Fresh"]["complete_from"] == "2026-10-23T12:00:00Z"
    assert found["Fresh"]["complete_to"] == "2027-12-24T12:00:00Z"
    assert (found["Stale"]["is_stale"], found["Stale"]["error"]) == (True, "provider_unavailable")
    assert (found["Stale"]["is_paused"], found["Unwanted"]["is_selected"]) == (True, False)
    assert [one["name"] for one in looked_at] == ["Stale"]


MALFORMED = [
    ({"user": None}, "user"),
    ({"user": "not-an-id"}, "user"),
    ({"user": ["5f0c6a1e-9f0e-4a55-8f0e-2d1c7b8a9e10"] * 51}, "user"),
    ({"from": None}, "from"),
    ({"from": "2026-11-23"}, "from"),
    ({"from": "2026-11-23T00:00:00"}, "from"),
    ({"from": "2026-13-23T00:00:00Z"}, "from"),
    ({"from": "0001-01-01T00:00:00+14:00"}, "from"),
    ({"to": "2026-11-23T00:00:00+01:00"}, "to"),
    ({"to": "2027-11-30T00:00:00Z"}, "366"),
    ({"expand": "yes"}, "expand"),
    ({"limit": "0"}, "limit"),
    ({"limit": "1001"}, "limit"),
    ({"time_zone": "UTC+8"}, "time_zone"),
    ({"calendar": "x"}, "calendar"),
    ({"cursor": "AAAA"}, "cursor"),
    ({"purpose": "in words"}, "purpose"),
    ({"marker": "marker"}, "unknown"),
    ({"limit": ["1", "2"]}, "repeated"),
]


def test_a_malformed_question_is_refused_by_name_and_never_repeated(room):
    reader = room.service()
    for change, words in MALFORMED:
        asked = {"user": "5f0c6a1e-9f0e-4a55-8f0e-2d1c7b8a9e10", **WEEK} | change

        answer = room.get("/v1/events", reader, **{name: value for name, value in asked.items() if value is not None})

        assert (answer.status_code, answer.json["error"]) == (400, "invalid_request"), change
        assert words in answer.json["error_description"], change
        assert "marker" not in answer.get_data(as_text=True)
