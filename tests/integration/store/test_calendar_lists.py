"""The stored list of calendars follows the provider's."""

from uuid import uuid4

import pytest

from app.domain.calendars import Channel, RemoteCalendar
from tests.integration.store.rows import HOLD, NOW, WINDOW, Session, single


def remote(provider_id, role="owner", *, name=None, is_primary=False, **changes):
    return RemoteCalendar(provider_id, name or provider_id, "Europe/Berlin", role, is_primary, **changes)


def merge(store, connection, *listed):
    with store.transaction() as tx:
        return tx.calendars.merge_list(connection.id, listed, NOW)


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


def test_a_calendar_that_shows_only_free_and_busy_is_listed_and_not_synced(store, rows):
    connection = rows.connection()

    assert merge(store, connection, remote("team", "free_busy")) == ()

    with store.transaction() as tx:
        (row,) = tx.calendars.of_connection(connection.id)
        assert (row.access_role, row.last_success_at, row.event_count) == ("free_busy", None, 0)
        assert tx.calendars.claim_due(NOW, HOLD, 10) == ()
        assert tx.calendars.lease(row.id, "worker", 60) is None


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


@pytest.mark.parametrize("listed", [(), (remote("a", is_removed=True),), (remote("a", "free_busy"),)])
def test_a_calendar_we_may_not_read_any_more_loses_its_events_and_its_channel(store, rows, peek, listed):
    connection = rows.connection()
    (calendar_id,) = merge(store, connection, remote("a"))
    with store.reading() as tx:
        calendar = tx.calendars.get(calendar_id)
    rows.synced([single("e-1")], calendar)
    active, creating = uuid4(), uuid4()
    with store.transaction() as tx:
        tx.channels.add(active, calendar_id, b"hash", NOW)
        tx.channels.activate(active, Channel("p-1", None, WINDOW.end), NOW, NOW)
        tx.channels.add(creating, calendar_id, b"hash", NOW)

    merge(store, connection, *listed)

    for table in ("events", "occurrences", "sync_states"):
        assert peek(f"TABLE {table}") == []
    with store.reading() as tx:
        assert [row.id for row in tx.channels.stopping(10)] == [active]
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

    assert merge(store, connection, remote("a")) == ()
    assert names(store, connection) == []


def test_two_readers_of_one_list_take_turns(store, rows, peek):
    connection = rows.connection()
    with store.transaction() as tx:
        first = tx.calendars.merge_list(connection.id, (remote("a"),), NOW)
        other = Session(store, lambda tx: tx.calendars.merge_list(connection.id, (remote("a"), remote("b")), NOW))
        other.wait_until_blocked(peek)

    assert (len(first), len(other.answer())) == (1, 1)
    assert names(store, connection) == ["a", "b"]
