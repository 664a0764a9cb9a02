"""Nine things that go wrong in systems of this kind, and that must not go wrong here.

Each was measured on a comparable server: what it did is the first line of the test's docstring.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

from app.domain.connections import Identity, Reason, Status
from app.domain.errors import (
    CipherError,
    InvalidGrant,
    LatchkeyError,
    ProviderThrottled,
    ProviderUnavailable,
    ReconnectRequired,
    StoreUnavailable,
)
from app.ports import Revocation
from app.services.access_tokens import AccessTokens
from app.services.channel_tokens import ChannelTokens
from app.services.channels import Channels
from app.services.disconnect import Disconnect
from app.services.service_clients import ServiceClients
from app.store.postgres import PostgresStore
from app.web.errors import outcome_of, retry_after_s
from tests.integration.services.conftest import CONFIRM_AFTER_S, House
from tests.integration.services.exchange_desk import EVERYTHING, Desk, by_connection, counted_statements

SLOW_S = 11.0
"""Longer than the ten seconds after which a fixed lock elsewhere let a second call through."""

MOVE = (
    (
        "UPDATE token_generations t SET sealed_access = o.sealed_access FROM token_generations o"
        " WHERE t.connection_id = :ours AND o.connection_id = :theirs"
    ),
    (
        "UPDATE data_keys k SET wrapped_key = o.wrapped_key FROM data_keys o"
        " WHERE k.connection_id = :ours AND o.connection_id = :theirs"
    ),
)

DEAD = InvalidGrant("invalid_grant", reason=Reason.REVOKED_BY_USER)


@pytest.fixture
def desk(house: House) -> Desk:
    return Desk(house)


def test_1_a_fresh_read_takes_no_lock_and_writes_nothing(desk: Desk) -> None:
    """Six statements for every read, one of them a write."""
    connection, service = desk.connection(), desk.service(EVERYTHING)
    with counted_statements() as cold:
        desk.get(service, by_connection(connection.id))

    reads = [statement for statement in cold if not statement.lstrip().startswith(("INSERT", "COPY"))]
    assert len(reads) <= 2
    assert not any("FOR UPDATE" in statement or "UPDATE connections" in statement for statement in cold)


@pytest.mark.timeout(90)
def test_2_one_call_however_many_processes_and_however_slow_the_provider(house: House, database_url: str) -> None:
    """After ten seconds a second process called with the same refresh token, and the connection was lost."""
    connection = house.connect(house.sign_in()).connection
    house.provider.calls.clear()
    house.clock.advance(3700)
    house.provider.during_refresh = lambda: time.sleep(SLOW_S)
    other_store = PostgresStore(database_url)
    other = another_process(house, other_store)

    with ThreadPoolExecutor(10) as pool:
        asked = [pool.submit((house.tokens, other)[n % 2].get, connection.id, 60) for n in range(10)]
        tokens = {future.result().token for future in asked}
    other_store.close()

    assert house.provider.calls == ["refresh"]
    assert len(tokens) == 1


def another_process(house: House, store: PostgresStore) -> AccessTokens:
    """Return what a second process builds for itself."""
    refresher = replace(house.tokens.refresher, store=store, owner=str(uuid4()))
    return replace(house.tokens, store=store, refresher=refresher)


def test_3_the_living_token_is_served_while_its_refresh_hangs(house: House) -> None:
    """A read waited for the refresh, a hundred seconds if need be, with a token that was good for ten minutes."""
    connection = house.connect(house.sign_in()).connection
    house.clock.advance(3600 - 600)
    calling, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        calling.set()
        go_on.wait(30)

    house.provider.during_refresh = hang
    worker = threading.Thread(target=house.tokens.refresh, args=(connection.id,))
    worker.start()
    assert calling.wait(10)

    token = replace(house.tokens, wait_s=0).get(connection.id, 300)

    go_on.set()
    worker.join()
    assert token.token.reveal() == "access-2"


@pytest.mark.parametrize(
    ("failure", "status", "error", "wait_s"),
    [
        (ProviderUnavailable("http_500"), 503, "temporarily_unavailable", 5),
        (ProviderThrottled("http_429", retry_after_s=17), 503, "temporarily_unavailable", 17),
        (StoreUnavailable("no_connection"), 503, "temporarily_unavailable", 5),
        (ReconnectRequired(Reason.REVOKED_BY_USER), 400, "interaction_required", None),
    ],
)
def test_4_every_cause_has_its_own_answer(
    desk: Desk, failure: LatchkeyError, status: int, error: str, wait_s: int | None
) -> None:
    """Revoked, down, throttled and a lost lock store were all `invalid_credentials`."""
    connection, service = desk.connection(), desk.service(EVERYTHING)
    desk.house.clock.advance(3700)
    desk.house.provider.failures = [failure]

    cause = desk.refusal(service, by_connection(connection.id))

    assert type(cause) is type(failure)
    assert (outcome_of(cause).status, outcome_of(cause).error, retry_after_s(cause)) == (status, error, wait_s)


def test_5_one_event_for_one_change_however_many_callers(house: House) -> None:
    """Fifty waiting callers made fifty notifications of the same failure."""
    connection = house.connect(house.sign_in()).connection
    house.clock.advance(3700)
    house.provider.failures = [DEAD] * 50
    with pytest.raises(ProviderThrottled):
        house.tokens.get(connection.id, 60)
    house.clock.advance(CONFIRM_AFTER_S + 1)

    with ThreadPoolExecutor(10) as pool:
        errors = {type(pool.submit(house.tokens.get, connection.id, 60).exception()) for _ in range(30)}

    assert errors == {ReconnectRequired}
    with house.store.reading() as tx:
        kinds = [kind for _at, kind, _detail in tx.audit.of_connection(connection.id, 100)]
    assert kinds.count("needs_reconnect") == 1
    assert house.provider.calls.count("refresh") == 2


def test_6_sealed_tokens_cannot_be_moved_to_another_connection(house: House) -> None:
    """A's ciphertext copied over B's was handed out as B's."""
    person = house.sign_in()
    ours = house.connect(person).connection
    house.provider.identity = Identity("https://accounts.google.com", "subject-2", None, None, None)
    theirs = house.connect(person).connection
    with house.store._writes.begin() as connection:
        for statement in MOVE:
            connection.execute(text(statement), {"ours": ours.id, "theirs": theirs.id})

    with pytest.raises(CipherError):
        house.tokens.get(ours.id, 60)


def test_7_an_unknown_credential_costs_one_look_and_no_key_derivation(house: House) -> None:
    """Each unknown key cost 45 ms of key derivation before anything limited the caller."""
    clients = ServiceClients(house.store, house.sealer, house.clock)
    with counted_statements() as sent:
        for n in range(5):
            with pytest.raises(LatchkeyError):
                clients.authenticate("nobody", f"secret-{n}")

    assert len(sent) == 5
    # Web requests are limited per address before even that: see the rows X18 of the token endpoint's tests.


@pytest.mark.parametrize("outcome", ["revoked", "unsupported"])
def test_8_disconnecting_revokes_at_the_provider_or_says_that_it_cannot(house: House, outcome: str) -> None:
    """Nothing was revoked at Google or Microsoft."""
    person = house.sign_in()
    connection = house.connect(person).connection
    house.provider.calls.clear()
    house.provider.revocation = Revocation(outcome, "the provider has no revocation")
    channels = Channels(
        house.store, house.providers, house.tokens, ChannelTokens(house.sealer), house.nudge, house.clock, lambda: 0.5,
        "http://localhost:1", push_enabled=False,
    )  # fmt: skip
    disconnect = Disconnect(house.store, house.providers, house.sealer, channels, house.tokens, house.clock)

    receipt = disconnect.disconnect(person.id, connection.id)

    assert receipt.revocation.outcome == outcome
    assert "revoke" in house.provider.calls
    with house.store.reading() as tx:
        found = tx.connections.get(connection.id)
    assert found is not None
    assert found.status is Status.DISCONNECTED


def test_9_every_read_of_a_credential_is_written_down(desk: Desk, tmp_path: Path) -> None:
    """Reading a credential left no trace."""
    connection, service = desk.connection(), desk.service(EVERYTHING)
    released = {desk.get(service, by_connection(connection.id)).hand_out_id for _ in range(25)}
    desk.house.clock.advance(3700)
    desk.house.provider.failures = [ProviderUnavailable("timeout")]
    desk.refusal(service, by_connection(connection.id))

    entries = desk.log()

    assert {entry.id for entry in entries if entry.kind == "hand_out.released"} == released
    assert [entry.detail["reason"] for entry in entries if entry.kind == "hand_out.denied"] == ["provider_unavailable"]
