"""The list of calendars follows the provider's: added, renamed, removed, shared with other rights."""

from tests.integration.sync.compare import assert_equal, query
from tests.integration.sync.desk import Desk, monday


def names(mailbox):
    return [row.name for row in mailbox.calendars()]


def test_added_calendar_is_synced_at_once_and_a_removed_one_leaves_nothing(mailbox):
    known = names(mailbox)

    added = mailbox.new_calendar()
    assert ("sync", added.id) in mailbox.house.nudge.sent
    assert added.id in mailbox.house.due.syncs()
    Desk(mailbox, added).add("Kept a while", monday())
    mailbox.sync(added)
    mailbox.list_edit("rename", calendar=added.provider_id, name="Renamed")
    mailbox.read_list()
    assert sorted(names(mailbox)) == sorted([*known, "Renamed"])

    mailbox.list_edit("remove", calendar=added.provider_id)
    mailbox.read_list()
    assert sorted(names(mailbox)) == sorted(known)
    left = query(mailbox, "SELECT 1 FROM events WHERE calendar_id = %s", added.id)
    assert left == []
    assert mailbox.house.sync.sync(added.id) is None


def test_calendar_that_shows_free_and_busy_only_loses_its_events_until_it_is_shared_again(google):
    calendar = google.calendars()[1]
    google.sync(calendar)
    assert len(assert_equal(google, calendar)) > 10

    google.at_sandbox(calendar).entry["accessRole"] = "freeBusyReader"
    google.read_list()
    assert google.house.sync.sync(calendar.id) is None
    assert query(google, "SELECT 1 FROM occurrences WHERE calendar_id = %s", calendar.id) == []

    google.at_sandbox(calendar).entry["accessRole"] = "reader"
    google.read_list()
    google.sync(calendar)
    assert len(assert_equal(google, calendar)) > 10
