"""Push channels: one in use per calendar, the others on their way out."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import update

from app.domain.calendars import Channel
from app.domain.connections import Reason
from app.store.schema import calendars
from tests.integration.store.rows import HOLD, NOW, WINDOW

RENEW = NOW + timedelta(days=5)
END = NOW + timedelta(days=7)
LATER = NOW + timedelta(seconds=30)


def add(store, calendar, at=NOW):
    channel_id = uuid4()
    with store.transaction() as tx:
        tx.channels.add(channel_id, calendar.id, at)
    return channel_id


def activate(store, channel_id, provider_id=None, renew_at=RENEW):
    with store.transaction() as tx:
        return tx.channels.activate(
            channel_id, Channel(provider_id or str(channel_id), "resource", END), renew_at, NOW, LATER
        )


def claim(store, now=NOW, hold_until=HOLD):
    with store.transaction() as tx:
        return tx.channels.claim_missing(now, hold_until, 10)


def claim_stops(store, now):
    with store.transaction() as tx:
        return [row.id for row in tx.channels.claim_stops(now, now + timedelta(minutes=1), 10)]


def get(store, channel_id):
    with store.reading() as tx:
        return tx.channels.get(channel_id)


def test_a_channel_is_written_down_before_it_exists(store, rows):
    calendar = rows.calendar()
    channel_id = add(store, calendar)

    row = get(store, channel_id)

    assert (row.state, row.channel) == ("creating", None)
    assert (row.calendar_id, row.connection_id) == (calendar.id, calendar.connection_id)
    assert (row.provider, row.provider_kind, row.calendar_provider_id) == ("google", "google", "primary")
    with store.reading() as tx:
        assert tx.channels.any_creating("google", NOW)
        assert not tx.channels.any_creating("microsoft", NOW)


def test_an_answer_makes_it_active_and_findable_by_the_providers_id(store, rows):
    channel_id = add(store, rows.calendar())

    activate(store, channel_id, "Sub-A")

    with store.reading() as tx:
        (row,) = tx.channels.by_provider_ids(("Sub-A", "sub-a", "Sub-B"))
        assert not tx.channels.any_creating("google", NOW)
    assert (row.id, row.state, row.channel) == (channel_id, "active", Channel("Sub-A", "resource", END))


def test_a_new_channel_retires_the_older_ones(store, rows):
    calendar = rows.calendar()
    old = add(store, calendar)
    activate(store, old)
    unanswered = add(store, calendar, NOW + timedelta(seconds=1))
    new = add(store, calendar, NOW + timedelta(seconds=2))

    activate(store, new)

    assert (get(store, old).state, get(store, unanswered), get(store, new).state) == ("stopping", None, "active")
    assert claim_stops(store, LATER - timedelta(seconds=1)) == []
    assert claim_stops(store, LATER) == [old]
    assert claim_stops(store, LATER) == []
    with store.reading() as tx:
        assert [row.id for row in tx.channels.of_calendar(calendar.id)] == [new, old]
        assert len(tx.channels.of_connection(calendar.connection_id)) == 2


def test_a_renewed_channel_stays_the_active_one(store, rows):
    channel_id = add(store, rows.calendar())
    activate(store, channel_id)
    activate(store, channel_id, renew_at=RENEW + timedelta(days=5))

    assert get(store, channel_id).state == "active"
    assert claim(store, RENEW) == ()


def test_an_answer_for_a_channel_that_is_gone_changes_nothing(store, rows):
    calendar = rows.calendar()
    channel_id = add(store, calendar)
    with store.transaction() as tx:
        tx.connections.disconnect(calendar.connection_id, NOW)

    assert not activate(store, channel_id)

    assert get(store, channel_id) is None


def test_a_calendar_is_claimed_for_its_first_channel_and_for_renewal(store, rows):
    calendar = rows.calendar()
    assert claim(store) == (calendar.id,)
    assert claim(store) == ()
    activate(store, add(store, calendar))

    assert claim(store, RENEW - timedelta(seconds=1)) == ()
    assert claim(store, RENEW) == (calendar.id,)


def test_two_sessions_claim_different_calendars(store, rows):
    found = {rows.calendar(rows.connection(f"sub-{n}")).id for n in range(4)}

    with store.transaction() as one:
        first = one.channels.claim_missing(NOW, HOLD, 3)
        with store.transaction() as two:
            second = two.channels.claim_missing(NOW, HOLD, 3)

    assert (len(first), len(second)) == (3, 1)
    assert set(first) | set(second) == found


def test_a_failed_channel_is_tried_again_later(store, rows):
    calendar = rows.calendar()
    claim(store)
    channel_id = add(store, calendar)
    with store.transaction() as tx:
        tx.channels.fail(calendar.id, channel_id, NOW + timedelta(minutes=5))

    assert get(store, channel_id) is None
    assert claim(store, NOW + timedelta(minutes=4)) == ()
    assert claim(store, NOW + timedelta(minutes=5), NOW + timedelta(minutes=6)) == (calendar.id,)


def test_a_calendar_that_cannot_be_watched_is_left_alone(store, rows):
    calendar = rows.calendar()
    with store.transaction() as tx:
        tx.channels.fail(calendar.id, uuid4(), None)

    assert claim(store, WINDOW.end) == ()


@pytest.mark.parametrize(
    "unwanted", [{"is_selected": False}, {"paused_at": NOW}, {"removed_at": NOW}, {"access_role": "free_busy"}]
)
def test_a_calendar_nobody_wants_watched_has_no_channel(store, rows, peek, unwanted):
    calendar = rows.calendar()
    channel_id = add(store, calendar)
    activate(store, channel_id)
    with store.transaction() as tx:
        assert tx.channels.retire_unwanted(NOW, 10) == 0
        tx.channels._connection.execute(update(calendars).values(unwanted))

    with store.transaction() as tx:
        assert tx.channels.retire_unwanted(NOW, 10) == 1

    assert claim_stops(store, NOW) == [channel_id]
    assert claim(store, WINDOW.end) == ()
    with store.transaction() as tx:
        assert tx.channels.take(calendar.id, None, HOLD) is None
        wanted = {"is_selected": True, "paused_at": None, "removed_at": None, "access_role": "owner"}
        tx.channels._connection.execute(update(calendars).values(wanted))
    assert claim(store, NOW) == (calendar.id,)


def test_a_lost_channel_is_hurried_unless_it_is_due_anyway(store, rows):
    calendar = rows.calendar()
    activate(store, add(store, calendar), renew_at=NOW + timedelta(minutes=3))
    with store.transaction() as tx:
        assert tx.channels.hurry((calendar.id,), NOW, NOW + timedelta(minutes=4)) == ()
        assert tx.channels.hurry((calendar.id,), NOW, NOW + timedelta(minutes=2)) == (calendar.id,)
        assert tx.channels.hurry((calendar.id,), NOW, NOW + timedelta(minutes=2)) == ()

    assert claim(store, NOW) == (calendar.id,)


def test_word_of_a_change_waits_for_the_next_run_and_is_taken_once(store, rows, peek):
    calendar = rows.calendar()
    one, two = add(store, calendar), add(store, calendar)
    with store.transaction() as tx:
        assert set(tx.channels.note((one, two), NOW)) == {one, two}
        assert tx.channels.note((one, two), LATER) == ()
        assert tx.channels.note((one,), LATER, missed=True) == (one,)
        assert tx.channels.note((one,), LATER) == ()
    ((before,),) = peek("SELECT requested FROM sync_states")

    for _ in range(2):
        with store.transaction() as tx:
            tx.calendars.claim_due(NOW, HOLD, 10)

    assert peek("SELECT requested, check_due_at FROM sync_states") == [(before + 1, NOW)]
    assert peek("SELECT DISTINCT news FROM channels") == [(None,)]


def test_a_channel_with_word_is_not_dropped_before_it_is_taken(store, rows):
    channel_id = add(store, rows.calendar())
    activate(store, channel_id)
    with store.transaction() as tx:
        tx.channels.end(channel_id, NOW)
        assert tx.channels.tidy(NOW, NOW, 10) == 0
        tx.calendars.claim_due(NOW, HOLD, 10)
        assert tx.channels.tidy(NOW, NOW, 10) == 1

    assert get(store, channel_id) is None


def test_channels_of_broken_connections_are_neither_made_nor_stopped(store, rows):
    calendar = rows.calendar()
    old = add(store, calendar)
    activate(store, old)
    activate(store, add(store, calendar, NOW + timedelta(seconds=1)))
    with store.transaction() as tx:
        tx.connections.mark_needs_reconnect(calendar.connection_id, 1, Reason.REVOKED_BY_USER, NOW)

    assert claim(store, WINDOW.end) == ()
    assert claim_stops(store, WINDOW.end) == []
    with store.reading() as tx:
        assert len(tx.channels.of_calendar(calendar.id)) == 2


def test_message_numbers_never_go_back(store, rows, peek):
    channel_id = add(store, rows.calendar())
    with store.transaction() as tx:
        for number in (5, 3, None):
            tx.channels.seen(channel_id, number, NOW)

    assert peek("SELECT message_number, last_seen_at FROM channels") == [(5, NOW)]


def test_a_deleted_channel_is_unknown(store, rows):
    channel_id = add(store, rows.calendar())
    with store.transaction() as tx:
        tx.channels.delete(channel_id)
        tx.channels.delete(channel_id)

    assert get(store, channel_id) is None
