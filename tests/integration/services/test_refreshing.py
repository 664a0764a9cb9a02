"""What happens when a refresh goes wrong half way: nothing that reached us is lost, nothing is asked twice in vain."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from app.domain.connections import Reason, Status
from app.domain.errors import (
    BreakerOpen,
    InvalidGrant,
    ProviderThrottled,
    ProviderUnavailable,
    ReconnectRequired,
    RefreshInProgress,
    StoreUnavailable,
)
from app.domain.secret import Secret
from app.domain.tokens import RotationClass
from app.ports import Lease
from app.services.due_work import DueWork
from app.services.refreshing import LEASE_S
from app.services.watch import Watch
from app.store.presence import PostgresPresence
from tests.integration.services.conftest import CONFIRM_AFTER_S, House

LOST = ProviderUnavailable("reset")
DEAD = InvalidGrant("invalid_grant", reason=Reason.GRANT_REJECTED)


@pytest.fixture
def connection_id(house: House) -> UUID:
    """Return a connection whose access token has ended."""
    connection = house.connect(house.sign_in()).connection
    house.provider.calls.clear()
    house.clock.advance(3700)
    return connection.id


def lease(house: House, connection_id: UUID, owner: str = "somebody") -> Lease:
    """Take the lease as another process does that says nothing more."""
    with house.store.transaction() as tx:
        tokens = tx.tokens.current(connection_id)
        assert tokens is not None
        taken = tx.tokens.lease(connection_id, owner, uuid4(), LEASE_S, parent=tokens.connection.generation)
    assert taken is not None
    return taken


def free_lease(house: House, connection_id: UUID) -> None:
    """Let the lease be over."""
    execute(house, "UPDATE connections SET lease_until = clock_timestamp() WHERE id = :id", id=connection_id)


def execute(house: House, statement: str, **values: object) -> list[tuple[object, ...]]:
    with house.store._writes.begin() as connection:
        result = connection.execute(text(statement), values)
        return [tuple(row) for row in result] if result.returns_rows else []


def outcomes(house: House) -> list[object]:
    return [row[0] for row in execute(house, "SELECT outcome FROM refresh_attempts ORDER BY epoch")]


def test_with_a_grace_period_a_lost_answer_is_asked_for_again_at_once(house: House, connection_id: UUID) -> None:
    house.provider.rotation = RotationClass.GRACE
    house.provider.failures = [LOST]

    token = house.tokens.get(connection_id, 60)

    assert token.token == Secret("access-3")
    assert outcomes(house) == ["ambiguous", "stored"]
    assert len(house.gate.admitted) == len(house.gate.noted) == 2


def test_a_second_lost_answer_is_not_asked_for_at_once(house: House, connection_id: UUID) -> None:
    house.provider.rotation = RotationClass.GRACE
    house.provider.failures = [LOST, LOST]

    with pytest.raises(ProviderUnavailable):
        house.tokens.get(connection_id, 60)

    assert house.provider.calls == ["refresh", "refresh"]


@pytest.mark.parametrize("rotation", [RotationClass.NONE, RotationClass.OVERLAP])
def test_where_the_old_token_stays_good_a_lost_answer_costs_a_pause(
    house: House, connection_id: UUID, rotation: RotationClass
) -> None:
    house.provider.rotation = rotation
    house.provider.failures = [LOST]
    with pytest.raises(ProviderUnavailable):
        house.tokens.get(connection_id, 60)
    house.clock.advance(3)

    assert house.tokens.get(connection_id, 60).token == Secret("access-3")


def test_a_closed_gate_stops_the_call_before_anything_is_written(house: House, connection_id: UUID) -> None:
    house.gate.refusal = BreakerOpen("google", retry_after_s=7)

    with pytest.raises(BreakerOpen) as caught:
        house.tokens.get(connection_id, 60)

    assert caught.value.retry_after_s == 7
    assert (house.provider.calls, outcomes(house)) == ([], [])


def test_a_closed_gate_puts_a_worker_off_and_no_caller(house: House, connection_id: UUID) -> None:
    house.gate.refusal = ProviderThrottled("budget", retry_after_s=50)
    with pytest.raises(ProviderThrottled):
        house.tokens.refresh(connection_id)
    now = house.clock()
    with house.store.transaction() as tx:
        early = tx.tokens.claim_due("google", now + timedelta(seconds=40), now, 10)
        later = tx.tokens.claim_due("google", now + timedelta(seconds=60), now, 10)
    house.gate.refusal = None

    assert (early, later) == ((), (connection_id,))
    assert house.tokens.get(connection_id, 60).token == Secret("access-3")


def test_due_connections_of_a_paused_provider_are_passed_over(house: House, connection_id: UUID) -> None:
    due = DueWork(house.store, house.clock, house.providers, house.gate)
    house.gate.paused = ("google",)
    passed_over = due.refreshes()
    house.gate.paused = ()

    assert (passed_over, due.refreshes()) == ((), (connection_id,))


def test_a_late_answer_of_a_fenced_writer_is_used_when_nobody_else_has_brought_one(
    house: House, connection_id: UUID
) -> None:
    def another_takes_the_lease() -> None:
        free_lease(house, connection_id)
        lease(house, connection_id)

    house.provider.during_refresh = another_takes_the_lease

    token = house.tokens.get(connection_id, 60)

    assert token.token == Secret("access-3")
    # The other one's lease still stands: its call may be under way.
    assert execute(house, "SELECT lease_owner FROM connections") == [("somebody",)]


def crossed_calls(house: House, connection_id: UUID) -> tuple[Lease, Lease]:
    """Let two calls cross; the answer stored last is the provider's newest, and nobody points at it."""
    first = lease(house, connection_id)
    free_lease(house, connection_id)
    second = lease(house, connection_id)
    for held in (second, first):
        key = house.sealer.open_data_key(connection_id, held.tokens.wrapped_key)
        house.tokens.refresher._keep(held, key, house.provider._answer(with_id_token=False))
    house.clock.advance(3700)
    return first, second


def test_a_token_that_came_late_is_tried_before_the_connection_is_suspected(house: House, connection_id: UUID) -> None:
    first, second = crossed_calls(house, connection_id)
    assert execute(house, "SELECT generation FROM connections") == [(second.generation,)]

    token = house.tokens.get(connection_id, 60)

    assert token.token == Secret("access-5")
    assert house.provider.calls == ["refresh", "refresh"]
    assert execute(house, "SELECT suspected_since, failures FROM connections") == [(None, 0)]
    assert execute(house, "SELECT parent FROM token_generations ORDER BY generation DESC LIMIT 1") == [
        (first.generation,)
    ]


def test_a_refused_sibling_is_not_tried_again(house: House, connection_id: UUID) -> None:
    crossed_calls(house, connection_id)
    house.provider.failures = [DEAD, DEAD]
    with pytest.raises(ProviderThrottled):
        house.tokens.get(connection_id, 60)
    house.clock.advance(CONFIRM_AFTER_S + 1)
    house.provider.failures = [DEAD]

    with pytest.raises(ReconnectRequired):
        house.tokens.get(connection_id, 60)

    assert house.provider.calls == ["refresh"] * 3


class Unstorable:
    """The store of a process that lost its database after the call."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.is_away = False

    def transaction(self):
        if self.is_away:
            raise StoreUnavailable("no_connection")
        return self.house.store.transaction()

    def reading(self):
        return self.house.store.reading()


def cut_off(house: House) -> tuple[Unstorable, House]:
    """Return the house as a process sees it whose database goes away during the next call."""
    store = Unstorable(house)
    refresher = replace(house.tokens.refresher, store=store, store_retry_s=0.0)

    def lose_it() -> None:
        store.is_away = True

    house.provider.during_refresh = lose_it
    return store, replace(house, tokens=replace(house.tokens, refresher=refresher))


def test_an_answer_the_database_cannot_take_is_on_disk_sealed_and_taken_in_later(
    house: House, connection_id: UUID, tmp_path: Path
) -> None:
    _store, process = cut_off(house)
    with pytest.raises(StoreUnavailable):
        process.tokens.get(connection_id, 60)
    (kept,) = (tmp_path / "escrow").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert not any(word in kept.read_text() for word in ("access-3", "refresh-3"))
    house.provider.during_refresh = lambda: None
    # Nobody uses the old refresh token meanwhile: the lease stands.
    with pytest.raises(RefreshInProgress):
        replace(house.tokens, wait_s=0).get(connection_id, 60)

    house.tokens.refresher.settle()

    assert house.tokens.get(connection_id, 60).token == Secret("access-3")
    assert house.provider.calls == ["refresh"]
    assert list((tmp_path / "escrow").iterdir()) == []
    assert outcomes(house) == ["stored"]


def test_a_damaged_file_stands_in_nobodys_way(house: House, connection_id: UUID, tmp_path: Path) -> None:
    _store, process = cut_off(house)
    with pytest.raises(StoreUnavailable):
        process.tokens.get(connection_id, 60)
    damaged = tmp_path / "escrow" / "0-damaged.json"
    damaged.write_text(json.dumps({"generation": 1}))

    house.tokens.refresher.settle()

    assert list((tmp_path / "escrow").iterdir()) == [damaged]
    assert outcomes(house) == ["stored"]


def test_the_end_of_an_attempt_is_told_when_the_database_is_back(house: House, connection_id: UUID) -> None:
    store, process = cut_off(house)
    house.provider.failures = [LOST]
    with pytest.raises(ProviderUnavailable):
        process.tokens.get(connection_id, 60)
    assert outcomes(house) == [None]
    store.is_away = False

    process.tokens.refresher.settle()

    assert outcomes(house) == ["ambiguous"]
    assert execute(house, "SELECT lease_until FROM connections") == [(None,)]


@pytest.fixture
def other(database_url: str) -> Iterator[PostgresPresence]:
    """Return another process of this installation, as the database sees it."""
    presence = PostgresPresence(database_url)
    presence.beat()
    yield presence
    presence.close()


def watch(house: House, presence: PostgresPresence) -> Watch:
    """Return a watch that does not care how long the database server is up."""
    return Watch(house.store, presence, house.tokens.refresher, house.providers, house.nudge, house.clock, settled_s=0)


def die(house: House, process: PostgresPresence) -> None:
    """Let a process be killed a while ago: the server notices the end of its session by itself."""
    process.close()
    key = int.from_bytes(UUID(process.identity).bytes[:8], signed=True)
    for _ in range(100):
        if execute(house, "SELECT pg_try_advisory_xact_lock(:key)", key=key) == [(True,)]:
            break
        time.sleep(0.05)
    fall_silent(house, process)


def fall_silent(house: House, process: PostgresPresence) -> None:
    execute(
        house, "UPDATE processes SET heartbeat_at = clock_timestamp() - interval '4 s' WHERE id = CAST(:id AS uuid)",
        id=process.identity,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rotation", "calls"),
    [
        (RotationClass.NONE, ["refresh"]),
        (RotationClass.OVERLAP, ["refresh"]),
        (RotationClass.GRACE, ["refresh"]),
        (RotationClass.STRICT, []),
    ],
)
def test_an_attempt_of_a_dead_process_is_taken_over_as_the_class_allows(
    house: House, other: PostgresPresence, rotation: RotationClass, calls: list[str], database_url: str
) -> None:
    house.provider.rotation = rotation
    connection_id = house.connect(house.sign_in()).connection.id
    house.provider.calls.clear()
    lease(house, connection_id, other.identity)
    die(house, other)

    watch(house, PostgresPresence(database_url)).end_open_attempts()

    assert outcomes(house) == ["ambiguous"]
    assert house.nudge.sent[-1] == ("refresh", connection_id)
    house.tokens.refresh(connection_id)
    assert house.provider.calls == calls


@pytest.mark.parametrize("sign_of_life", ["lock", "heartbeat"])
def test_who_holds_the_lock_or_was_heard_of_is_not_dead(
    house: House, connection_id: UUID, other: PostgresPresence, sign_of_life: str, database_url: str
) -> None:
    lease(house, connection_id, other.identity)
    if sign_of_life == "lock":
        fall_silent(house, other)
    else:
        other.close()

    watch(house, PostgresPresence(database_url)).end_open_attempts()

    assert outcomes(house) == [None]


def test_nobody_is_dead_while_the_database_server_has_just_started(
    house: House, connection_id: UUID, other: PostgresPresence, database_url: str
) -> None:
    lease(house, connection_id, other.identity)
    die(house, other)

    replace(watch(house, PostgresPresence(database_url)), settled_s=86_400.0).end_open_attempts()

    assert outcomes(house) == [None]


def test_a_cut_connection_is_made_anew_and_locked_again(house: House, other: PostgresPresence) -> None:
    execute(house, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted")
    with pytest.raises(StoreUnavailable):
        other.beat()

    other.beat()

    assert execute(house, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1") != [
        (0,)
    ]


def test_a_strict_provider_is_asked_once_more_before_the_end_and_the_loss_is_named(
    house: House, other: PostgresPresence, database_url: str
) -> None:
    """A process died with the answer: the old token serves to its end, and the person learns what happened."""
    connection_id = house.connect(house.sign_in()).connection.id
    held = lease(house, connection_id, other.identity)
    house.provider._answer(with_id_token=False)
    die(house, other)
    watch(house, PostgresPresence(database_url)).end_open_attempts()
    assert house.tokens.get(connection_id, 60).token == Secret("access-2")
    house.clock.advance(3600 - 115)

    with pytest.raises(InvalidGrant):
        house.tokens.refresh(connection_id)
    house.clock.advance(CONFIRM_AFTER_S + 1)
    with pytest.raises(ReconnectRequired):
        house.tokens.refresh(connection_id)

    last = house.tokens.get(connection_id, 10)
    assert (last.token, last.warning) == (Secret("access-2"), Reason.ROTATION_LOST)
    house.clock.advance(60)
    with pytest.raises(ReconnectRequired) as caught:
        house.tokens.get(connection_id, 10)
    assert caught.value.reason is Reason.ROTATION_LOST
    with house.store.reading() as tx:
        found = tx.connections.get(connection_id)
        events = tx.audit.of_connection(connection_id, 10)
    assert found is not None
    assert found.status is Status.NEEDS_RECONNECT
    assert {"reason": "rotation_lost", "attempt": str(held.attempt_id)} in [event[2] for event in events]
