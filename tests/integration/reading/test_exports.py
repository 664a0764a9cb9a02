"""A calendar as a file: what another program makes of it is what is stored."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import icalendar
import recurring_ical_events
from sqlalchemy import delete, insert, select

from app.domain.calendars import Busy, EventStatus
from app.domain.features import Feature
from app.store.schema import occurrences
from tests.integration.reading.room import NOW, WINDOW, exception, master, single

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TRICKY = 'Commas, semicolons; back\\slashes "quotes"\nand: lines, ' + "long " * 30 + "ü"


def filled(room):
    """Return a person and a calendar with one of everything."""
    ada, connection, work = room.calendar_of("ada")
    at = NOW.replace(hour=8)
    room.put(work, single("tricky", at, HOUR, summary=TRICKY, location="Room; 4", ical_uid="uid-1",
                          organizer={"email": "ada@example.test", "name": 'Ada "the" first'},
                          attendees=({"email": "grace@example.test", "response": "needs_action"},)))  # fmt: skip
    room.put(work, single("trip", date(2026, 12, 24), 3 * DAY, busy=Busy.FREE))
    room.put(work, single("cancelled", at, HOUR, status=EventStatus.CANCELLED))
    room.put(work, single("private", at + DAY, HOUR, privacy="private", summary="Doctor"))
    room.put(
        work,
        master("weekly", at, HOUR, "RRULE:FREQ=WEEKLY;BYDAY=MO,WE;UNTIL=20270501",
               "EXDATE;TZID=Europe/Berlin:20261202T090000"),
        exception("weekly_1", "weekly", "20261125T080000Z", start=at + 3 * DAY, end=at + 3 * DAY + HOUR,
                  summary="Moved"),
        exception("weekly_2", "weekly", "20261130T080000Z", status=EventStatus.CANCELLED),
    )  # fmt: skip
    room.put(
        work,
        master("birthday", date(2026, 11, 29), DAY, "RRULE:FREQ=MONTHLY;BYMONTHDAY=29", "RDATE;VALUE=DATE:20261205"),
        exception("birthday_1", "birthday", "20261229", status=EventStatus.CANCELLED),
    )  # fmt: skip
    room.put(work, exception("orphan", "foreign", "20261201T100000Z", start=at + 8 * DAY, end=at + 8 * DAY + HOUR))
    room.put(work, master("tokyo", at, HOUR, "RRULE:FREQ=DAILY;COUNT=200", time_zone="Asia/Tokyo"))
    room.put(work, master("york", at, HOUR, "RRULE:FREQ=WEEKLY;COUNT=40;X-ODD=1", time_zone="America/New_York"))
    # An instance the provider took away without a word: the rules alone would not know.
    room.run(
        delete(occurrences).where(occurrences.c.recurrence_id == "20261130T080000Z", occurrences.c.series_id == "tokyo")
    )
    return ada, connection, work


def expanded(file):
    """Return what an independent program shows in the stored window, in UTC."""
    calendar = icalendar.Calendar.from_ical(file)
    found = recurring_ical_events.of(calendar).between(WINDOW.start, WINDOW.end)
    return sorted((str(one["UID"]), moment(one["DTSTART"].dt), moment(one["DTEND"].dt)) for one in found)


def moment(value):
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value.isoformat()


def stored(room, calendar_id):
    """Return the stored occurrences in the same form."""
    rows = room.run(select(occurrences).where(occurrences.c.calendar_id == calendar_id)).all()
    return sorted(
        (row.series_id, moment(row.start_at or row.start_date), moment(row.end_at or row.end_date)) for row in rows
    )


def test_another_program_expands_the_file_to_what_is_stored(room, signed_in):
    reader = room.service()
    ada, _, work = filled(room)

    for_service = room.get(f"/v1/calendars/{work}.ics", reader)
    for_owner = signed_in(ada).get(f"/calendars/{work}.ics")

    assert for_service.status_code == for_owner.status_code == 200
    assert for_service.mimetype == for_owner.mimetype == "text/calendar"
    assert "attachment" in for_owner.headers["Content-Disposition"]
    theirs = [(uid.replace("uid-1", "tricky"), *times) for uid, *times in expanded(for_owner.data)]
    assert sorted(theirs) == stored(room, work)
    assert len(expanded(for_service.data)) == len(theirs)


def test_rules_as_providers_write_them_and_times_without_a_name_are_exported_as_they_are_kept(room, signed_in):
    # Without a zone of the calendar: the library that reads would move UTC times into it, and forget which hour.
    ada, _, work = room.calendar_of("ada", time_zone=None)
    at, autumn = NOW.replace(hour=8), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    odd = {
        "blank": ("RRULE:FREQ=WEEKLY;BYDAY=MO, TU",),
        "start": ("RRULE:FREQ=WEEKLY;INTERVAL=2;WKST=XX;BYDAY=MO,WE",),
        "gap": ("RRULE:FREQ=MONTHLY;BYMONTHDAY=1,,2",),
        "count": ("RRULE:FREQ=DAILY;COUNT=5,",),
        "first": ("RRULE:FREQ=MONTHLY;BYDAY=1MO,-1FR",),
        "exrule": ("RRULE:FREQ=DAILY;COUNT=20", "EXRULE:FREQ=WEEKLY;BYDAY=WE"),
        "unruled": (),
    }
    for name, rules in odd.items():
        room.put(work, master(name, at, HOUR, *rules))
    room.put(
        work, master("offset", at.replace(hour=23), HOUR, "RRULE:FREQ=WEEKLY;BYDAY=TU;COUNT=4", time_zone="GMT+02:00")
    )
    room.put(work, single("second hour", autumn, HOUR))
    # As a provider that expands keeps them: more than its master says.
    [first] = room.run(select(occurrences).where(occurrences.c.series_id == "unruled")).mappings()
    again = {"recurrence_id": "20261126T080000Z", "start_at": at + 3 * DAY, "end_at": at + 3 * DAY + HOUR}
    room.run(insert(occurrences).values({**first, **again}))

    file = signed_in(ada).get(f"/calendars/{work}.ics").data

    assert expanded(file) == stored(room, work)
    assert b"EXRULE" not in file
    assert b"UTC+02:00" not in file
    assert b"DTSTART:20261025T013000Z" in file


def test_a_calendar_that_may_not_be_read_now_says_why(room):
    reader = room.service()
    ada, connection, work = room.calendar_of("ada")
    room.calendar(room.connection(ada, "microsoft", "other"), "Other")
    room.change_connection(connection, status="needs_reconnect", reason="revoked_by_user")
    window = {"from": NOW.isoformat(), "to": (NOW + DAY).isoformat()}

    assert room.get("/v1/events", reader, user=str(ada), **window).status_code == 200
    for answer in (
        room.get("/v1/events", reader, user=str(ada), calendar=str(work), **window),
        room.get(f"/v1/calendars/{work}.ics", reader),
    ):
        assert (answer.status_code, answer.json["error"]) == (400, "interaction_required")
        assert str(connection) in answer.json["connect_uri"]
    assert len(room.audit("calendar_read.denied")) >= 2


def test_a_calendar_that_was_never_read_is_not_told_as_empty(room):
    reader = room.service()
    _, connection, _ = room.calendar_of("ada")
    fresh = room.calendar(connection, "Fresh", last_success_at=None)

    assert room.get(f"/v1/calendars/{fresh}.ics", reader).status_code == 503


def test_texts_survive_and_private_ones_stay_with_their_owner(room, signed_in):
    reader, counter = room.service(), room.service("counter", (Feature.CALENDAR_FREEBUSY,))
    ada, _, work = filled(room)

    for_service = room.get(f"/v1/calendars/{work}.ics", reader).data
    for_owner = signed_in(ada).get(f"/calendars/{work}.ics").data
    events = {str(one["UID"]): one for one in icalendar.Calendar.from_ical(for_owner).walk("VEVENT")}

    assert str(events["uid-1"]["SUMMARY"]) == TRICKY
    assert str(events["uid-1"]["ORGANIZER"].params["CN"]) == "Ada 'the' first"
    assert events["trip"]["TRANSP"] == "TRANSPARENT"
    assert b"Doctor" in for_owner
    assert b"Doctor" not in for_service
    assert b"CLASS:PRIVATE" in for_service
    assert all(len(line) <= 75 for line in for_service.split(b"\r\n"))
    assert for_service.count(b"BEGIN:VTIMEZONE") == 3
    assert room.get(f"/v1/calendars/{work}.ics", counter).status_code == 403


def test_nobody_exports_what_is_not_theirs(room, signed_in):
    reader = room.service(people=frozenset({"tenant:elsewhere.test"}))
    _, _, work = room.calendar_of("ada")
    stranger = room.person("mallory")

    assert signed_in(stranger).get(f"/calendars/{work}.ics").status_code == 404
    hidden = room.get(f"/v1/calendars/{work}.ics", reader)
    missing = room.get("/v1/calendars/5f0c6a1e-9f0e-4a55-8f0e-2d1c7b8a9e10.ics", reader)
    assert (hidden.status_code, hidden.json["error"]) == (missing.status_code, missing.json["error"])
