"""The list of calendars follows the provider's: added, renamed, removed, hidden, shared with other rights, chosen."""

from datetime import UTC, datetime, timedelta

import pytest

from app.domain.calendars import CalendarListing
from app.domain.errors import CalendarGone, ProviderUnavailable
from app.domain.features import Feature
from app.sandbox.calendar.state import side_of
from tests.integration.sync.compare import assert_equal, query
from tests.integration.sync.conftest import ACCOUNTS
from tests.integration.sync.desk import Desk, google_time, monday

AN_HOUR = timedelta(minutes=61)
TIMES_ONLY = (Feature.IDENTITY, Feature.CALENDAR_FREEBUSY)


def names(mailbox):
    return [row.name for row in mailbox.calendars()]


def box(mailbox):
    return side_of(mailbox.house.running.app).world.mailbox(mailbox.provider, mailbox.account)


def mark(mailbox, calendar, **members):
    """Change an entry of the list so that deltas tell of it."""
    listed = box(mailbox)
    listed.list_sequence += 1
    mailbox.at_sandbox(calendar).listed_at = listed.list_sequence
    mailbox.at_sandbox(calendar).entry.update(members)


KEPT = """
    SELECT (SELECT count(*) FROM sync_states WHERE calendar_id = %(id)s)
    + (SELECT count(*) FROM events WHERE calendar_id = %(id)s)
    + (SELECT count(*) FROM occurrences WHERE calendar_id = %(id)s) AS rows
"""
CHANGED = """
    INSERT INTO changes (calendar_id, event_id, seq, is_removed, fingerprint, changed_at)
    VALUES (%(id)s, 'gone', 1000001, true, NULL, now()), (%(id)s, 'first', 1000002, false, '', now()),
           (%(id)s, 'second', 1000003, false, '', now())
    RETURNING seq
"""


def leftovers(mailbox, calendar):
    return query(mailbox, KEPT, {"id": calendar.id})[0].rows


def stored_events(mailbox, calendar):
    return query(mailbox, "SELECT * FROM events WHERE calendar_id = %s ORDER BY start_at", calendar.id)


def state_of(mailbox, calendar):
    [row] = query(mailbox, "SELECT * FROM sync_states WHERE calendar_id = %s", calendar.id)
    return row


def free_busy_of(mailbox, calendar, days=80):
    """Ask the sandbox itself when a calendar is busy in the coming days."""
    now = mailbox.house.clock()
    body = {
        "timeMin": now.isoformat(),
        "timeMax": (now + timedelta(days=days)).isoformat(),
        "items": [{"id": calendar.provider_id}],
    }
    answer = mailbox.caller().post("/calendar/v3/freeBusy", json=body)
    return answer.json()["calendars"][calendar.provider_id]["busy"]


def utc(written):
    return datetime.fromisoformat(written).astimezone(UTC).isoformat()


def times(start):
    return {"start": google_time(start), "end": google_time(start + timedelta(hours=1))}


@pytest.fixture(params=sorted(ACCOUNTS))
def provider(request):
    return request.param


def test_added_calendar_is_synced_at_once_and_a_removed_one_leaves_nothing(mailbox):
    known = names(mailbox)

    added = mailbox.new_calendar()
    assert ("sync", added.id) in mailbox.house.nudge.sent
    assert state_of(mailbox, added).due_at <= mailbox.house.clock()
    Desk(mailbox, added).add("Kept a while", monday())
    mailbox.sync(added)
    mailbox.list_edit("rename", calendar=added.provider_id, name="Renamed")
    mailbox.read_list()
    assert sorted(names(mailbox)) == sorted([*known, "Renamed"])

    mailbox.list_edit("remove", calendar=added.provider_id)
    mailbox.read_list()
    assert sorted(names(mailbox)) == sorted(known)
    assert leftovers(mailbox, added) == 0
    assert mailbox.house.sync.sync(added.id) is None


def test_google_tells_what_changed_until_it_forgets(google):
    first, second = google.new_calendar(), google.new_calendar()
    there = {first.id, second.id}

    mark(google, first, hidden=True)
    google.read_list()
    assert {row.id for row in google.calendars()} & there == {second.id}

    # Brought to light again, while the other one goes; nobody remembers the cursor.
    mark(google, first, hidden=False)
    google.list_edit("remove", calendar=second.provider_id)
    google.house.sandbox.control("/expire_sync_tokens", provider="google", account=google.account)
    assert google.read_list() == 1
    assert {row.id for row in google.calendars()} & there == {first.id}
    assert state_of(google, first).due_at <= google.house.clock()


def test_an_empty_list_deletes_nothing(mailbox):
    known = names(mailbox)
    for calendar in mailbox.calendars():
        if mailbox.provider == "google":
            mark(mailbox, calendar, hidden=True)
        else:
            del box(mailbox).calendars[calendar.provider_id]
    mailbox.house.forward(AN_HOUR)

    with pytest.raises(ProviderUnavailable, match="empty_calendar_list"):
        mailbox.read_list()

    assert names(mailbox) == known


def test_calendar_that_shows_free_and_busy_only_is_asked_when_it_is_busy_until_it_is_shared_again(google):
    calendar = google.calendars()[1]
    google.sync(calendar)
    assert len(assert_equal(google, calendar)) > 10

    # Google's list says nothing of rights that its owner took away; the events do.
    google.at_sandbox(calendar).entry["accessRole"] = "freeBusyReader"
    with pytest.raises(CalendarGone):
        google.sync(calendar)
    assert google.connection_id in google.house.due.calendar_lists()
    google.read_list()
    assert (leftovers(google, calendar), state_of(google, calendar).channel_due_at) == (1, None)

    google.sync(calendar)
    blocks = stored_events(google, calendar)
    soon = [b for b in blocks if google.house.clock() < b.start_at < google.house.clock() + timedelta(days=79)]
    shown = free_busy_of(google, calendar)
    assert {b.start_at.isoformat() for b in soon} <= {utc(block["start"]) for block in shown}
    assert len(soon) > 5
    told = {(b.summary, b.location, b.description, b.privacy, b.busy, str(b.attendees)) for b in blocks}
    assert told == {(None, None, None, "private", "busy", "[]")}
    outcome = google.sync(calendar)
    assert (outcome.events, outcome.full) == (0, False)

    Desk(google, calendar).plant({"id": "new", "status": "confirmed", **times(monday(3, hour=22))})
    google.sync(calendar)
    assert len(stored_events(google, calendar)) == len(blocks) + 1
    google.at_sandbox(calendar).items.clear()
    google.sync(calendar)
    assert stored_events(google, calendar) == []


def test_blocks_of_time_that_are_over_do_not_pile_up(google):
    calendar = google.calendars()[1]
    mark(google, calendar, accessRole="freeBusyReader")
    google.read_list()
    google.sync(calendar)
    first = {row.provider_id for row in stored_events(google, calendar)}

    google.house.forward(timedelta(days=80))
    google.sync(calendar)

    blocks = stored_events(google, calendar)
    assert blocks
    assert min(row.end_at for row in blocks) >= state_of(google, calendar).window_start
    assert first - {row.provider_id for row in blocks}


def test_a_calendar_shared_again_is_read_with_its_details_within_the_hour(google):
    calendar = google.calendars()[1]
    mark(google, calendar, accessRole="freeBusyReader")
    google.read_list()
    google.sync(calendar)
    assert {row.privacy for row in stored_events(google, calendar)} == {"private"}

    google.at_sandbox(calendar).entry["accessRole"] = "reader"
    google.house.forward(AN_HOUR)
    google.read_list()
    google.sync(calendar)

    assert len(assert_equal(google, calendar)) > 10
    assert state_of(google, calendar).channel_due_at is not None


def test_who_lets_us_see_no_more_than_busy_times_is_asked_for_no_more(house, provider):
    mailbox = house.connect(provider, ACCOUNTS[provider], TIMES_ONLY)
    calendar = mailbox.main()
    mailbox.sync()

    events = stored_events(mailbox, calendar)
    assert {row.access_role for row in mailbox.calendars()} == {"free_busy"}
    assert len(events) > 10
    assert state_of(mailbox, calendar).channel_due_at is None
    details = ("summary", "location", "description", "html_link", "conference_url", "organizer", "ical_uid")
    assert {getattr(row, name) for row in events for name in details} == {None}
    assert {(row.privacy, str(row.attendees)) for row in events} == {("private", "[]")}

    # A wider consent: everything is read anew, with its details.
    house.connect(provider, ACCOUNTS[provider])
    mailbox.sync()
    assert len(assert_equal(mailbox)) > 10
    assert state_of(mailbox, calendar).channel_due_at is not None


def test_a_calendar_that_the_person_leaves_out_is_not_kept(google):
    calendar, lists = google.main(), google.house.lists
    google.sync()
    query(google, CHANGED, {"id": calendar.id})

    lists.select(calendar.id, is_selected=False)
    google.read_list()
    assert leftovers(google, calendar) == 0
    assert google.house.sync.sync(calendar.id) is None
    rows = query(google, "SELECT * FROM changes WHERE calendar_id = %s ORDER BY seq", calendar.id)
    assert {row.is_removed for row in rows} == {True}
    assert [row.event_id for row in rows][-2:] == ["first", "second"]
    assert [row.seq for row in rows if row.event_id == "gone"] == [1000001]

    lists.select(calendar.id, is_selected=True)
    assert state_of(google, calendar).change_seq == rows[-1].seq > 1000003
    google.sync()

    assert len(assert_equal(google)) > 10


def test_of_two_who_read_one_list_the_slower_changes_nothing(google):
    with google.house.store.reading() as tx:
        read_from = tx.calendars.list_cursor(google.connection_id)
    known = names(google)
    google.new_calendar()

    with google.house.store.transaction() as tx:
        outdated = tx.calendars.merge_list(google.connection_id, CalendarListing(()), read_from, google.house.clock())

    assert outdated is None
    assert len(names(google)) == len(known) + 1
