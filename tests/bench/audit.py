"""What it costs to write a hand-out down so that it survives the end of the process: four ways, side by side.

``python3 dev.py bench audit [--entries 4000] [--rounds 3] [--threads 1 8]``. Prints one line per way and number of
threads: wall time until the last ``write`` has returned, and processor time of this process and of the servers
together, both in microseconds per entry, the median of the rounds. What a way leaves for later is waited for and
counted as processor time. The ways that lost live only here.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from uuid import uuid4

import psycopg
import redis

from app.crypto.keyring import Keyring
from app.crypto.sealing import build_sealer
from app.domain.audit import AuditEntry, line_of
from app.ports import HandOut
from app.services.audit_chain import AuditChain
from app.services.hand_out_log import HandOutLog, entry_of
from app.store.postgres import PostgresStore
from app.store.spool import FileSpool
from tests.bench._installation import Installation, installation

SCOPES = tuple(
    f"https://www.googleapis.com/auth/calendar.{name}" for name in ("events.readonly", "calendarlist", "freebusy")
)
INSERT = """
    INSERT INTO bench_hand_outs
    SELECT * FROM jsonb_to_recordset(%s::jsonb)
    AS entry (id uuid, service_id uuid, connection_id uuid, person_id uuid, at timestamptz, detail jsonb)
    """
TICKS = os.sysconf("SC_CLK_TCK")

Write = Callable[[HandOut], object]


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 8])
    options = parser.parse_args(arguments)
    with installation("http://localhost:1", "http://127.0.0.1:9") as place:
        prepare(place)
        for threads in options.threads:
            readings: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
            for _ in range(options.rounds):
                for name, way in WAYS.items():
                    readings[name].append(measure(place, way, threads, options.entries))
            for name, found in readings.items():
                wall, cpu = (median(column) for column in zip(*found, strict=True))
                print(f"{name}: {wall:.1f} us wall, {cpu:.1f} us cpu per entry, {threads} threads")
    return 0


def a_hand_out() -> HandOut:
    return HandOut(
        uuid4(), uuid4(), uuid4(), uuid4(), "meeting notes", ("calendar.read",), SCOPES, "released", None,
        os.urandom(32), datetime.now(UTC),
    )  # fmt: skip


def measure(
    place: Installation, way: Callable[[Installation], object], threads: int, entries: int
) -> tuple[float, float]:
    """Return wall and processor time per entry, in microseconds."""
    shares = [[a_hand_out() for _ in range(entries // threads)] for _ in range(threads)]
    with way(place) as write:
        write(a_hand_out())
        cpu, start = processor_s(), time.perf_counter()
        workers = [threading.Thread(target=lambda share=share: [write(entry) for entry in share]) for share in shares]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        wall = time.perf_counter() - start
    # A way ends when it has done what it left for later.
    cpu, done = processor_s() - cpu, entries // threads * threads
    return wall / done * 1e6, cpu / done * 1e6


def processor_s() -> float:
    """Return the processor time of this process and of the servers it has started."""
    parents, used = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(path.parent.name)
        parents[pid], used[pid] = int(fields[1]), sum(map(int, fields[11:15]))
    family = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(used[pid] for pid in family if pid in used) / TICKS


# --- the ways


@contextmanager
def pg_each(place: Installation) -> Iterator[Write]:
    """Insert and commit one by one, without waiting for the disk."""
    own = threading.local()
    opened = []

    def write(entry: HandOut) -> None:
        if not hasattr(own, "connection"):
            own.connection = connect(place)
            opened.append(own.connection)
        insert(own.connection, [entry])

    yield write
    for connection in opened:
        connection.close()


@contextmanager
def pg_group(place: Installation) -> Iterator[Write]:
    """Share commits: while one is under way the next group fills; its first member commits it."""
    with connect(place) as connection:
        yield GroupCommit(connection).write


@contextmanager
def redis_stream(place: Installation) -> Iterator[Write]:
    """Add to the broker's append-only log; drained later by a worker, which is not counted here."""
    client = redis.Redis.from_url(place.environment["REDIS_URL"])
    yield lambda entry: client.xadd("audit", {"line": line_of(entry_of(entry))})
    client.delete("audit")
    client.close()


@contextmanager
def spool_alone(place: Installation) -> Iterator[Write]:
    """Append to the spool and leave it there."""
    directory = place.directory / f"spool-{uuid4().hex}"
    spool = FileSpool(directory)
    yield lambda entry: spool.append(entry_of(entry))
    spool.close()


@contextmanager
def spool_and_chain(place: Installation) -> Iterator[Write]:
    """What the product does: the spool, and a thread that carries it into the chained log."""
    store = PostgresStore(place.environment["DATABASE_URL"])
    chain = AuditChain(store, build_sealer(Keyring.load(Path(place.environment["LATCHKEY_KEYRING_FILE"]))))
    log = HandOutLog(FileSpool(place.directory / "audit"), chain)
    yield log.write
    log.close()
    store.close()


WAYS: dict[str, Callable[[Installation], object]] = {
    "insert each": pg_each,
    "group commit": pg_group,
    "redis stream, not drained": redis_stream,
    "spool, not drained": spool_alone,
    "spool, drained and chained": spool_and_chain,
}


@dataclass
class Group:
    """Entries that share a commit."""

    entries: list[HandOut] = field(default_factory=list)
    is_done: bool = False


class GroupCommit:
    """Commits in groups, over one connection."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._filling = threading.Lock()
        self._committing = threading.Lock()
        self._group = Group()

    def write(self, entry: HandOut) -> None:
        with self._filling:
            group = self._group
            group.entries.append(entry)
        with self._committing:
            if not group.is_done:
                with self._filling:
                    self._group = Group()
                insert(self._connection, group.entries)
                group.is_done = True


def connect(place: Installation) -> psycopg.Connection:
    url = place.environment["DATABASE_URL"].replace("+psycopg", "")
    return psycopg.connect(url, autocommit=True, options="-c synchronous_commit=off", prepare_threshold=1)


def insert(connection: psycopg.Connection, entries: Sequence[HandOut]) -> None:
    connection.execute(INSERT, [json.dumps([row(entry_of(entry)) for entry in entries])])


def row(entry: AuditEntry) -> dict[str, object]:
    ids = {
        "id": entry.id,
        "service_id": entry.service_id,
        "connection_id": entry.connection_id,
        "person_id": entry.person_id,
    }
    return {**{name: str(value) for name, value in ids.items()}, "at": entry.at.isoformat(), "detail": entry.detail}


def prepare(place: Installation) -> None:
    """Make a table for the ways that insert, with the indexes of the log."""
    with connect(place) as connection:
        connection.execute(
            "CREATE TABLE bench_hand_outs (id uuid PRIMARY KEY, service_id uuid, connection_id uuid, person_id uuid,"
            " at timestamptz, detail jsonb)"
        )
        for column in ("connection_id", "person_id"):
            connection.execute(f"CREATE INDEX ON bench_hand_outs ({column}, at)")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
