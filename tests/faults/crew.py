"""Processes of the product for an experiment, forked on request: `python -m tests.faults.crew`.

One parent imports everything and opens nothing. For every line of JSON on its input (a `Job`) it forks a child that
builds its own use cases, as the processes of a web server and of a worker do, announces itself as alive, does the job
and reports each piece as a line of JSON. When the input ends all children are killed: nothing outlives the test.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from app.bootstrap import WORKER_LIMITS, Services, build_services
from app.config import load_config
from app.crypto.keyring import Keyring
from app.crypto.sealing import build_sealer
from app.domain.errors import LatchkeyError
from app.ports import Lease, StoredTokens
from app.services.refreshing import LEASE_S, Refresher
from app.store.engine import Limits
from workers.tasks import ROW_TASKS

FEW_CONNECTIONS = Limits(write_pool_size=3, read_pool_size=4, pool_timeout_s=30)
"""Ten processes of callers and one database."""
TICK_S = 0.2


@dataclass(frozen=True)
class Job:
    """What a child does."""

    kind: str
    """`get`: ask for a token, as callers do; `refresh`: carry out the hint to refresh; `work`: claim what is due and
    carry it out, until killed."""
    connections: tuple[str, ...] = ()
    threads: int = 1
    """`get` and `refresh`: threads for each connection; `work`: threads for all."""
    starts_with: str = ""
    """File that is waited for once everything is ready; empty: begins at once."""
    until: float = 0.0
    """`get`: ask again and again until this time."""
    min_validity_s: float = 60.0
    settled_s: float = 0.0
    """How long after a start of the database nobody is taken for dead; the database of most tests is a young one."""
    is_guarded: bool = True
    """False plants the fault that whoever wants the lease gets it."""
    work_kinds: tuple[str, ...] = ("refresh",)
    """`work`: any of `refresh`, `list`, `sync`."""


@dataclass(frozen=True)
class Unguarded(Refresher):
    """The planted fault: whoever wants the lease gets it."""

    def lease(self, tokens: StoredTokens) -> Lease | None:
        connection_id = tokens.connection.id
        with self.store.transaction() as tx:
            # What a consent does on purpose: it takes over any lease.
            _, _, parent = tx.tokens.reserve(connection_id)
            return tx.tokens.lease(connection_id, self.owner, uuid4(), LEASE_S, parent=parent)


# --- the parent


def main() -> int:
    """Fork a child per line until the input ends."""
    children: set[int] = set()
    try:
        for line in sys.stdin:
            body = json.loads(line)
            job = Job(**{**body, "connections": tuple(body["connections"]), "work_kinds": tuple(body["work_kinds"])})
            child = os.fork()
            if child == 0:
                _child(job)
            children.add(child)
            say({"born": child})
    finally:
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        with suppress(ChildProcessError):
            while True:
                os.wait()
    return 0


def _child(job: Job) -> None:
    status = 1
    try:
        # Input is the parent's alone.
        os.close(sys.stdin.fileno())
        _do(job)
        status = 0
    except BaseException:  # noqa: BLE001 - the edge of a child, which must never return into its parent's code
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        say({"pid": os.getpid(), "done": True})
        os._exit(status)


def say(line: dict[str, Any]) -> None:
    # One write below the size of a pipe's buffer: lines of children never mix.
    os.write(sys.stdout.fileno(), (json.dumps(line) + "\n").encode())


# --- a child


def _do(job: Job) -> None:
    limits = WORKER_LIMITS if job.kind == "work" else FEW_CONNECTIONS
    services = build_services(load_config(), limits, most_waiting=max(64, job.threads * 2))
    if not job.is_guarded:
        services = _unguarded(services)
    watch = replace(services.watch, settled_s=job.settled_s)
    watch.round()
    watch.start()
    stall = Stall()
    say({"pid": os.getpid(), "ready": True})
    while job.starts_with and not Path(job.starts_with).exists():
        time.sleep(0.01)
    {"get": _get, "refresh": _refresh, "work": _work}[job.kind](services, job, stall)


def _unguarded(services: Services) -> Services:
    tokens = services.access_tokens
    members = {name: getattr(tokens.refresher, name) for name in Refresher.__dataclass_fields__}
    return replace(services, access_tokens=replace(tokens, refresher=Unguarded(**members)))


class Stall:
    """How late this process is woken, at worst: what the machine, not the product, takes."""

    def __init__(self) -> None:
        self.worst_s = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            began = time.monotonic()
            time.sleep(0.01)
            self.worst_s = max(self.worst_s, time.monotonic() - began - 0.01)


def _get(services: Services, job: Job, stall: Stall) -> None:
    sealer = build_sealer(Keyring.load(load_config().environment.keyring_file))

    def ask(connection_id: UUID) -> dict[str, Any]:
        token = services.access_tokens.get(connection_id, job.min_validity_s)
        return {
            "access": token.token.sha256(),
            "generation": token.generation,
            "warning": token.warning,
            "keyed": sealer.keyed_hash("hand_out", token.token.reveal()).hex(),
        }

    _each(job, stall, ask)


def _refresh(services: Services, job: Job, stall: Stall) -> None:
    def carry_out(connection_id: UUID) -> dict[str, Any]:
        services.access_tokens.refresh(connection_id)
        return {}

    _each(job, stall, carry_out)


def _each(job: Job, stall: Stall, work: Callable[[UUID], dict[str, Any]]) -> None:
    def run(connection: str) -> None:
        while True:
            began = time.time()
            try:
                outcome = work(UUID(connection))
            except LatchkeyError as error:
                outcome = {"error": error.code}
            times = {"began_at": began, "ended_at": time.time(), "stall_s": stall.worst_s}
            say({"pid": os.getpid(), "connection": connection, **times, **outcome})
            if time.time() >= job.until:
                return
            time.sleep(0.02)

    wanted = [connection for connection in job.connections for _ in range(job.threads)]
    with ThreadPoolExecutor(len(wanted)) as threads:
        list(threads.map(run, wanted))


def _work(services: Services, job: Job, stall: Stall) -> None:
    del stall
    claims = {
        "refresh": (services.due_work.refreshes, ROW_TASKS["refresh_connection"]),
        "list": (services.due_work.calendar_lists, ROW_TASKS["list_calendars"]),
        "sync": (services.due_work.syncs, ROW_TASKS["sync_calendar"]),
    }
    with ThreadPoolExecutor(job.threads) as threads:
        while True:
            for kind in job.work_kinds:
                claim, task = claims[kind]
                with suppress(LatchkeyError):
                    for row_id in claim():
                        threads.submit(_quietly, task, services, row_id)
            time.sleep(TICK_S)


def _quietly(task: Callable[[Services, UUID], object], services: Services, row_id: UUID) -> None:
    try:
        task(services, row_id)
    except LatchkeyError as error:
        say({"pid": os.getpid(), "connection": str(row_id), "error": error.code})


if __name__ == "__main__":
    sys.exit(main())
