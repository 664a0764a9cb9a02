"""Refreshes under way while the machine, the database and the broker misbehave: nothing is lost, nobody helps out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from uuid import UUID

import pytest
import redis

from app.domain.errors import RefreshInProgress, StoreUnavailable
from app.sandbox.token_ledger import TokenCall
from tests.faults.checkers import violations
from tests.faults.crew import Job
from tests.faults.crowds import Settled, settle
from tests.faults.installation import Installation, installation
from tests.faults.premises import Premises
from tests.faults.stage import Stage, staged
from tests.running_product import eventually

HELD_S = 1.5
LIVES_S, FORCING_S = 1800, 2000
STORE_RETRY_S = 5.0
"""How long the product itself goes on storing before it leaves the answer to the disk."""


@pytest.fixture
def stage(place: Installation) -> Iterator[Stage]:
    with staged(place) as stage:
        yield stage


@pytest.fixture
def premises_stage(premises: Premises) -> Iterator[tuple[Stage, Premises]]:
    """A stage on servers of its own."""
    environment = os.environ | {"DATABASE_URL": premises.postgres.url}
    subprocess.run([sys.executable, "-m", "app.cli", "migrate"], env=environment, check=True, capture_output=True)
    with (
        installation(premises.directory, premises.postgres.url, premises.redis.url) as place,
        staged(place) as stage,
    ):
        yield stage, premises


def caught_after_commit(stage: Stage, held_s: float = HELD_S) -> tuple[int, Settled]:
    """Return a process whose call to a strict provider has been carried out there and not answered yet."""
    stage.place.sandbox.state.runtime.update({"access_token_lifetime_s": 3600})
    [settled] = settle(stage.place, "oidc", 1, lifetime_s=LIVES_S, due_in_s=3600)
    stage.place.fault("oidc.token", "hold", seconds=held_s, account=settled.account)
    holder = stage.crew.start(Job("get", (str(settled.connection),), min_validity_s=FORCING_S, settled_s=30.0))
    eventually(
        lambda: any(call.committed_at for call in calls_of(stage, settled)),
        within_s=60, what="the provider's work", every_s=0.01,
    )  # fmt: skip
    return holder, settled


def calls_of(stage: Stage, settled: Settled) -> list[TokenCall]:
    return [call for call in stage.place.sandbox.state.token_ledger.calls() if call.account == settled.account]


def token_of(stage: Stage, connection: UUID) -> str:
    return stage.place.services.access_tokens.get(connection, 30).token.sha256()


# --- the machine


def test_a_process_that_only_sleeps_keeps_its_lease_and_stores_its_answer(stage: Stage) -> None:
    stage.crew.wait_until_ready([stage.crew.start(Job("work", threads=2))])
    holder, settled = caught_after_commit(stage)
    stage.crew.signal(holder, signal.SIGSTOP)
    # Longer than a dead process is waited for.
    time.sleep(4.5)
    asleep = stage.open_attempts()
    spare = replace(stage.place.services.access_tokens, wait_s=0.3).get(settled.connection, FORCING_S)
    stage.crew.signal(holder, signal.SIGCONT)
    stage.crew.wait([holder], within_s=60)

    [said] = [line for line in stage.crew.reports(holder) if "connection" in line]
    assert asleep == 1
    assert spare.warning == RefreshInProgress.code
    assert said["access"] == token_of(stage, settled.connection)
    assert len(calls_of(stage, settled)) == 1
    assert violations(stage.history()) == {}


# --- the database


def test_a_cut_connection_costs_a_second_try_and_no_second_call(stage: Stage) -> None:
    stage.crew.wait_until_ready([stage.crew.start(Job("work", threads=2))])
    holder, settled = caught_after_commit(stage)
    stage.place.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    stage.crew.wait([holder], within_s=60)

    [said] = [line for line in stage.crew.reports(holder) if "connection" in line]
    assert said["access"] == token_of(stage, settled.connection)
    assert len(calls_of(stage, settled)) == 1
    assert violations(stage.history()) == {}


def fast(premises: Premises) -> None:
    premises.postgres.stop()


def immediate(premises: Premises) -> None:
    """Stop without a word to anybody, as a crash does; the next start recovers from the log."""
    os.kill(int((premises.directory / "pg" / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
    premises.postgres.stop()


@pytest.mark.timeout(300)
def test_restarts_of_the_database_lose_nothing_and_heal_without_hands(premises_stage: tuple[Stage, Premises]) -> None:
    stage, premises = premises_stage
    stage.crew.wait_until_ready([stage.crew.start(Job("work", threads=2, settled_s=30.0))])
    for stop in (fast, immediate):
        restarted(stage, premises, stop)
    away_for_long(stage, premises)

    assert violations(stage.history()) == {}


def restarted(stage: Stage, premises: Premises, stop: Callable[[Premises], None]) -> None:
    """Take the database away between the provider's work and its answer, and bring it back soon."""
    holder, settled = caught_after_commit(stage)
    stop(premises)
    with pytest.raises(StoreUnavailable):
        stage.place.services.access_tokens.get(settled.connection, 30)
    time.sleep(HELD_S)
    premises.postgres.start()
    stage.crew.wait([holder], within_s=60)

    [said] = [line for line in stage.crew.reports(holder) if "connection" in line]
    assert said["access"] == token_of(stage, settled.connection)
    assert len(calls_of(stage, settled)) == 1


def away_for_long(stage: Stage, premises: Premises) -> None:
    """Take the database away until the answer is on the disk, and kill the process that put it there."""
    holder, settled = caught_after_commit(stage, held_s=0.2)
    premises.postgres.stop()
    eventually(lambda: stage.crew.reports(holder)[-1].get("done"), within_s=STORE_RETRY_S + 30, what="giving up")
    stage.crew.signal(holder, signal.SIGKILL)
    premises.postgres.start()
    eventually(
        lambda: stage.place.rows("SELECT generation FROM connections WHERE id = %s", settled.connection) == [(2,)],
        within_s=30, what="the answer from the disk",
    )  # fmt: skip

    # Connections that were open before the restart are found broken by whoever uses them first.
    with suppress(StoreUnavailable):
        token_of(stage, settled.connection)
    assert token_of(stage, settled.connection) == calls_of(stage, settled)[0].access


def test_a_lease_that_ended_while_the_database_was_away_waits_for_its_owner(
    premises_stage: tuple[Stage, Premises],
) -> None:
    """The owner has the answer on its disk and needs a moment to find the database again."""
    stage, premises = premises_stage
    [settled] = settle(stage.place, "oidc", 1, lifetime_s=LIVES_S, due_in_s=3600)
    stage.place.rows(
        "UPDATE connections SET lease_owner = 'away', lease_until = clock_timestamp() WHERE id = %s RETURNING 1",
        settled.connection,
    )
    premises.postgres.stop()
    premises.postgres.start()
    with suppress(StoreUnavailable):
        token_of(stage, settled.connection)

    spare = replace(stage.place.services.access_tokens, wait_s=0.3).get(settled.connection, FORCING_S)

    assert spare.warning == RefreshInProgress.code
    assert calls_of(stage, settled) == []


# --- the broker


def flushed(premises: Premises) -> None:
    with redis.Redis.from_url(premises.redis.url) as broker:
        broker.flushall()


def restarted_empty(premises: Premises) -> None:
    flushed(premises)
    premises.redis.stop()
    premises.redis.start()


def hung(premises: Premises) -> None:
    with redis.Redis.from_url(premises.redis.url) as broker:
        pid = broker.info()["process_id"]
    os.kill(pid, signal.SIGSTOP)
    time.sleep(2.5)
    os.kill(pid, signal.SIGCONT)


@pytest.mark.timeout(300)
def test_without_a_broker_tokens_are_handed_out_and_refreshed_all_the_same(
    premises_stage: tuple[Stage, Premises],
) -> None:
    stage, premises = premises_stage
    live = settle(stage.place, "google", 4, lifetime_s=LIVES_S, due_in_s=3600)
    stage.crew.wait_until_ready([stage.crew.start(Job("work", threads=4, settled_s=30.0))])
    asking = stage.crew.start(Job("get", tuple(str(s.connection) for s in live), until=time.time() + 12))
    stage.crew.wait_until_ready([asking])
    for trouble in (flushed, restarted_empty, hung):
        due = settle(stage.place, "oidc", 4, lifetime_s=LIVES_S)
        trouble(premises)
        eventually(lambda d=due: refreshed(stage.place, d), within_s=30, what=f"refreshes while {trouble.__name__}")
    stage.crew.wait([asking], within_s=60)

    asked = [line for line in stage.crew.reports(asking) if "connection" in line]
    assert len(asked) > 100
    assert [line for line in asked if "error" in line] == []
    history = stage.history()
    assert violations(history) == {}
    assert len([call for call in history.calls if call.sent is not None]) == 12


def refreshed(place: Installation, crowd: list[Settled]) -> bool:
    ids = [settled.connection for settled in crowd]
    return place.rows("SELECT count(*) FROM connections WHERE id = ANY(%s) AND generation > 1", ids) == [(len(ids),)]
