"""The stored list of calendars follows the provider's."""

from uuid import uuid4

import pytest

from app.domain.calendars import CalendarListing, Channel, RemoteCalendar
from tests.integration.store.rows import HOLD, NOW, WINDOW, Session, single


def remote(provider_id, role="owner", *, name=None, is_primary=False, **changes):
    return RemoteCalendar(provider_id, name or provider_id, "Europe/Berlin", role, is_primary, **changes)


def merge(store, connection, *listed):
    with store.transaction() as tx:
        return tx.calendars.merge_list(connection.id, CalendarListing(listed), None, NOW)


def names(store, connection):
    with store.reading() as tx:
        return [row.provider_id for row in tx.calendars.of_connection(connection.id)]


def test_new_readable_calendars_are_due_at_once(store, rows):
    connection = rows.connection()

    new = merge(store, connection, remote("b"), remote("a", is_primary=True))

    assert len(new) == 2
    assert names(store, connection) == ["a", "b"]
    with store.transaction() as tx:
        assert set(tx.calendars.claim_due(NOW, HOLD, 10)) == set(new)


def test_a_calendar_that_shows_only_free_and_busy_is_synced_and_gets_no_channel(store, rows):
    connection = rows.connection()

    new = merge(store, connection, remote("team", "free_busy"))

    with store.transaction() as tx:
        (row,) = tx.calendars.of_connection(connection.id)
        assert (row.access_role, row.is_times_only, row.last_success_at) == ("free_busy", True, None)
        assert tx.calendars.claim_due(NOW, HOLD, 10) == new
        assert tx.channels.claim_missing(NOW, HOLD, 10) == ()


def test_reading_the_same_list_again_changes_nothing(store, rows):
    connection = rows.connection()
    first = merge(store, connection, remote("a"))

    assert merge(store, connection, remote("a")) == ()
    with store.reading() as tx:
        assert tx.calendars.get(first[0]).id == first[0]


def test_a_renamed_calendar_keeps_its_id_and_its_events(store, rows):
    connection = rows.connection()
    (calendar_id,) = merge(store, connection, remote("a"))
    with store.reading() as tx:
        calendar = tx.calendars.get(calendar_id)
    rows.synced([single("e-1")], calendar)

    merge(store, connection, remote("a", name="Renamed", color="#123456"))

    with store.reading() as tx:
        row = tx.calendars.get(calendar_id)
    assert (row.name, row.event_count) == ("Renamed", 1)


@pytest.mark.parametrize("listed", [(), (remote("a", "free_busy"),)])
def test_a_calendar_we_may_not_read_any_more_loses_its_events_and_its_channel(store, rows, peek, listed):
    connection = rows.connection()
    (calendar_id,) = merge(store, connection, remote("a"))
    with store.reading() as tx:
        calendar = tx.calendars.get(calendar_id)
    rows.synced([single("e-1")], calendar)
    active, creating = uuid4(), uuid4()
    with store.transaction() as tx:
        tx.channels.add(active, calendar_id, NOW)
        tx.channels.activate(active, Channel("p-1", None, WINDOW.end), NOW, NOW, NOW)
        tx.channels.add(creating, calendar_id, NOW)

    merge(store, connection, *listed)

    assert [peek(f"TABLE {table}") for table in ("events", "occurrences")] == [[], []]
    assert peek("SELECT id, state FROM channels") == [(active, "stopping")]
    assert peek("SELECT cursor, channel_due_at FROM sync_states") == [(None, None)] * len(listed)
    with store.reading() as tx:
        assert rows.occurrences(connection.person_id) == ()


def test_a_calendar_that_comes_back_is_synced_anew(store, rows):
    connection = rows.connection()
    (first,) = merge(store, connection, remote("a"))
    merge(store, connection)
    assert names(store, connection) == []
    with store.reading() as tx:
        assert tx.calendars.get(first) is None

    (again,) = merge(store, connection, remote("a"))

    assert again == first
    with store.transaction() as tx:
        run = tx.calendars.lease(first, "worker", 60)
    assert (run.cursor, run.generation) == (None, 0)


def test_calendars_of_one_person_come_from_all_connections(store, rows):
    person = rows.person()
    one = rows.connection(person=person)
    two = rows.connection("sub-2", person=person)
    merge(store, one, remote("a"))
    merge(store, two, remote("a"))

    with store.reading() as tx:
        assert {row.connection_id for row in tx.calendars.of_person(person.id)} == {one.id, two.id}


def test_calendar_ids_that_differ_by_case_are_two_calendars(store, rows):
    connection = rows.connection()

    assert len(merge(store, connection, remote("AQ-a"), remote("aq-a"), remote("AQ_a"))) == 3


def test_a_list_for_an_ended_connection_is_not_stored(store, rows):
    connection = rows.connection()
    with store.transaction() as tx:
        tx.connections.disconnect(connection.id, NOW)

    assert merge(store, connection, remote("a")) is None
    assert names(store, connection) == []


def test_what_changed_leaves_the_rest_as_it_was(store, rows):
    connection = rows.connection()
    merge(store, connection, remote("a"), remote("b"), remote("c"))

    with store.transaction() as tx:
        listing = CalendarListing((remote("c", name="C"), remote("d")), ("b", "unknown"), "next", is_full=False)
        assert len(tx.calendars.merge_list(connection.id, listing, None, NOW)) == 1
        assert tx.calendars.list_cursor(connection.id) == "next"
        assert tx.calendars.merge_list(connection.id, listing, None, NOW) is None

    with store.reading() as tx:
        assert [row.name for row in tx.calendars.of_connection(connection.id)] == ["C", "a", "d"]


def test_two_readers_of_one_list_take_turns(store, rows, peek):
    connection = rows.connection()
    with store.transaction() as tx:
        first = tx.calendars.merge_list(connection.id, CalendarListing((remote("a"),)), None, NOW)
        both = CalendarListing((remote("a"), remote("b")))
        other = Session(store, lambda tx: tx.calendars.merge_list(connection.id, both, None, NOW))
        other.wait_until_blocked(peek)

    assert (len(first), len(other.answer())) == (1, 1)
    assert names(store, connection) == ["a", "b"]
