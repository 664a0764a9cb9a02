"""What nobody foresaw, and who came too late: no answer is lost, no token used twice, nothing left behind."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from app.domain.errors import (
    CipherError,
    ProviderThrottled,
    ProviderUnavailable,
    ReconnectRequired,
    StoreUnavailable,
)
from app.domain.secret import Secret
from app.services.watch import Watch
from app.store.presence import PostgresPresence
from tests.integration.services.conftest import CONFIRM_AFTER_S, House
from tests.integration.services.test_refreshing import (
    DEAD,
    LOST,
    crossed_calls,
    cut_off,
    die,
    execute,
    fall_silent,
    lease,
    outcomes,
    watch,
)


@pytest.fixture
def connection_id(house: House) -> UUID:
    """Return a connection whose access token has ended."""
    connection = house.connect(house.sign_in()).connection
    house.provider.calls.clear()
    house.clock.advance(3700)
    return connection.id


@pytest.fixture
def other(database_url: str) -> Iterator[PostgresPresence]:
    """Return another process of this installation, as the database sees it."""
    presence = PostgresPresence(database_url)
    presence.beat()
    yield presence
    presence.close()


class FailingStore:
    """A store whose transactions fail where a test says so."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.lost_commits = 0
        self.keeps_commits = True
        self.is_gone_after = False
        self.fault: Exception | None = None

    @contextmanager
    def transaction(self):
        if self.fault is not None:
            raise self.fault
        with self.house.store.transaction() as tx:
            yield tx
            if self.lost_commits and not self.keeps_commits:
                self.lost_commits -= 1
                self.fault = StoreUnavailable("no_connection") if self.is_gone_after else None
                raise StoreUnavailable("no_connection")
        if self.lost_commits:
            self.lost_commits -= 1
            raise StoreUnavailable("no_connection")

    def reading(self):
        return self.house.store.reading()


def on(house: House, store: FailingStore) -> House:
    refresher = replace(house.tokens.refresher, store=store, store_retry_s=0.0)
    return replace(house, tokens=replace(house.tokens, refresher=refresher))


def test_who_read_before_a_failed_call_makes_no_call_after_it(house: House, connection_id: UUID) -> None:
    """Its refresh token may be used up: a strict provider would end the whole family."""
    with house.store.reading() as tx:
        read_before = tx.tokens.current(connection_id)
    house.provider.failures = [LOST]
    with pytest.raises(ProviderUnavailable):
        house.tokens.get(connection_id, 60)
    assert read_before is not None

    assert house.tokens.refresher.lease(read_before) is None
    assert len(house.gate.withdrawn) == 1


@pytest.mark.parametrize("was_committed", [True, False])
def test_a_lease_whose_commit_was_not_confirmed_is_given_back(
    house: House, connection_id: UUID, *, was_committed: bool
) -> None:
    store = FailingStore(house)
    store.lost_commits, store.keeps_commits = 1, was_committed
    with pytest.raises(StoreUnavailable):
        on(house, store).tokens.get(connection_id, 60)

    assert house.gate.withdrawn == house.gate.admitted
    assert house.tokens.get(connection_id, 60).token == Secret("access-3")
    assert outcomes(house) == (["failed", "stored"] if was_committed else ["stored"])


def test_giving_back_a_lease_that_never_was_takes_nobody_elses(house: House, connection_id: UUID) -> None:
    """Another process got the lease meanwhile, with the number of the one that was never committed."""
    store = FailingStore(house)
    store.lost_commits, store.keeps_commits, store.is_gone_after = 1, False, True
    process = on(house, store)
    with pytest.raises(StoreUnavailable):
        process.tokens.get(connection_id, 60)
    store.fault = None
    held = lease(house, connection_id)

    process.tokens.refresher.settle()

    assert execute(house, "SELECT lease_owner, epoch FROM connections") == [("somebody", held.epoch)]
    assert outcomes(house) == [None]


def test_an_answer_that_cannot_be_stored_for_any_other_reason_is_on_disk(
    house: House, connection_id: UUID, tmp_path: Path
) -> None:
    store = FailingStore(house)

    def break_it() -> None:
        store.fault = RuntimeError("a mistake of ours")

    house.provider.during_refresh = break_it
    with pytest.raises(RuntimeError):
        on(house, store).tokens.get(connection_id, 60)
    assert len(list((tmp_path / "escrow").iterdir())) == 1

    house.tokens.refresher.settle()

    assert house.tokens.get(connection_id, 60).token == Secret("access-3")
    assert house.provider.calls == ["refresh"]


def test_an_answer_on_disk_that_never_fits_stands_in_nobodys_way(
    house: House, connection_id: UUID, other: PostgresPresence, tmp_path: Path
) -> None:
    _store, process = cut_off(house)
    with pytest.raises(StoreUnavailable):
        process.tokens.get(connection_id, 60)
    (kept,) = (tmp_path / "escrow").iterdir()
    # It claims to descend from a generation that came after it, which the database refuses.
    misfit = json.loads(kept.read_bytes()) | {"generation": 1, "parent": 9}
    (tmp_path / "escrow" / "0-misfit.json").write_text(json.dumps(misfit))

    watch(house, other).round()

    assert outcomes(house) == ["stored"]


def test_an_unforeseen_fault_of_a_call_counts_as_an_answer_that_got_lost(house: House, connection_id: UUID) -> None:
    def stumble() -> None:
        raise KeyError("refresh-2")

    house.provider.during_refresh = stumble

    with pytest.raises(ProviderUnavailable) as caught:
        house.tokens.get(connection_id, 60)

    assert "refresh-2" not in f"{caught.value} {caught.value.__context__} {caught.value.__cause__}"
    assert outcomes(house) == ["ambiguous"]
    assert len(house.gate.noted) == 1
    assert execute(house, "SELECT lease_until FROM connections") == [(None,)]


def test_a_process_is_heard_of_while_its_watch_waits_for_the_database(house: House, other: PostgresPresence) -> None:
    """A watch that waits in the queue for a connection must not be taken for dead."""
    is_waiting, goes_on = threading.Event(), threading.Event()

    class Waiting(FailingStore):
        def transaction(self):
            is_waiting.set()
            goes_on.wait(20)
            raise StoreUnavailable("pool_exhausted")

    held = Watch(Waiting(house), other, house.tokens.refresher, house.providers, house.nudge, house.clock, settled_s=0)
    held.start()
    try:
        assert is_waiting.wait(20)
        fall_silent(house, other)
        heard_of = "SELECT heartbeat_at > clock_timestamp() - interval '2 s' FROM processes"
        until = threading.Event()
        for _ in range(100):
            if execute(house, heard_of) == [(True,)]:
                break
            until.wait(0.05)
        assert execute(house, heard_of) == [(True,)]
    finally:
        held.stop()
        goes_on.set()
        for thread in threading.enumerate():
            if thread.name in {"presence", "watch"}:
                thread.join(20)


def test_a_process_with_an_open_attempt_is_remembered_however_long_it_is_silent(
    house: House, connection_id: UUID, other: PostgresPresence, database_url: str
) -> None:
    """The whole installation may have been off for days."""
    lease(house, connection_id, other.identity)
    die(house, other)
    finished = PostgresPresence(database_url)
    finished.beat()
    finished.close()
    execute(house, "UPDATE processes SET heartbeat_at = clock_timestamp() - interval '3 days'")
    starting = PostgresPresence(database_url)

    watch(house, starting).round()

    assert outcomes(house) == ["ambiguous"]
    starting.close()
    assert execute(house, "SELECT count(*) FROM processes WHERE id = CAST(:id AS uuid)", id=finished.identity) == [(0,)]


def test_a_sibling_that_does_not_open_is_not_tried_for_ever(house: House, connection_id: UUID) -> None:
    first, _second = crossed_calls(house, connection_id)
    execute(
        house, "UPDATE token_generations SET sealed_refresh = sealed_access WHERE generation = :number",
        number=first.generation,
    )  # fmt: skip
    house.provider.failures = [DEAD]
    with pytest.raises(CipherError):
        house.tokens.get(connection_id, 60)
    for _ in range(2):
        house.clock.advance(CONFIRM_AFTER_S + 1)
        house.provider.failures = [DEAD]
        with pytest.raises((ProviderThrottled, ReconnectRequired)) as caught:
            house.tokens.get(connection_id, 60)

    assert isinstance(caught.value, ReconnectRequired)


def test_a_call_is_under_way_until_its_answer_is_stored(house: House, connection_id: UUID) -> None:
    seen: list[bool] = []
    house.provider.during_refresh = lambda: seen.append(house.tokens.refresher.is_calling())

    house.tokens.get(connection_id, 60)

    assert (seen, house.tokens.refresher.is_calling()) == ([True], False)


STOPPED = """
import threading, time
from app.domain.errors import StoreUnavailable
from app.services.watch import Watch

class Surroundings:
    calling = True
    def beat(self): pass
    def settle(self): raise StoreUnavailable("no_connection")
    def is_calling(self): return self.calling

def store_an_answer():
    time.sleep(1.0)
    print("stored", flush=True)
    around.calling = False

around = Surroundings()
Watch(None, around, around, None, None, None).start()
# As a server runs requests: nobody waits for this thread.
threading.Thread(target=store_an_answer, daemon=True).start()
"""


def test_a_process_does_not_end_under_a_call() -> None:
    """A web server that is told to stop forgets requests whose callers went away."""
    done = subprocess.run([sys.executable, "-c", STOPPED], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == "stored\n"
