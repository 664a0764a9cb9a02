"""Generations, the pointer, the refresh lease and claims."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

import pytest

from app.domain.connections import Reason
from app.domain.errors import UnknownConnection
from tests.integration.store.rows import HOLD, NOW, Session, generation

LATER = NOW + timedelta(hours=2)


class Undone(Exception):
    """Rolls a transaction back."""


def take(store, connection, *, parent=1, lease_s=60, owner="worker-1", held_until=None):
    with store.transaction() as tx:
        return tx.tokens.lease(connection.id, owner, uuid4(), lease_s, parent=parent, held_until=held_until)


def answer(lease, **changes):
    numbers = (lease.generation, lease.epoch, lease.tokens.connection.generation)
    return generation(lease.connection_id, numbers, origin="refresh", **changes)


def current(store, connection):
    with store.reading() as tx:
        return tx.tokens.current(connection.id)


def append(store, row):
    with store.transaction() as tx:
        return tx.tokens.append(row)


def claim(store, now=LATER, hold_until=LATER + timedelta(seconds=30), limit=10):
    with store.transaction() as tx:
        return tx.tokens.claim_due("google", now, hold_until, limit)


def test_the_first_generation_is_current(store, rows):
    connection = rows.connection(access=b"a-1", refresh=b"r-1")

    tokens = current(store, connection)

    assert (tokens.sealed_access, tokens.sealed_refresh, tokens.refresh_generation) == (b"a-1", b"r-1", 1)
    assert tokens.connection.generation == 1
    assert tokens.connection.granted_scopes == ("openid",)
    assert tokens.connection.access_expires_at == NOW + timedelta(hours=1)
    assert tokens.connection.last_refreshed_at == NOW
    assert tokens.wrapped_key == b"wrapped"
    assert tokens.lease_free


def test_a_connection_without_tokens_has_a_key_and_nothing_else(store, rows):
    tokens = current(store, rows.connection(tokens=False))

    assert (tokens.sealed_access, tokens.sealed_refresh, tokens.connection.generation) == (None, None, 0)


def test_an_unknown_connection_has_no_tokens(store):
    with store.reading() as tx:
        assert tx.tokens.current(uuid4()) is None


def test_a_refresh_token_that_is_not_replaced_stays_in_use_under_its_own_number(store, rows):
    connection = rows.connection(access=b"a-1", refresh=b"r-1")
    for number in (2, 3):
        append(store, answer(take(store, connection, parent=number - 1), access=b"a-%d" % number, refresh=None))

    tokens = current(store, connection)

    assert (tokens.sealed_access, tokens.sealed_refresh, tokens.refresh_generation) == (b"a-3", b"r-1", 1)
    assert tokens.connection.generation == 3


def test_a_rotated_refresh_token_replaces_the_one_before(store, rows):
    connection = rows.connection(refresh=b"r-1")
    append(store, answer(take(store, connection), refresh=b"r-2"))

    tokens = current(store, connection)

    assert (tokens.sealed_refresh, tokens.refresh_generation) == (b"r-2", 2)


def test_scopes_stay_when_the_answer_does_not_name_them(store, rows):
    connection = rows.connection(scopes=("openid", "calendar"))
    append(store, answer(take(store, connection), scopes=None))

    assert current(store, connection).connection.granted_scopes == ("openid", "calendar")


def test_a_lease_comes_with_the_attempt_written_down_and_the_tokens(store, rows, peek):
    connection = rows.connection(refresh=b"r-1")

    lease = take(store, connection)

    assert lease.tokens.sealed_refresh == b"r-1"
    assert not lease.tokens.lease_free
    assert peek("SELECT id, parent, generation, owner, outcome FROM refresh_attempts") == [
        (lease.attempt_id, 1, lease.generation, "worker-1", None)
    ]
    assert not current(store, connection).lease_free


def test_a_second_session_waits_for_the_first_and_gets_no_lease(store, rows, peek):
    connection = rows.connection()
    with store.transaction() as tx:
        first = tx.tokens.lease(connection.id, "one", uuid4(), 60, parent=1)
        second = Session(store, lambda tx: tx.tokens.lease(connection.id, "two", uuid4(), 60, parent=1))
        second.wait_until_blocked(peek)

    assert first is not None
    assert second.answer() is None
    assert peek("SELECT owner FROM refresh_attempts") == [("one",)]


def test_the_second_session_gets_the_lease_when_the_first_rolls_back(store, rows, peek):
    connection = rows.connection()
    with suppress(Undone), store.transaction() as tx:
        tx.tokens.lease(connection.id, "one", uuid4(), 60, parent=1)
        second = Session(store, lambda tx: tx.tokens.lease(connection.id, "two", uuid4(), 60, parent=1))
        second.wait_until_blocked(peek)
        raise Undone

    assert second.answer() is not None


def test_of_many_at_once_one_gets_the_lease(store, rows, peek):
    connection = rows.connection()

    with ThreadPoolExecutor(10) as pool:
        leases = list(pool.map(lambda n: take(store, connection, owner=f"worker-{n}"), range(30)))

    assert sum(lease is not None for lease in leases) == 1
    assert peek("SELECT count(*) FROM refresh_attempts") == [(1,)]


def test_no_lease_for_a_generation_that_was_replaced(store, rows):
    connection = rows.connection()
    append(store, answer(take(store, connection)))

    assert take(store, connection, parent=1) is None
    assert take(store, connection, parent=2) is not None


def test_no_lease_for_who_does_not_know_how_long_the_next_attempt_is_held_back(store, rows):
    connection = rows.connection()
    failed = take(store, connection)
    with store.transaction() as tx:
        tx.tokens.release(failed, next_attempt_at=NOW, failed=True)

    assert take(store, connection) is None
    assert take(store, connection, held_until=NOW) is not None


def test_a_lease_ends_by_the_databases_clock(store, rows, peek):
    connection = rows.connection()
    take(store, connection, lease_s=60)
    assert take(store, connection) is None

    peek("UPDATE connections SET lease_until = clock_timestamp() - interval '1 ms'")

    assert current(store, connection).lease_free
    assert take(store, connection) is not None


def test_a_reserved_number_is_never_given_twice(store, rows):
    connection = rows.connection()
    lost = take(store, connection, lease_s=0)
    second = take(store, connection, lease_s=0)
    with store.transaction() as tx:
        consent = tx.tokens.reserve(connection.id)

    assert [lost.generation, second.generation, consent[0]] == [2, 3, 4]
    assert [lost.epoch, second.epoch, consent[1]] == [2, 3, 4]
    assert consent[2] == 1


def test_a_late_answer_is_kept_as_a_candidate_and_does_not_move_the_pointer(store, rows, peek):
    connection = rows.connection()
    late = take(store, connection, lease_s=0)
    winner = take(store, connection)
    assert append(store, answer(winner, refresh=b"r-winner"))

    assert append(store, answer(late, refresh=b"r-late")) is False

    tokens = current(store, connection)
    assert (tokens.connection.generation, tokens.sealed_refresh) == (winner.generation, b"r-winner")
    assert peek(
        "SELECT generation, sealed_refresh FROM token_generations WHERE epoch = %(epoch)s", epoch=late.epoch
    ) == [(late.generation, b"r-late")]


def test_a_late_answer_before_the_winners_serves_until_the_winners_comes(store, rows):
    connection = rows.connection()
    late = take(store, connection, lease_s=0)
    winner = take(store, connection)

    assert append(store, answer(late, refresh=b"r-late")) is True
    assert current(store, connection).sealed_refresh == b"r-late"
    # The winner's call is under way: its lease stands, and its answer counts.
    assert take(store, connection, parent=late.generation) is None
    assert append(store, answer(winner, refresh=b"r-winner")) is True
    assert current(store, connection).sealed_refresh == b"r-winner"


def test_a_consent_overtakes_a_refresh_in_flight(store, rows):
    connection = rows.connection()
    refresh = take(store, connection)
    with store.transaction() as tx:
        numbers = tx.tokens.reserve(connection.id)
        assert tx.tokens.append(generation(connection.id, numbers, refresh=b"r-consent"))

    assert append(store, answer(refresh, refresh=b"r-old")) is False
    assert current(store, connection).sealed_refresh == b"r-consent"


def test_appending_again_after_an_unknown_commit_changes_nothing(store, rows, peek):
    connection = rows.connection()
    row = answer(take(store, connection), refresh=b"r-2")

    assert append(store, row) is True
    assert append(store, row) is True
    assert peek("SELECT count(*) FROM token_generations") == [(2,)]


def test_two_sessions_append_one_after_the_other(store, rows, peek):
    connection = rows.connection()
    late = take(store, connection, lease_s=0)
    winner = take(store, connection)
    with store.transaction() as tx:
        assert tx.tokens.append(answer(winner, refresh=b"r-winner"))
        other = Session(store, lambda tx: tx.tokens.append(answer(late, refresh=b"r-late")))
        other.wait_until_blocked(peek)

    assert other.answer() is False
    assert peek("SELECT count(*) FROM token_generations") == [(3,)]
    assert current(store, connection).sealed_refresh == b"r-winner"


def test_nothing_is_stored_for_a_connection_that_ended_meanwhile(store, rows, peek):
    connection = rows.connection()
    lease = take(store, connection)
    with store.transaction() as tx:
        tx.connections.disconnect(connection.id, NOW)
        appending = Session(store, lambda tx: tx.tokens.append(answer(lease)))
        appending.wait_until_blocked(peek)

    assert appending.answer() is False
    assert peek("SELECT count(*) FROM token_generations") == [(0,)]


def test_a_disconnected_connection_gives_no_tokens_no_lease_and_no_number(store, rows):
    connection = rows.connection()
    with store.transaction() as tx:
        tx.connections.disconnect(connection.id, NOW)

    assert current(store, connection) is None
    assert take(store, connection, parent=0) is None
    with pytest.raises(UnknownConnection), store.transaction() as tx:
        tx.tokens.reserve(connection.id)


def test_a_moved_pointer_frees_the_lease_and_forgets_failures_and_suspicion(store, rows):
    connection = rows.connection()
    failed = take(store, connection)
    with store.transaction() as tx:
        tx.tokens.suspect(failed, NOW)
        tx.tokens.release(failed, next_attempt_at=NOW, failed=True)
    assert current(store, connection).failures == 1

    append(store, answer(take(store, connection, held_until=NOW)))

    tokens = current(store, connection)
    assert (tokens.failures, tokens.suspected_since, tokens.next_attempt_at, tokens.lease_free) == (0, None, None, True)


def test_only_the_current_epoch_gives_a_lease_back(store, rows):
    connection = rows.connection()
    old = take(store, connection, lease_s=0)
    take(store, connection)

    with store.transaction() as tx:
        tx.tokens.release(old, next_attempt_at=LATER, failed=True)

    tokens = current(store, connection)
    assert (tokens.lease_free, tokens.failures, tokens.next_attempt_at) == (False, 0, None)


def test_the_first_suspicion_of_a_generation_counts(store, rows):
    connection = rows.connection()
    lease = take(store, connection)

    with store.transaction() as tx:
        assert tx.tokens.suspect(lease, NOW) == NOW
        assert tx.tokens.suspect(lease, LATER) == NOW


def test_a_refusal_of_a_replaced_generation_suspects_nothing(store, rows):
    connection = rows.connection()
    late = take(store, connection, lease_s=0)
    append(store, answer(take(store, connection)))

    with store.transaction() as tx:
        assert tx.tokens.suspect(late, LATER) == LATER

    assert current(store, connection).suspected_since is None


def test_a_suspicion_is_settled_when_the_back_off_ends_not_when_the_token_falls_due(store, rows):
    connection = rows.connection(refresh_due_at=LATER + timedelta(hours=1))
    lease = take(store, connection)
    with store.transaction() as tx:
        tx.tokens.suspect(lease, LATER)
        tx.tokens.release(lease, next_attempt_at=LATER + timedelta(minutes=1), failed=False)

    assert claim(store) == ()
    assert claim(store, now=LATER + timedelta(minutes=1)) == (connection.id,)


@pytest.mark.parametrize("outcome", ["stored", "refused", "failed", "ambiguous"])
def test_the_end_of_an_attempt_is_written_down(store, rows, peek, outcome):
    lease = take(store, rows.connection())

    with store.transaction() as tx:
        tx.attempts.close(lease, outcome, "code", LATER)

    assert peek("SELECT outcome, error_code, finished_at FROM refresh_attempts") == [(outcome, "code", LATER)]


def test_an_attempt_that_was_given_up_and_answered_after_all_is_stored(store, rows, peek):
    lease = take(store, rows.connection())
    with store.transaction() as tx:
        tx.attempts.close(lease, "ambiguous", "owner_died", LATER)
        lost = tx.attempts.lost(lease.connection_id, lease.parent)

    append(store, answer(lease))

    assert lost == lease.attempt_id
    assert peek("SELECT outcome, error_code FROM refresh_attempts") == [("stored", None)]


def test_an_answer_that_comes_after_its_rotation_was_given_up_makes_the_connection_good(store, rows, peek):
    connection = rows.connection()
    lease = take(store, connection)
    with store.transaction() as tx:
        assert tx.connections.mark_needs_reconnect(connection.id, 1, Reason.ROTATION_LOST, LATER)

    append(store, answer(lease, refresh=b"r-2"))

    assert peek("SELECT status, reason FROM connections") == [("active", None)]
    assert current(store, connection).sealed_refresh == b"r-2"


def test_due_refreshes_are_claimed_once_until_the_hold_ends(store, rows):
    connection = rows.connection()

    assert claim(store, now=NOW) == ()
    assert claim(store) == (connection.id,)
    assert claim(store) == ()
    assert claim(store, now=LATER + timedelta(seconds=30)) == (connection.id,)


def test_two_sessions_claim_different_rows_without_waiting(store, rows):
    wanted = {rows.connection(f"sub-{n}").id for n in range(6)}

    with store.transaction() as one:
        first = one.tokens.claim_due("google", LATER, LATER + timedelta(seconds=30), 4)
        with store.transaction() as two:
            second = two.tokens.claim_due("google", LATER, LATER + timedelta(seconds=30), 4)

    assert (len(first), len(second)) == (4, 2)
    assert set(first) | set(second) == wanted


def test_many_claimers_get_every_row_once(store, rows):
    wanted = {rows.connection(f"sub-{n}").id for n in range(12)}

    with ThreadPoolExecutor(8) as pool:
        claimed = [one for some in pool.map(lambda _: claim(store, limit=2), range(24)) for one in some]

    assert len(claimed) == len(set(claimed)) == 12
    assert set(claimed) == wanted


def test_the_longest_due_comes_first(store, rows):
    second = rows.connection("b", refresh_due_at=NOW + timedelta(minutes=2))
    first = rows.connection("a", refresh_due_at=NOW + timedelta(minutes=1))

    assert claim(store, limit=1) == (first.id,)
    assert claim(store, limit=1) == (second.id,)


def test_what_is_held_back_leased_or_broken_is_not_claimed(store, rows):
    held_back, leased, broken = rows.connection("a"), rows.connection("b"), rows.connection("c")
    lease = take(store, held_back)
    take(store, leased)
    with store.transaction() as tx:
        tx.tokens.release(lease, next_attempt_at=LATER + timedelta(minutes=1), failed=True)
        assert tx.connections.mark_needs_reconnect(broken.id, 1, Reason.REVOKED_BY_USER, NOW)

    assert claim(store) == ()
    assert claim(store, now=LATER + timedelta(minutes=1)) == (held_back.id,)


def test_a_released_claim_is_due_again_when_the_next_attempt_is(store, rows):
    connection = rows.connection()
    claim(store)
    lease = take(store, connection)
    with store.transaction() as tx:
        tx.tokens.release(lease, next_attempt_at=LATER + timedelta(seconds=1), failed=True)

    assert claim(store, now=LATER + timedelta(seconds=1)) == (connection.id,)


def test_old_generations_go_and_the_one_in_use_stays(store, rows, peek):
    connection = rows.connection(refresh=b"r-1")
    for parent in range(1, 20):
        append(store, answer(take(store, connection, parent=parent), refresh=None))

    kept = [row[0] for row in peek("SELECT generation FROM token_generations ORDER BY generation")]

    assert kept == [1, *range(10, 21)]
    assert current(store, connection).sealed_refresh == b"r-1"


def test_a_claim_says_nothing_about_hold_of_other_kinds(store, rows):
    connection = rows.connection()
    with store.transaction() as tx:
        tx.connections.due_calendar_list(connection.id, NOW)
        assert tx.connections.claim_calendar_lists(NOW, HOLD, 10) == (connection.id,)

    assert claim(store) == (connection.id,)
