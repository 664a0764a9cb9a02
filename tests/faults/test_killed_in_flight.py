"""A process killed while its refresh is under way: what the provider allows to survive survives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from uuid import UUID

import pytest

from app.domain.connections import Status
from app.domain.errors import ProviderThrottled, ReconnectRequired, RefreshInProgress
from tests.faults.installation import Installation
from tests.running_product import eventually


def kill_in_flight(place: Installation, kind: str, connection_id: UUID) -> None:
    """Let another process begin a refresh, and kill it when the provider has the request but has not answered."""
    place.age(connection_id)
    place.forget_calls()
    place.fault(f"{kind}.token", "hang", seconds=1.5)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.callers", "1", str(connection_id)],
        env=place.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        eventually(lambda: place.calls(f"{kind}.token") == 1, within_s=60, what="the call", every_s=0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    # The provider goes on without us, to the end of its work.
    time.sleep(1.8)


def lease_over(place: Installation, connection_id: UUID) -> None:
    """Let the time pass after which the dead process's lease has ended."""
    place.rows("UPDATE connections SET lease_until = now() WHERE id = %s AND lease_until IS NOT NULL", connection_id)


@pytest.mark.parametrize("kind", ["google", "microsoft"])
def test_nothing_is_lost_where_the_old_refresh_token_lives_on(place: Installation, kind: str) -> None:
    connection = place.connect(kind)
    kill_in_flight(place, kind, connection.id)

    attempts = place.rows("SELECT outcome FROM refresh_attempts WHERE connection_id = %s", connection.id)
    lease_over(place, connection.id)
    token = place.services.access_tokens.get(connection.id)

    assert attempts == [(None,)], "the attempt was not written down before the call"
    assert token.warning is None
    assert place.calls(f"{kind}.token") == 2


def test_nobody_else_calls_while_the_dead_one_holds_the_lease(place: Installation) -> None:
    connection = place.connect("google")
    kill_in_flight(place, "google", connection.id)

    claimed = place.services.due_work.refreshes()
    place.services.access_tokens.refresh(connection.id)

    assert claimed == ()
    assert place.calls("google.token") == 1


def test_at_a_strict_provider_exactly_the_killed_one_is_lost_and_it_is_told(place: Installation) -> None:
    person = place.sign_in()
    killed, other = place.connect("oidc", person), place.connect("oidc", person, account="bruno")
    kill_in_flight(place, "oidc", killed.id)
    tokens = place.services.access_tokens

    lease_over(place, killed.id)
    with pytest.raises(ProviderThrottled):
        tokens.get(killed.id)
    place.settle_suspicion(killed.id)
    with pytest.raises(ReconnectRequired):
        tokens.get(killed.id)
    place.age(other.id)

    assert tokens.get(other.id).warning is None
    assert place.rows("SELECT status FROM connections WHERE id = %s", killed.id) == [(Status.NEEDS_RECONNECT,)]
    assert place.connect("oidc", person).id == killed.id
    assert tokens.get(killed.id).warning is None


def test_a_process_that_only_sleeps_keeps_its_lease_and_stores_its_answer(place: Installation) -> None:
    connection = place.connect("oidc")
    place.age(connection.id)
    place.forget_calls()
    place.fault("oidc.token", "hang", seconds=1.0)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.callers", "1", str(connection.id)],
        env=place.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        eventually(lambda: place.calls("oidc.token") == 1, within_s=60, what="the call", every_s=0.02)
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(3)
        with pytest.raises(RefreshInProgress):
            brief(place).get(connection.id)
        os.killpg(process.pid, signal.SIGCONT)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()

    assert b'"token"' in said
    assert place.calls("oidc.token") == 1
    assert place.services.access_tokens.get(connection.id).token.sha256().encode() in said


def brief(place: Installation):
    """Return the token engine with little patience."""
    return replace(place.services.access_tokens, wait_s=0.5)
