"""The token engine on the real store."""

from __future__ import annotations

import threading
from datetime import timedelta
from uuid import UUID

import pytest

from app.domain.connections import Reason, Status
from app.domain.errors import (
    InvalidGrant,
    ProviderRejected,
    ProviderThrottled,
    ProviderUnavailable,
    ReconnectRequired,
    UnknownConnection,
    ValidityUnattainable,
)
from app.domain.secret import Secret
from app.ports import Revocation
from tests.integration.services.conftest import House

HOLD = timedelta(seconds=30)
DEAD = InvalidGrant("invalid_grant", reason=Reason.REVOKED_BY_USER)


def test_a_fresh_token_is_handed_out_without_a_call(house: House) -> None:
    connection = house.connect(house.sign_in()).connection
    house.provider.calls.clear()

    token = house.tokens.get(connection.id, 60)

    assert token.token == Secret("access-2")
    assert house.provider.calls == []


def test_an_aged_token_is_refreshed_once_and_the_new_refresh_token_is_used_next(house: House) -> None:
    connection = house.connect(house.sign_in()).connection
    house.provider.calls.clear()

    house.clock.advance(3590)
    second = house.tokens.get(connection.id, 60)
    house.clock.advance(3590)
    third = house.tokens.get(connection.id, 60)

    assert (second.token, third.token) == (Secret("access-3"), Secret("access-4"))
    assert second.generation < third.generation
    assert house.provider.calls == ["refresh", "refresh"]


def test_a_caller_that_read_before_a_refresh_gets_its_token_without_another_call(house: House) -> None:
    connection = house.connect(house.sign_in()).connection
    house.clock.advance(3590)
    with house.store.reading() as tx:
        read_before = tx.tokens.current(connection.id)
    assert read_before is not None
    refreshed = house.tokens.get(connection.id, 60)
    house.provider.calls.clear()

    served = house.tokens.serve(read_before, 60)

    assert served == refreshed
    assert house.provider.calls == []


def test_an_answer_without_a_refresh_token_keeps_the_one_before(house: House) -> None:
    connection = house.connect(house.sign_in()).connection
    house.provider.gives_refresh_token = False

    for _ in range(3):
        house.clock.advance(3590)
        house.tokens.get(connection.id, 60)

    assert house.provider.calls.count("refresh") == 3


def test_a_rejected_token_is_replaced_although_it_looks_fresh(house: House) -> None:
    connection = house.connect(house.sign_in()).connection
    bad = house.tokens.get(connection.id, 60).token
    house.provider.calls.clear()
    with pytest.raises(ProviderThrottled):
        # A second old: a caller in a loop must not drive the provider.
        house.tokens.get(connection.id, 60, rejected_sha256=bad.sha256())
    assert house.provider.calls == []
    house.clock.advance(5)

    token = house.tokens.get(connection.id, 60, rejected_sha256=bad.sha256())

    assert token.token != bad


def test_many_threads_make_one_call_and_get_the_same_token(house: House) -> None:
    connection = house.connect(house.sign_in()).connection
    house.provider.calls.clear()
    house.clock.advance(3590)
    release = threading.Event()
    house.provider.during_refresh = lambda: release.wait(0.5) and None
    found: list[Secret] = []

    def ask() -> None:
        found.append(house.tokens.get(connection.id, 60).token)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert house.provider.calls == ["refresh"]
    assert set(found) == {Secret("access-3")}
    assert len(found) == 6


def test_an_outage_serves_the_old_token_with_a_warning_while_it_lasts(house: House) -> None:
    connection = house.connect(house.sign_in()).connection
    house.clock.advance(3300)
    house.provider.failures = [ProviderUnavailable("timeout")]

    token = house.tokens.get(connection.id, 600)

    assert token.token == Secret("access-2")
    assert token.warning == "provider_unavailable"


def test_an_outage_without_a_living_token_is_a_typed_error_and_callers_hold_back(house: House) -> None:
    connection = house.connect(house.sign_in()).connection
    house.provider.calls.clear()
    house.clock.advance(3700)
    house.provider.failures = [ProviderUnavailable("timeout")] * 5

    with pytest.raises(ProviderUnavailable):
        house.tokens.get(connection.id, 60)
    for _ in range(5):
        with pytest.raises(ProviderThrottled):
            house.tokens.get(connection.id, 60)

    assert house.provider.calls == ["refresh"]
    house.provider.failures = []
    house.clock.advance(60)
    assert house.tokens.get(connection.id, 60).token == Secret("access-3")


def test_one_refusal_is_a_suspicion_and_a_second_ends_the_connection(house: House) -> None:
    connection = house.connect(house.sign_in()).connection
    house.clock.advance(3700)
    house.provider.failures = [DEAD, DEAD]

    with pytest.raises(ProviderThrottled):
        house.tokens.get(connection.id, 60)
    assert _status(house, connection.id) is Status.ACTIVE
    house.clock.advance(61)
    with pytest.raises(ReconnectRequired) as caught:
        house.tokens.get(connection.id, 60)

    assert caught.value.reason is Reason.REVOKED_BY_USER
    assert _status(house, connection.id) is Status.NEEDS_RECONNECT


def test_a_refusal_in_passing_ends_nothing(house: House) -> None:
    connection = house.connect(house.sign_in()).connection
    house.clock.advance(3700)
    house.provider.failures = [DEAD]

    with pytest.raises(ProviderThrottled):
        house.tokens.get(connection.id, 60)
    house.clock.advance(61)

    assert house.tokens.get(connection.id, 60).token == Secret("access-3")
    assert _status(house, connection.id) is Status.ACTIVE


def test_our_own_fault_never_ends_a_connection(house: House) -> None:
    connection = house.connect(house.sign_in()).connection
    house.clock.advance(3700)
    house.provider.failures = [ProviderRejected("invalid_client")] * 3

    for _ in range(3):
        with pytest.raises(ProviderRejected):
            house.tokens.get(connection.id, 60)
        house.clock.advance(400)

    assert _status(house, connection.id) is Status.ACTIVE


def test_reconnecting_keeps_the_connection_and_gives_a_working_token(house: House) -> None:
    person = house.sign_in()
    connection = house.connect(person).connection
    house.clock.advance(3700)
    house.provider.failures = [DEAD, DEAD]
    for _ in range(2):
        with pytest.raises((ProviderThrottled, ReconnectRequired)):
            house.tokens.get(connection.id, 60)
        house.clock.advance(61)

    again = house.connect(person, connection)

    assert again.connection.id == connection.id
    assert not again.is_new
    assert again.connection.status is Status.ACTIVE
    assert house.tokens.get(connection.id, 60).token


def test_a_wish_beyond_the_providers_lifetimes_makes_no_call(house: House) -> None:
    house.provider.lifetime_s = 90
    connection = house.connect(house.sign_in()).connection
    house.provider.calls.clear()

    for _ in range(3):
        with pytest.raises(ValidityUnattainable):
            house.tokens.get(connection.id, 300)

    assert house.provider.calls == []


def test_a_person_who_disconnects_during_a_refresh_leaves_no_living_token(house: House) -> None:
    connection = house.connect(house.sign_in()).connection
    house.clock.advance(3700)

    def disconnect() -> None:
        with house.store.transaction() as tx:
            tx.connections.disconnect(connection.id, house.clock())

    house.provider.during_refresh = disconnect
    house.provider.revocation = Revocation("revoked")
    with pytest.raises(UnknownConnection):
        house.tokens.get(connection.id, 60)

    assert house.provider.calls[-1] == "revoke"


def test_an_unknown_connection_is_a_typed_error(house: House) -> None:
    with pytest.raises(UnknownConnection):
        house.tokens.get(house.sign_in().id, 60)


def test_the_worker_refreshes_what_is_due_and_nothing_twice(house: House) -> None:
    connection = house.connect(house.sign_in()).connection
    house.provider.calls.clear()
    with house.store.transaction() as tx:
        early = tx.tokens.claim_due("google", house.clock(), house.clock(), 10)
    house.clock.advance(3200)
    with house.store.transaction() as tx:
        now = house.clock()
        due = tx.tokens.claim_due("google", now, now + HOLD, 10)
        again = tx.tokens.claim_due("google", now, now + HOLD, 10)

    house.tokens.refresh(connection.id)

    assert early == ()
    assert due == (connection.id,)
    assert again == ()
    assert house.provider.calls == ["refresh"]


def _status(house: House, connection_id: UUID) -> Status:
    with house.store.reading() as tx:
        found = tx.connections.get(connection_id)
    assert found is not None
    return found.status


def test_an_ambiguous_call_is_not_repeated_while_the_living_token_serves(house: House) -> None:
    connection = house.connect(house.sign_in()).connection
    house.provider.calls.clear()
    house.clock.advance(2500)
    house.provider.failures = [ProviderUnavailable("timeout")]
    with pytest.raises(ProviderUnavailable):
        house.tokens.refresh(connection.id)
    house.clock.advance(900)
    house.tokens.refresh(connection.id)
    early = house.provider.calls.count("refresh")
    house.clock.advance(150)

    token = house.tokens.get(connection.id, 60)

    assert early == 1
    assert token.token == Secret("access-3")
