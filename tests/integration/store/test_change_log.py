"""What readers of changes are told by rounds, and how runs share a queue."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import event

from app.domain.calendars import CalendarListing, EventStatus, RemoteCalendar
from app.ports import RoundKey, SyncRound, Tally
from app.store.presence import PostgresPresence
from tests.integration.store.rows import (
    HOLD,
    NOW,
    WINDOW,
    Session,
    all_day,
    apply_round,
    changes,
    exception,
    master,
    occurrence,
    single,
)


def told(peek):
    """Return (event, number, removed) in the order of the numbers."""
    return peek("SELECT event_id, seq, is_removed FROM changes ORDER BY seq")


def cancelled(event):
    return replace(event, status=EventStatus.CANCELLED)


def weekly(event, *days):
    return (event.provider_id, tuple(occurrence(event, f"202611{day}T120000Z") for day in days))


def test_a_first_pass_tells_every_event_once(rows, peek):
    series, moved = master("m-1"), exception("m-1_2", "m-1")

    rows.synced([series, moved, single("e-1")], series=[weekly(series, 23, 24), ("e-1", (occurrence(single("e-1")),))])

    assert told(peek) == [("e-1", 1, False), ("m-1", 2, False)]
    assert peek("SELECT change_seq, last_change_at FROM sync_states") == [(2, NOW)]


def test_a_resync_of_an_unchanged_calendar_tells_and_writes_nothing(rows, peek):
    series = master("m-1")
    given = [series, exception("m-1_2", "m-1"), all_day("e-1", NOW.date())], [weekly(series, 23, 24)]
    calendar = rows.synced(given[0], series=given[1])
    written = (
        "SELECT xmin::text FROM events UNION ALL SELECT xmin::text FROM occurrences"
        " UNION ALL SELECT xmin::text FROM changes"
    )
    before = peek(written)

    rows.apply(calendar, changes(given[0], series=given[1], full=True))
    rows.apply(calendar, changes(given[0], series=given[1]))

    assert peek(written) == before
    assert peek("SELECT change_seq FROM sync_states") == [(2,)]


@pytest.mark.parametrize(
    ("brought", "expected"),
    [
        (changes([single("e-1", summary="New")]), ("e-1", False)),
        (changes([single("e-1", NOW + timedelta(hours=1))]), ("e-1", False)),
        (changes(removed=["e-1"]), ("e-1", True)),
        (changes([cancelled(single("e-1"))], series=[("e-1", ())]), ("e-1", True)),
        (changes([exception("m-1_2", "m-1", summary="Odd")]), ("m-1", False)),
        (changes(removed=["m-1_2"]), ("m-1", False)),
        (changes(series=[weekly(master("m-1"), 23, 24, 25)]), ("m-1", False)),
        (changes(removed=["m-1"]), ("m-1", True)),
        (changes([cancelled(master("m-1"))], series=[("m-1", ())]), ("m-1", True)),
    ],
    ids=["edited", "moved", "deleted", "cancelled", "exception", "instance gone", "one more", "series", "all off"],
)
def test_a_change_gets_the_next_number_in_the_place_of_the_last(rows, peek, brought, expected):
    series = master("m-1")
    calendar = rows.synced(
        [series, exception("m-1_2", "m-1"), single("e-1"), single("e-2")],
        series=[weekly(series, 23, 24), ("e-1", (occurrence(single("e-1")),))],
    )

    rows.apply(calendar, brought)

    event_id, is_removed = expected
    assert told(peek)[-1] == (event_id, 4, is_removed)
    assert len(told(peek)) == 3
    assert peek("SELECT count(DISTINCT written_by) FROM changes") == [(2,)]


def test_what_was_never_told_leaves_no_tombstone(rows, peek):
    calendar = rows.synced([single("e-1")])

    rows.apply(calendar, changes(removed=["never seen"]))

    assert [event_id for event_id, _, _ in told(peek)] == ["e-1"]


def test_a_sweep_leaves_tombstones(rows, peek):
    calendar = rows.synced([single("e-1"), single("e-2")])

    rows.apply(calendar, changes([single("e-2")], full=True))

    assert told(peek) == [("e-2", 2, False), ("e-1", 3, True)]


def test_an_event_that_comes_back_is_told_again(rows, peek):
    calendar = rows.synced([single("e-1")])
    rows.apply(calendar, changes(removed=["e-1"]))

    rows.apply(calendar, changes([single("e-1")]))

    assert told(peek) == [("e-1", 3, False)]


def test_the_count_of_events_is_kept_by_difference(store, rows):
    calendar = rows.synced([master("m-1"), single("e-1"), single("e-2")], series=())
    for brought in (
        changes([single("e-3"), single("e-1", summary="New"), exception("m-1_2", "m-1")]),
        changes([cancelled(single("e-2"))], series=()),
        changes(removed=["m-1", "unknown"]),
    ):
        rows.apply(calendar, brought)

    with store.reading() as tx:
        assert tx.calendars.get(calendar.id).event_count == 2


def test_a_round_whose_staged_rows_got_lost_is_not_applied(store, rows, peek):
    calendar = rows.synced([single("e-1")])
    with store.transaction() as tx:
        run = tx.calendars.lease(calendar.id, "worker", 60)
        staged = changes([single("e-2")], full=True).stage(tx, run)
    # As a crash of the database does to tables that are not logged.
    peek("TRUNCATE staged_items, staged_occurrences")

    with store.transaction() as tx:
        assert tx.calendars.apply(run, "worker", staged, NOW) is None

    assert peek("SELECT provider_id FROM events") == [("e-1",)]


def test_the_last_word_on_an_id_wins_over_pages(store, rows, peek):
    calendar, tally = rows.calendar(), Tally()
    with store.transaction() as tx:
        run = tx.calendars.lease(calendar.id, "worker", 60)
        key = RoundKey(calendar.id, run.epoch)
        for brought in (
            changes([single("e-1", summary="First"), single("e-2"), single("e-3")]),
            changes([single("e-1", NOW + timedelta(hours=1))], removed=["e-2", "e-4"]),
            changes([single("e-4")], removed=["e-3"]),
        ):
            tally += tx.staging.add(key, brought.page, tally.items)
        tally -= tx.staging.drop_superseded(key)

    with store.transaction() as tx:
        assert tx.calendars.apply(run, "worker", SyncRound("c-1", WINDOW, tally, full=True), NOW) == 2

    assert stored(peek) == [("e-1", "Event e-1"), ("e-4", "Event e-4")]
    assert peek("SELECT source_id, start_at FROM occurrences ORDER BY 1") == [
        ("e-1", NOW + timedelta(hours=1)), ("e-4", NOW),
    ]  # fmt: skip


def test_while_a_round_is_applied_wishes_pass_and_a_farewell_waits(store, rows, peek):
    calendar = rows.synced([single("e-1")])
    with store.transaction() as tx:
        run = tx.calendars.lease(calendar.id, "worker", 60)
        staged = changes([single("e-2")]).stage(tx, run)

    leaving = []

    def meanwhile(_connection, _cursor, statement, *_):
        if "INSERT INTO occurrences" in statement:
            Session(store, lambda tx: tx.calendars.request_sync(calendar.id, NOW)).answer()
            leaving.append(Session(store, lambda tx: tx.calendars.select(calendar.id, is_selected=False, now=NOW)))
            leaving[0].wait_until_blocked(peek)

    with store.transaction() as tx:
        event.listen(tx.calendars._connection, "before_cursor_execute", meanwhile)
        assert tx.calendars.apply(run, "worker", staged, NOW) == 1
    leaving[0].answer()

    assert stored(peek) == []
    assert told(peek) == [("e-1", 3, True), ("e-2", 4, True)]


def test_staged_rows_of_died_runs_are_tidied_away(store, rows, peek):
    dead, living = rows.calendar(rows.connection("a")), rows.calendar(rows.connection("b"))
    with store.transaction() as tx:
        for calendar, lease_s in ((dead, 0), (living, 600)):
            changes([single("e-1")]).stage(tx, tx.calendars.lease(calendar.id, "worker", lease_s))
    peek("UPDATE staged_items SET staged_at = staged_at - interval '2 hours'")
    peek("UPDATE staged_occurrences SET staged_at = staged_at - interval '2 hours'")

    with store.transaction() as tx:
        assert tx.staging.discard_left_over(3600) == 2

    assert peek("SELECT calendar_id FROM staged_items") == [(living.id,)]


# The queue


def many(store, connection, count):
    """Give a connection calendars; returns their ids."""
    listed = tuple(RemoteCalendar(f"c-{n}", f"Calendar {n}", None, "owner", is_primary=n == 0) for n in range(count))
    with store.transaction() as tx:
        return tx.calendars.merge_list(connection.id, CalendarListing(listed), None, NOW)


def claim(store, now=NOW, limit=10):
    with store.transaction() as tx:
        return tx.calendars.claim_due(now, now + timedelta(seconds=30), limit)


def test_a_person_with_many_calendars_keeps_nobody_waiting(store, rows):
    crowd = set(many(store, rows.connection("crowd"), 30))
    other = rows.calendar(rows.connection("other"))
    with store.transaction() as tx:
        tx.calendars.request_sync(other.id, NOW)

    claimed = [claim(store, NOW + timedelta(seconds=seconds)) for seconds in range(4)]

    assert other.id in {calendar_id for found in claimed for calendar_id in found}
    assert all(len(crowd & set(found)) <= 2 for found in claimed)


def test_two_runs_of_a_connection_go_on_at_a_time(store, rows):
    first, second, third = many(store, rows.connection(), 3)
    with store.transaction() as tx:
        runs = [tx.calendars.lease(calendar_id, "worker", 60) for calendar_id in (first, second)]
    assert claim(store) == ()
    with store.transaction() as tx:
        assert tx.calendars.lease(third, "worker", 60) is None

    with store.transaction() as tx:
        tx.calendars.finish(runs[0], "worker", next_at=HOLD, error=None, drop_cursor=False, now=NOW)

    assert claim(store, NOW + timedelta(seconds=6)) == (third,)


def test_a_run_whose_process_died_frees_its_calendar(store, rows, peek, database_url):
    presence = PostgresPresence(database_url)
    presence.beat()
    dead, alive, unknown = many(store, rows.connection("a"), 1) + many(store, rows.connection("b"), 2)
    with store.transaction() as tx:
        old = tx.calendars.lease(dead, presence.identity, 600)
        tx.calendars.lease(unknown, str(uuid4()), 600)
    living = PostgresPresence(database_url)
    living.beat()
    with store.transaction() as tx:
        tx.calendars.lease(alive, living.identity, 600)
    peek("UPDATE processes SET heartbeat_at = heartbeat_at - interval '1 minute'")

    with store.transaction() as tx:
        assert tx.calendars.free_leases_of_the_dead(3, 0, NOW) == ()
    presence.close()

    with store.transaction() as tx:
        assert tx.calendars.free_leases_of_the_dead(3, 0, NOW) == (dead,)
    with store.transaction() as tx:
        assert tx.calendars.lease(dead, "next", 60).epoch == old.epoch + 1
    assert apply_round(store, old, presence.identity, changes([single("e-1")], full=True)) is None
    living.close()


def stored(peek):
    return peek("SELECT provider_id, summary FROM events ORDER BY 1")
