"""Processes killed while their refreshes are under way: what the provider allows to survive survives."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from app.domain.connections import Reason, Status
from app.domain.errors import ReconnectRequired
from app.sandbox.settings import Rotation
from tests.faults.checkers import violations
from tests.faults.crew import Job
from tests.faults.crowds import Settled, settle
from tests.faults.history import History
from tests.faults.installation import Installation, installation
from tests.faults.stage import Stage, staged
from tests.running_product import eventually

KIND_OF: dict[Rotation, str] = {"none": "google", "overlap": "microsoft", "grace": "oidc", "strict": "oidc"}
EACH = 4
"""Refreshes under way in each process that is killed."""
FEW, MANY = 12, 200
"""Killed refreshes per class, in the short experiment and in the full one."""
AT_ONCE = 24
PROVIDER_S = 0.8
TAKEN_OVER_WITHIN_S = 5.0
FORCING_S = 2000
"""More validity than the tokens of the crowd have left."""


@pytest.fixture(params=KIND_OF)
def rotation(request: pytest.FixtureRequest) -> Rotation:
    return request.param


@pytest.fixture
def stage(tmp_path: Path, database_url: str, redis_url: str, rotation: Rotation) -> Iterator[Stage]:
    oidc: Rotation = rotation if KIND_OF[rotation] == "oidc" else "strict"
    with installation(tmp_path, database_url, redis_url, oidc_rotation=oidc) as place, staged(place) as stage:
        place.sandbox.state.runtime.update({"access_token_lifetime_s": 3600})
        yield stage


@dataclass(frozen=True)
class Killed:
    """One refresh whose process was killed."""

    connection: UUID
    at: float


def kill_in_flight(stage: Stage, kind: str, crowd: list[Settled], chance: random.Random) -> list[Killed]:
    """Let processes refresh a few connections each, and kill every one of them at some moment.

    Of three calls one is killed before the provider has done anything, one after it, one at any moment; every third
    process is killed the moment the provider has done its work for one of its calls.
    """
    for number, settled in enumerate(crowd):
        if number % 3:
            slow = ("hang", "hold")[number % 3 - 1]
            stage.place.fault(f"{kind}.token", slow, seconds=PROVIDER_S, account=settled.account)
    gun = stage.starting_gun()
    groups = [crowd[start : start + EACH] for start in range(0, len(crowd), EACH)]
    victims = {stage.crew.start(_refreshing(group, str(gun))): group for group in groups}
    stage.crew.wait_until_ready(victims)
    gun.touch()
    began = time.monotonic()
    killed: list[Killed] = []
    waits = sorted((chance.uniform(0.0, PROVIDER_S * 1.2), number, pid) for number, pid in enumerate(victims))
    for wait_s, number, pid in waits:
        time.sleep(max(0.0, began + wait_s - time.monotonic()))
        if number % 3 == 0:
            wait_for_a_commit(stage, victims[pid])
        at = stage.crew.signal(pid, signal.SIGKILL)
        killed.extend(Killed(settled.connection, at) for settled in victims[pid])
    return killed


def _refreshing(group: list[Settled], gun: str) -> Job:
    return Job("get", tuple(str(s.connection) for s in group), starts_with=gun, min_validity_s=FORCING_S)


def wait_for_a_commit(stage: Stage, group: list[Settled]) -> None:
    accounts = {settled.account for settled in group}
    ledger = stage.place.sandbox.state.token_ledger
    eventually(
        lambda: any(call.committed_at for call in ledger.calls() if call.account in accounts),
        within_s=30, what="a commit", every_s=0.005,
    )  # fmt: skip


def unavoidable(history: History, connections: set[UUID]) -> set[UUID]:
    """Return for which connections the provider has issued a refresh token that never reached the database."""
    found = set()
    for kept in history.connections:
        calls = history.refreshes[kept.id]
        if kept.id in connections and any(c.refresh and c.refresh not in kept.stored for c in calls):
            found.add(kept.id)
    return found


def due_now(stage: Stage) -> int:
    return stage.place.rows(
        "SELECT count(*) FROM connections WHERE status = 'active' AND refresh_due_at <= now()"
        " AND (next_attempt_at IS NULL OR next_attempt_at <= now())"
    )[0][0]


@pytest.mark.timeout(1200)
def test_a_killed_refresh_loses_only_what_no_client_could_keep(
    stage: Stage, rotation: Rotation, *, is_full: bool
) -> None:
    chance, kind = random.Random(20261123), KIND_OF[rotation]
    stage.crew.wait_until_ready([stage.crew.start(Job("work", threads=8))])
    killed: list[Killed] = []
    is_lost: set[UUID] = set()
    for _ in range(0, MANY if is_full else FEW, AT_ONCE):
        crowd = settle(stage.place, kind, AT_ONCE if is_full else FEW, lifetime_s=FORCING_S - 200, due_in_s=3600)
        killed += kill_in_flight(stage, kind, crowd, chance)
        # Far below the end of the leases: somebody saw that the owners are dead.
        eventually(lambda: stage.open_attempts() == 0, within_s=60, what="the takeover")
        eventually(lambda: due_now(stage) == 0, within_s=60, what="the refreshes after it")
        if rotation == "strict":
            is_lost |= lost_and_labelled(stage, {settled.connection for settled in crowd})

    assert took_over_in_time(stage, killed) or not is_full
    history = stage.history()
    assert violations(history) == {}
    ended = {kept.id for kept in history.connections if kept.status != Status.ACTIVE}
    assert ended == is_lost


def took_over_in_time(stage: Stage, killed: list[Killed]) -> bool:
    at = {k.connection: k.at for k in killed}
    waited = sorted(
        finished.timestamp() - at[connection]
        for connection, finished in stage.place.rows(
            "SELECT connection_id, finished_at FROM refresh_attempts WHERE error_code = 'owner_died'"
        )
    )
    assert waited, "nobody was taken over"
    p99_s = waited[int(len(waited) * 0.99)]
    print(f"{len(waited)} taken over: p50 {waited[len(waited) // 2]:.1f} s, p99 {p99_s:.1f} s, max {waited[-1]:.1f} s")
    return p99_s <= TAKEN_OVER_WITHIN_S


def lost_and_labelled(stage: Stage, crowd: set[UUID]) -> set[UUID]:
    """Assert that the unavoidable losses of a crowd are served to their end and then told; return them."""
    is_lost = unavoidable(stage.history(), crowd)
    assert is_lost, "nothing was killed at the wrong moment"
    old_tokens_serve(stage, is_lost)
    # Others go on as ever: without them the provider would seem to refuse everybody, which proves nothing.
    settle(stage.place, "oidc", len(crowd), lifetime_s=FORCING_S - 200)
    last_chance(stage, is_lost)
    return is_lost


def old_tokens_serve(stage: Stage, connections: set[UUID]) -> None:
    """Assert that nobody who asks notices, and that the provider is not asked."""
    before = len(stage.place.sandbox.state.token_ledger.calls())
    for connection in connections:
        assert stage.place.services.access_tokens.get(connection).warning is None
    assert len(stage.place.sandbox.state.token_ledger.calls()) == before


def last_chance(stage: Stage, lost: set[UUID]) -> None:
    """Let the old tokens come near their end: the provider is asked once more, twice refuses, and that is the end."""
    place = stage.place
    place.rows(
        "UPDATE connections SET access_expires_at = now() + interval '100 seconds', next_attempt_at = NULL,"
        " refresh_claimed_until = NULL WHERE next_attempt_at IS NOT NULL"
    )
    all_lost = "SELECT count(*) FROM connections WHERE id = ANY(%s) AND {}"
    eventually(
        lambda: place.rows(all_lost.format("suspected_since IS NOT NULL"), list(lost)) == [(len(lost),)],
        within_s=60, what="the first refusal of every lost one",
    )  # fmt: skip
    eventually(lambda: stage.open_attempts() == 0, within_s=60, what="the end of the attempts")
    for connection in lost:
        place.settle_suspicion(connection)
    eventually(
        lambda: place.rows(all_lost.format("status = 'needs_reconnect'"), list(lost)) == [(len(lost),)],
        within_s=60, what="the second refusals",
    )  # fmt: skip
    eventually(lambda: stage.open_attempts() == 0, within_s=60, what="the end of the attempts")
    place.services.hand_out_log.collect()
    for connection in lost:
        assert_labelled(place, connection)
        assert place.services.access_tokens.get(connection, 30).warning == Reason.ROTATION_LOST
        place.age(connection)
        with pytest.raises(ReconnectRequired) as ended:
            place.services.access_tokens.get(connection, 30)
        assert ended.value.reason == Reason.ROTATION_LOST


def assert_labelled(place: Installation, connection: UUID) -> None:
    """Assert that the loss is written down once, with the attempt that it happened in."""
    [attempt] = place.rows(
        "SELECT id FROM refresh_attempts WHERE connection_id = %s AND outcome = 'ambiguous'", connection
    )[-1:]
    written = place.rows(
        "SELECT detail->>'reason', detail->>'attempt' FROM audit_log WHERE connection_id = %s"
        " AND kind = 'needs_reconnect'",
        connection,
    )
    assert written == [(Reason.ROTATION_LOST, str(attempt[0]))]


@pytest.mark.parametrize("rotation", ["none"], indirect=True)
def test_without_anybody_watching_the_attempt_stays_open_and_the_checkers_say_so(stage: Stage) -> None:
    crowd = settle(stage.place, "google", 1, lifetime_s=FORCING_S - 200, due_in_s=3600)
    stage.place.fault("google.token", "hold", seconds=PROVIDER_S)
    victim = stage.crew.start(_refreshing(crowd, ""))
    wait_for_a_commit(stage, crowd)
    stage.crew.signal(victim, signal.SIGKILL)

    assert {"C3", "C6"} == set(violations(stage.history()))
