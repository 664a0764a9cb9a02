"""Every kind of change at the provider is here after the next sync, occurrence by occurrence."""

from datetime import timedelta

import pytest

from tests.integration.sync.compare import assert_equal, query
from tests.integration.sync.desk import google_time, monday

WEEK = timedelta(days=7)


def test_seeded_calendars_are_equal_after_the_first_sync(mailbox):
    counts = []

    for calendar in mailbox.calendars():
        outcome = mailbox.sync(calendar)
        counts.append(len(assert_equal(mailbox, calendar)))
        assert outcome.full

    assert counts[0] > 400
    assert len(counts) >= 2


def test_single_event_lives_its_life(desk):
    event = desk.add("Lunch", monday())
    assert desk.titles(desk.sync()) == ["Lunch"]

    desk.change(event, "Long lunch")
    assert desk.titles(desk.sync()) == ["Long lunch"]

    desk.change(event, start=monday(2, 15), minutes=90)
    [row] = desk.sync()
    assert row[2].startswith(monday(2).date().isoformat())

    desk.change(event, start=monday(3, 0), all_day_for=2)
    [row] = desk.sync()
    assert row[2] == monday(3).date().isoformat()

    desk.change(event, start=monday(3, 9))
    assert len(desk.sync()) == 1

    desk.remove(event)
    assert desk.sync() == set()
    assert desk.stored(event) is None


def test_event_leaves_the_window_and_comes_back(desk):
    event = desk.add("Far away", monday())
    assert len(desk.sync()) == 1

    desk.change(event, start=monday(150))
    assert desk.sync() == set()
    desk.change(event, start=monday(2))
    assert len(desk.sync()) == 1
    desk.change(event, start=monday(-20))
    assert desk.sync() == set()
    desk.change(event, start=monday(1))
    assert len(desk.sync()) == 1


def test_series_lives_its_life(desk):
    series = desk.add("Standup", monday(), repeat="weekly", times=10)
    assert len(desk.sync()) == 10

    desk.change(series, "Weekly")
    assert desk.titles(desk.sync()) == ["Weekly"]

    desk.change(series, recurrence=desk.rule(monday(), "daily", times=4))
    assert len(desk.sync()) == 4

    desk.change(series, start=monday(1, 14))
    assert len(desk.sync()) == 4

    desk.remove(series)
    assert desk.sync() == set()
    assert desk.stored(series) is None


def test_endless_series_keeps_its_hour_when_the_clocks_change(desk):
    desk.add("For ever", monday(), repeat="weekly")

    starts = {row[2][11:16] for row in desk.sync()}

    assert starts == {"08:00", "09:00"}


def test_daily_all_day_series(desk):
    series = desk.add("Away", monday(1, 0), all_day_for=1, repeat="daily", times=5)
    assert len(desk.sync()) == 5

    desk.cancel_instance(series, monday(1, days=1))
    desk.change_instance(series, monday(1, days=3), start=monday(2, 0), all_day_for=2)

    assert len(desk.sync()) == 4


def test_series_becomes_single_and_a_series_again(desk):
    event = desk.add("Once or more", monday(), repeat="weekly", times=5)
    desk.change_instance(event, monday() + WEEK, "Other")
    assert len(desk.sync()) == 5

    desk.change(event, recurrence=None)
    assert len(desk.sync()) == 1

    desk.change(event, start=monday(), recurrence=desk.rule(monday(), "weekly", times=3))
    assert len(desk.sync()) == 3


def test_instance_is_moved_renamed_and_cancelled(desk):
    series = desk.add("Review", monday(), repeat="weekly", times=6)
    desk.sync()

    desk.change_instance(series, monday() + WEEK, "Moved review", monday(2, 16, days=1))
    assert desk.titles(desk.sync()) == ["Moved review", "Review"]
    desk.cancel_instance(series, monday() + 2 * WEEK)
    assert len(desk.sync()) == 5
    desk.cancel_instance(series, monday() + WEEK)
    assert len(desk.sync()) == 4


def test_cancelled_instance_is_restored(google_desk):
    series = google_desk.add("Review", monday(), repeat="weekly", times=4)
    google_desk.cancel_instance(series, monday() + WEEK)
    assert len(google_desk.sync()) == 3

    google_desk.change_instance(series, monday() + WEEK, status="confirmed")

    assert len(google_desk.sync()) == 4


def test_instance_moved_onto_another_instances_day_and_swapped(desk):
    series = desk.add("Swap", monday(), repeat="weekly", times=3)
    desk.change_instance(series, monday(), start=monday(2))
    desk.change_instance(series, monday(2), start=monday(1))

    assert len(desk.sync()) == 3


def test_instance_moves_out_of_the_window_and_back(desk):
    series = desk.add("Elastic", monday(), repeat="weekly", times=3)
    desk.sync()

    desk.change_instance(series, monday(2), start=monday(150))
    assert len(desk.sync()) == 2
    desk.change_instance(series, monday(2), start=monday(-20))
    assert len(desk.sync()) == 2
    desk.change_instance(series, monday(2), start=monday(2, 12))
    assert len(desk.sync()) == 3


def test_instance_moved_before_the_window_is_not_back_after_a_full_pass(desk):
    series = desk.add("Long ago", monday(), repeat="weekly", times=3)
    desk.change_instance(series, monday(2), start=monday(-20))
    desk.mailbox.house.sandbox.control(
        "/expire_sync_tokens", provider=desk.mailbox.provider, account=desk.mailbox.account
    )
    with pytest.raises(Exception, match="cursor_expired"):
        desk.mailbox.sync(desk.calendar)

    assert len(desk.sync()) == 2


def test_edit_of_the_master_drops_exceptions_that_no_longer_fit(desk):
    series = desk.add("Shift", monday(), repeat="weekly", times=5)
    desk.change_instance(series, monday(2), "Odd one", monday(2, 18))
    desk.cancel_instance(series, monday(3))
    desk.sync()

    desk.change(series, start=monday(1, 8), recurrence=desk.rule(monday(), "weekly", times=5))
    desk.sync()


def test_deleted_series_takes_its_exceptions_along(desk):
    series = desk.add("Doomed", monday(), repeat="weekly", times=5)
    exception = desk.change_instance(series, monday(2), "Odd one", monday(2, 18))["id"]
    desk.cancel_instance(series, monday(3))
    assert len(desk.sync()) == 4

    desk.remove(series)

    assert desk.sync() == set()
    assert desk.stored(exception) is None


def test_this_and_following_as_google_does_it(google_desk):
    series = google_desk.add("Course", monday(), repeat="weekly", times=8)
    google_desk.change_instance(series, monday(6), "Exam", monday(6, 18))
    google_desk.sync()

    split = monday(4)
    google_desk.change(series, recurrence=google_desk.rule(split, "weekly", until=(split - WEEK).date()))
    new_id = f"{series}_R{split:%Y%m%d}T080000"
    body = google_desk.body("Course, part two", split, repeat="weekly", times=5)
    google_desk.plant({**without_nulls(body), "id": new_id, "status": "confirmed", "iCalUID": f"{new_id}@google.com"})

    assert google_desk.titles(google_desk.sync()) == ["Course", "Course, part two"]


def test_exception_before_its_master(google_desk):
    start = monday(2, 9)
    orphan = {
        "id": "foreignseries_x", "status": "confirmed", "summary": "Invited once", "recurringEventId": "foreignseries",
        "originalStartTime": google_time(start), "start": google_time(start + WEEK / 7),
        "end": google_time(start + WEEK / 7 + timedelta(hours=1)),
    }  # fmt: skip
    google_desk.plant(orphan)
    assert google_desk.titles(google_desk.sync()) == ["Invited once"]

    master = {
        "id": "foreignseries", "status": "confirmed", "summary": "Series", "recurrence": ["RRULE:FREQ=DAILY;COUNT=3"],
        "start": google_time(start), "end": google_time(start + timedelta(hours=1)),
    }  # fmt: skip
    google_desk.plant(master)
    google_desk.mailbox.sync(google_desk.calendar)
    rows = stored_spans(google_desk)
    assert len(rows) == 3
    assert len({row.recurrence_id for row in rows}) == 3

    google_desk.plant({"id": "foreignseries", "status": "cancelled"})
    google_desk.mailbox.sync(google_desk.calendar)
    assert stored_spans(google_desk) == []
    assert google_desk.stored("foreignseries_x") is None


def test_orphan_goes_with_a_master_that_was_never_here(google_desk):
    start = monday(2, 9)
    google_desk.plant({
        "id": "foreignseries_x", "status": "confirmed", "summary": "Invited once", "recurringEventId": "foreignseries",
        "originalStartTime": google_time(start), "start": google_time(start),
        "end": google_time(start + timedelta(hours=1)),
    })  # fmt: skip
    google_desk.sync()

    google_desk.plant({"id": "foreignseries", "status": "cancelled"})
    google_desk.mailbox.sync(google_desk.calendar)

    assert stored_spans(google_desk) == []
    assert google_desk.stored("foreignseries_x") is None


def test_exception_without_its_master_at_graph(microsoft_desk):
    start = {"dateTime": f"{monday(2):%Y-%m-%dT%H:%M:%S}.0000000", "timeZone": "UTC"}
    end = {"dateTime": f"{monday(2, 11):%Y-%m-%dT%H:%M:%S}.0000000", "timeZone": "UTC"}
    microsoft_desk.plant({
        "id": "AAMkADsbxorphan", "type": "exception", "seriesMasterId": "AAMkADsbxforeign", "subject": "Invited once",
        "start": start, "end": end, "isAllDay": False, "showAs": "busy",
        "originalStart": f"{monday(2):%Y-%m-%dT%H:%M:%SZ}",
    })  # fmt: skip

    assert microsoft_desk.titles(microsoft_desk.sync()) == ["Invited once"]


def test_how_an_event_counts_follows_the_answer_and_the_flag(desk):
    if desk.is_google:
        own = {"email": "ada@example.com", "self": True, "responseStatus": "accepted"}
        event = desk.add("Asked", monday(), attendees=[own])
        steps = [
            {"attendees": [own | {"responseStatus": "declined"}]},
            {"attendees": [own | {"responseStatus": "tentative"}]},
            {"attendees": [own], "transparency": "transparent"},
        ]
    else:
        event = desk.add("Asked", monday())
        steps = [{"showAs": "free"}, {"showAs": "tentative"}, {"showAs": "workingElsewhere"}]
    seen = [row[4] for row in desk.sync()]

    for step in steps:
        desk.change(event, **step)
        seen += [row[4] for row in desk.sync()]

    assert seen == ["busy", "free", "tentative", "free" if desk.is_google else "elsewhere"]


def test_private_event_keeps_its_times(desk):
    event = desk.add("Doctor", monday(), **{"visibility" if desk.is_google else "sensitivity": "private"})

    assert len(desk.sync()) == 1
    assert desk.stored(event).privacy == "private"


def test_several_changes_between_two_syncs(desk):
    gone = desk.add("Never seen", monday())
    kept = desk.add("Kept", monday(2))
    desk.remove(gone)
    series = desk.add("Series", monday(), repeat="weekly", times=4)
    desk.change_instance(series, monday(2), "Changed twice", monday(2, 12))
    desk.change_instance(series, monday(2), "Changed thrice", monday(2, 13))
    desk.cancel_instance(series, monday(3))
    desk.change(kept, "Kept and renamed")

    assert desk.titles(desk.sync()) == ["Changed thrice", "Kept and renamed", "Series"]


def without_nulls(body):
    return {k: without_nulls(v) if isinstance(v, dict) else v for k, v in body.items() if v is not None}


def stored_spans(desk):
    return query(desk.mailbox, "SELECT * FROM occurrences WHERE calendar_id = %s", desk.calendar.id)
