"""Sync runs: one at a time, all or nothing, and what each kind of change leaves behind."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from app.domain.calendars import Busy, EventKind, EventStatus, Occurrence, Window
from app.domain.connections import Reason
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

LATER = NOW + timedelta(minutes=5)


def lease(store, calendar, owner="worker-1", lease_s=60):
    with store.transaction() as tx:
        return tx.calendars.lease(calendar.id, owner, lease_s)


def apply(store, run, brought, owner="worker-1"):
    return apply_round(store, run, owner, brought) is not None


def finish(store, run, owner="worker-1", *, error=None, drop_cursor=False):
    with store.transaction() as tx:
        return tx.calendars.finish(run, owner, next_at=LATER, error=error, drop_cursor=drop_cursor, now=NOW)


def claim(store, now=NOW, hold_until=HOLD, limit=10):
    with store.transaction() as tx:
        return tx.calendars.claim_due(now, hold_until, limit)


def expire_leases(peek):
    peek("UPDATE sync_states SET lease_until = clock_timestamp() - interval '1 ms'")


def stored(peek, columns="provider_id", order="provider_id"):
    return peek(f"SELECT {columns} FROM events ORDER BY {order}")  # noqa: S608 - column names of these tests


def times(rows, calendar):
    return [(item.occurrence.source_id, item.occurrence.start) for item in rows.occurrences(calendar.person_id)]


# The lease and the claim


def test_a_first_lease_has_no_cursor(store, rows):
    calendar = rows.calendar()

    run = lease(store, calendar)

    assert (run.calendar.id, run.cursor, run.window, run.generation) == (calendar.id, None, None, 0)


def test_a_calendar_is_leased_to_one_session(store, rows, peek):
    calendar = rows.calendar()
    with store.transaction() as tx:
        first = tx.calendars.lease(calendar.id, "one", 60)
        second = Session(store, lambda tx: tx.calendars.lease(calendar.id, "two", 60))
        second.wait_until_blocked(peek)

    assert first is not None
    assert second.answer() is None


def test_a_lease_that_ran_out_by_the_databases_clock_is_taken_over(store, rows, peek):
    calendar = rows.calendar()
    first = lease(store, calendar)
    expire_leases(peek)

    second = lease(store, calendar, "worker-2")

    assert second.epoch == first.epoch + 1


def test_calendars_of_connections_that_do_not_work_are_neither_claimed_nor_leased(store, rows):
    calendar = rows.calendar()
    with store.transaction() as tx:
        tx.connections.mark_needs_reconnect(calendar.connection_id, 1, Reason.REVOKED_BY_USER, NOW)

    assert claim(store) == ()
    assert lease(store, calendar) is None


def test_due_calendars_are_claimed_once_until_the_hold_ends(store, rows):
    calendar = rows.calendar()

    assert claim(store, NOW - timedelta(seconds=1)) == ()
    assert claim(store) == (calendar.id,)
    assert claim(store) == ()
    assert claim(store, HOLD, HOLD + timedelta(seconds=30)) == (calendar.id,)


def test_two_sessions_claim_different_calendars_without_waiting(store, rows):
    found = {rows.calendar(rows.connection(f"sub-{n}")).id for n in range(5)}

    with store.transaction() as one:
        first = one.calendars.claim_due(NOW, HOLD, 3)
        with store.transaction() as two:
            second = two.calendars.claim_due(NOW, HOLD, 3)

    assert (len(first), len(second)) == (3, 2)
    assert set(first) | set(second) == found


def test_a_calendar_that_is_being_synced_is_not_claimed(store, rows):
    lease(store, rows.calendar())

    assert claim(store) == ()


# The dirty counter


def test_a_finished_run_is_due_at_the_next_poll(store, rows):
    calendar = rows.calendar()
    run = lease(store, calendar)
    apply(store, run, changes(full=True))

    assert finish(store, run) is False
    assert claim(store) == ()
    assert claim(store, LATER) == (calendar.id,)


def test_a_wish_during_a_run_makes_it_due_again_at_once(store, rows):
    calendar = rows.calendar()
    run = lease(store, calendar)
    with store.transaction() as tx:
        tx.calendars.request_sync(calendar.id, NOW)
    apply(store, run, changes(full=True))

    assert finish(store, run) is True
    assert claim(store) == (calendar.id,)


def test_a_wish_before_the_lease_is_served_by_the_run(store, rows):
    calendar = rows.calendar()
    with store.transaction() as tx:
        tx.calendars.request_sync(calendar.id, NOW)
    run = lease(store, calendar)
    apply(store, run, changes(full=True))

    assert finish(store, run) is False


def test_after_a_failure_it_is_due_when_the_back_off_ends_even_if_wished_for(store, rows):
    calendar = rows.calendar()
    run = lease(store, calendar)
    with store.transaction() as tx:
        tx.calendars.request_sync(calendar.id, NOW)

    assert finish(store, run, error="provider_unavailable") is False

    assert claim(store) == ()
    assert claim(store, LATER) == (calendar.id,)
    with store.reading() as tx:
        row = tx.calendars.get(calendar.id)
    assert (row.last_error, row.last_success_at) == ("provider_unavailable", None)


def test_a_wish_never_makes_a_calendar_due_later(store, rows):
    calendar = rows.calendar()
    with store.transaction() as tx:
        tx.calendars.request_sync(calendar.id, NOW + timedelta(days=1))

    assert claim(store) == (calendar.id,)


# Applying


def test_the_cursor_comes_with_the_data(store, rows, peek):
    calendar = rows.calendar()
    run = lease(store, calendar)

    assert apply(store, run, changes([single("e-1")], cursor="c-1", full=True))
    finish(store, run)

    following = lease(store, calendar)
    assert (following.cursor, following.window, following.generation) == ("c-1", WINDOW, 1)
    assert following.cursor_version == run.cursor_version + 1
    assert following.calendar.event_count == 1
    assert following.calendar.last_success_at == NOW
    assert stored(peek) == [("e-1",)]


def test_a_run_whose_lease_was_taken_over_writes_nothing(store, rows, peek):
    calendar = rows.calendar()
    paused = lease(store, calendar)
    expire_leases(peek)
    winner = lease(store, calendar)

    assert apply(store, paused, changes([single("old")], full=True)) is False
    assert apply(store, winner, changes([single("new")], full=True)) is True

    assert stored(peek) == [("new",)]


def test_a_run_whose_lease_was_taken_over_gives_nothing_back(store, rows, peek):
    calendar = rows.calendar()
    paused = lease(store, calendar)
    expire_leases(peek)
    lease(store, calendar)

    assert finish(store, paused, drop_cursor=True) is False
    assert lease(store, calendar) is None


def test_a_round_is_applied_once(store, rows):
    run = lease(store, rows.calendar())
    brought = changes([single("e-1")], full=True)

    assert apply(store, run, brought) is True
    assert apply(store, run, brought) is False


def test_another_owner_cannot_apply_a_run(store, rows):
    run = lease(store, rows.calendar())

    assert apply(store, run, changes(full=True), owner="stranger") is False


def test_two_sessions_applying_one_round_write_it_once(store, rows, peek):
    run = lease(store, rows.calendar())
    with store.transaction() as tx:
        staged = changes([single("e-1")], full=True).stage(tx, run)
    with store.transaction() as tx:
        assert tx.calendars.apply(run, "worker-1", staged, NOW)
        other = Session(store, lambda tx: tx.calendars.apply(run, "worker-1", staged, NOW))
        other.wait_until_blocked(peek)

    assert other.answer() is None


def test_a_round_that_fails_half_way_leaves_nothing(store, rows, peek):
    calendar = rows.calendar()
    run = lease(store, calendar)
    broken = Occurrence("e-1", "", "e-1", all_day=False, start=NOW, end=NOW - timedelta(hours=1))

    with pytest.raises(IntegrityError, match="ck_occurrences_times"):
        apply(store, run, changes([single("e-1")], series=[("e-1", (broken,))], full=True))

    assert stored(peek) == []
    assert peek("SELECT cursor, cursor_version FROM sync_states") == [(None, 0)]


def test_a_calendar_that_ended_meanwhile_takes_nothing(store, rows, peek):
    calendar = rows.calendar()
    run = lease(store, calendar)
    with store.transaction() as tx:
        tx.connections.disconnect(calendar.connection_id, NOW)

    assert apply(store, run, changes([single("e-1")], full=True)) is False
    assert stored(peek) == []


def test_a_dropped_cursor_is_gone_and_the_events_stay(store, rows, peek):
    calendar = rows.synced([single("e-1")])
    run = lease(store, calendar)

    finish(store, run, error="cursor_expired", drop_cursor=True)

    following = lease(store, calendar)
    assert (following.cursor, following.window) == (None, None)
    assert following.cursor_version == run.cursor_version + 1
    assert stored(peek) == [("e-1",)]


# Kinds of change


def test_everything_an_event_says_comes_back_from_the_store(store, rows):
    rich = master(
        "m-1", time_zone="Europe/Berlin", time_zone_raw="W. Europe Standard Time",
        rules=("RRULE:FREQ=DAILY", "EXDATE:1"),
        rules_raw={"pattern": {"type": "daily", "interval": 1}}, busy=Busy.OUT_OF_OFFICE, event_type="outOfOffice",
        privacy="private", self_response="accepted", is_organizer=True,
        organizer={"name": "Ada", "email": "ada@example.test"},
        attendees=({"name": "Bo", "email": "bo@example.test", "response": "declined"},), attendees_omitted=True,
        summary="Töpfern 🏺", location="Küche", description="<b>x</b>", html_link="https://example.test/e",
        conference_url="https://meet.example.test/1", ical_uid="uid@example.test", etag='"1"', sequence=3,
        updated_at=NOW, problem="rule_too_dense",
    )  # fmt: skip
    odd = exception("x-1", "m-1", all_day=True, start=date(2026, 11, 24), end=date(2026, 11, 25))
    bare = exception("x-2", "m-1", None, status=EventStatus.CANCELLED, start=None, end=None)
    calendar = rows.synced([rich, odd, bare], series=())

    with store.reading() as tx:
        (series,) = tx.calendars.series(calendar.id, ["m-1", "unknown"])

    assert series.master == rich
    assert series.exceptions == (odd, bare)


def test_a_changed_event_replaces_the_stored_one(store, rows):
    calendar = rows.synced([single("e-1")])

    rows.apply(calendar, changes([single("e-1", NOW + timedelta(hours=3), summary="Moved")]))

    (item,) = rows.occurrences(calendar.person_id)
    assert (item.summary, item.occurrence.start) == ("Moved", NOW + timedelta(hours=3))


def test_an_unchanged_event_is_not_written_again(store, rows, peek):
    calendar = rows.synced([single("e-1"), single("e-2")])
    before = dict(stored(peek, "provider_id, xmin::text"))

    rows.apply(calendar, changes([single("e-1"), single("e-2", summary="Changed")]))

    after = dict(stored(peek, "provider_id, xmin::text"))
    assert after["e-1"] == before["e-1"]
    assert after["e-2"] != before["e-2"]


def test_a_deleted_single_event_is_gone_with_its_occurrence(store, rows, peek):
    calendar = rows.synced([single("e-1"), single("e-2")])

    rows.apply(calendar, changes(removed=["e-1", "never seen"]))

    assert stored(peek) == [("e-2",)]
    assert [source for source, _ in times(rows, calendar)] == ["e-2"]
    with store.reading() as tx:
        assert tx.calendars.get(calendar.id).event_count == 1


def series_of_three(rows):
    event = master("m-1")
    moved = exception(
        "m-1_2", "m-1", "20261124T120000Z", start=NOW + timedelta(hours=30), end=NOW + timedelta(hours=31)
    )
    found = (
        occurrence(event, "20261123T120000Z"),
        occurrence(moved, "20261124T120000Z", series_id="m-1"),
        occurrence(event, "20261125T120000Z", start=NOW + timedelta(days=2), end=NOW + timedelta(days=2, hours=1)),
    )
    return rows.synced([event, moved, single("e-1")], series=[("m-1", found), ("e-1", (occurrence(single("e-1")),))])


def test_a_deleted_master_takes_exceptions_and_occurrences_along(store, rows, peek):
    calendar = series_of_three(rows)

    rows.apply(calendar, changes(removed=["m-1"]))

    assert stored(peek) == [("e-1",)]
    assert [source for source, _ in times(rows, calendar)] == ["e-1"]


def test_a_deleted_exception_stays_as_a_cancelled_instance(store, rows, peek):
    calendar = series_of_three(rows)
    rows.apply(calendar, changes(removed=["m-1_2"]))

    assert stored(peek, "provider_id, status, recurrence_id, series_id")[2] == (
        "m-1_2", "cancelled", "20261124T120000Z", "m-1",
    )  # fmt: skip
    assert [source for source, _ in times(rows, calendar)] == ["e-1", "m-1", "m-1"]


def test_an_instance_that_comes_back_as_it_was_is_no_longer_cancelled(store, rows, peek):
    calendar = series_of_three(rows)
    moved = exception(
        "m-1_2", "m-1", "20261124T120000Z", start=NOW + timedelta(hours=30), end=NOW + timedelta(hours=31)
    )
    rows.apply(calendar, changes(removed=["m-1_2"]))

    rows.apply(calendar, changes([moved], series=()))

    assert peek("SELECT status FROM events WHERE provider_id = 'm-1_2'") == [("confirmed",)]


def test_a_bare_tombstone_of_an_instance_does_not_forget_whose_it_was(store, rows, peek):
    calendar = series_of_three(rows)
    bare = exception("m-1_2", "m-1", None, status=EventStatus.CANCELLED, start=None, end=None)

    rows.apply(calendar, changes([bare], series=()))

    assert peek("SELECT recurrence_id, status FROM events WHERE provider_id = 'm-1_2'") == [
        ("20261124T120000Z", "cancelled")
    ]


def test_a_series_is_replaced_as_a_whole(store, rows):
    calendar = series_of_three(rows)
    event = master("m-1")

    rows.apply(calendar, changes([], series=[("m-1", (occurrence(event, "20261125T120000Z"),))]))

    assert [item.occurrence.recurrence_id for item in rows.occurrences(calendar.person_id)] == ["", "20261125T120000Z"]


def test_a_series_without_instances_left_has_no_occurrences(store, rows):
    calendar = series_of_three(rows)

    rows.apply(calendar, changes([], series=[("m-1", ())]))

    assert [source for source, _ in times(rows, calendar)] == ["e-1"]


def test_an_event_moved_out_of_the_window_leaves_no_old_occurrence(store, rows):
    calendar = rows.synced([single("e-1")])
    far = single("e-1", WINDOW.end + timedelta(days=100))

    rows.apply(calendar, changes([far], series=[("e-1", ())]))

    assert times(rows, calendar) == []


def test_a_single_event_that_became_a_series_is_stored_as_one(store, rows):
    calendar = rows.synced([single("e-1")])
    event = master("e-1")

    rows.apply(calendar, changes([event], series=[("e-1", (occurrence(event, "20261123T120000Z"),))]))

    with store.reading() as tx:
        assert tx.calendars.series(calendar.id, ["e-1"])[0].master.kind is EventKind.MASTER
    assert len(times(rows, calendar)) == 1


def test_a_full_pass_sweeps_what_it_did_not_see(store, rows, peek):
    calendar = series_of_three(rows)

    rows.apply(calendar, changes([single("e-1"), single("e-9")], full=True))

    assert stored(peek) == [("e-1",), ("e-9",)]
    assert sorted(source for source, _ in times(rows, calendar)) == ["e-1", "e-9"]


def test_an_incremental_round_sweeps_nothing(store, rows, peek):
    calendar = rows.synced([single("e-1")])

    rows.apply(calendar, changes([single("e-2")]))

    assert stored(peek) == [("e-1",), ("e-2",)]


def test_a_full_pass_with_the_same_content_does_not_count_as_a_change(store, rows, peek):
    calendar = rows.synced([single("e-1")])
    peek(
        "UPDATE events SET changed_at = changed_at - interval '1 day', first_seen_at = first_seen_at - interval '1 day'"
    )

    rows.apply(calendar, changes([single("e-1")], full=True))

    day_before = NOW - timedelta(days=1)
    assert stored(peek, "first_seen_at, changed_at", "1") == [(day_before, day_before)]
    assert peek("SELECT seq FROM changes") == [(1,)]


def test_a_narrower_window_leaves_nothing_outside_it(store, rows):
    far = single("far", NOW + timedelta(days=300))
    calendar = rows.synced([single("near"), far])
    narrow = Window(NOW, NOW + timedelta(days=30))

    rows.apply(calendar, changes([single("near")], full=True, window=narrow))

    assert [source for source, _ in times(rows, calendar)] == ["near"]


def test_readers_see_the_old_calendar_until_the_new_one_is_complete(store, rows):
    calendar = rows.synced([single("old")])
    run = lease(store, calendar)

    with store.transaction() as tx:
        staged = changes([single("new")], full=True).stage(tx, run)
    with store.transaction() as tx:
        assert tx.calendars.apply(run, "worker-1", staged, NOW)
        during = [source for source, _ in times(rows, calendar)]
    after = [source for source, _ in times(rows, calendar)]

    assert (during, after) == (["old"], ["new"])


def test_what_postgresql_cannot_hold_does_not_stop_a_calendar(store, rows):
    strange = single(
        "e\0-1", summary="zero \0 and half \ud83d", location="\0", sequence=2**70,
        attendees=({"name": "\0\udc00x", "email": "a@example.test"},), rules_raw=["\0", {"\ud800": 1.5, "n": None}],
    )  # fmt: skip

    calendar = rows.synced([strange])

    (item,) = rows.occurrences(calendar.person_id)
    assert item.summary == "zero  and half \N{REPLACEMENT CHARACTER}"
    assert item.location == ""


def test_absurd_but_possible_times_are_stored(rows, peek):
    first = single("first", datetime(1, 1, 1, tzinfo=UTC))
    last = all_day("last", date(9999, 12, 30))

    rows.synced([first, last])

    assert stored(peek) == [("first",), ("last",)]


def test_ids_that_differ_by_one_character_or_case_are_two_events(store, rows, peek):
    rows.synced([single("AQ-1"), single("AQ_1"), single("aq-1")])

    assert len(stored(peek)) == 3


def test_occurrences_given_twice_are_stored_once(store, rows):
    event = master("m-1")
    twice = occurrence(event, "20261123T120000Z")

    calendar = rows.synced(
        [event], series=[("m-1", (twice, occurrence(replace(event, busy=Busy.FREE), "20261123T120000Z")))]
    )

    (item,) = rows.occurrences(calendar.person_id)
    assert item.occurrence.busy is Busy.FREE


def test_the_same_id_in_two_calendars_is_two_events(store, rows, peek):
    one = rows.calendar(rows.connection("a"))
    two = rows.calendar(rows.connection("b"))
    rows.synced([single("same")], one)
    rows.synced([single("same")], two)

    rows.apply(one, changes(removed=["same"]))

    assert peek("SELECT calendar_id FROM events") == [(two.id,)]


def test_ten_thousand_events_go_in_and_again_with_one_changed(store, rows, peek):
    many = [single(f"e-{n}", NOW + timedelta(minutes=10 * n)) for n in range(10_000)]
    calendar = rows.synced(many)
    before = dict(stored(peek, "provider_id, xmin::text"))

    rows.apply(calendar, changes([*many[1:], replace(many[0], summary="Changed")]))

    after = dict(stored(peek, "provider_id, xmin::text"))
    assert [key for key in after if after[key] != before[key]] == ["e-0"]
    assert peek("SELECT count(*) FROM occurrences") == [(10_000,)]


def test_an_exception_that_left_the_view_of_an_expanding_provider_is_forgotten(store, rows, peek):
    calendar = series_of_three(rows)

    rows.apply(calendar, replace(changes(removed=["m-1_2"]), expanded_by_provider=True))

    assert stored(peek) == [("e-1",), ("m-1",)]


def test_exceptions_without_a_master_are_found_for_expansion(store, rows):
    orphan = exception("x-1", "lost", summary="Alone")
    calendar = rows.synced([orphan], series=())

    with store.reading() as tx:
        (series,) = tx.calendars.series(calendar.id, ["lost"])

    assert (series.master, series.exceptions) == (None, (orphan,))
