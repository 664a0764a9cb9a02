"""Calendars: first sync, small changes in calendars of any size, the queue of a hundred thousand, expansion.

``python3 dev.py bench calendars [--events 100 10000 100000] [--series 200 5000] [--queue 100000] [--skip-expansion]``.
Latchkey runs in this process, on a PostgreSQL of its own that writes durably; the sandbox runs in another process and
shares the machine. Prints one line per figure: name, value, unit, settings.

"Storing" is the time inside the store: staging by COPY, reading it back, the one transaction. It is compared with a
plain COPY of the very rows that came of it (events, occurrences, changes) into the same tables.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any
from unittest.mock import patch
from uuid import UUID

from sqlalchemy import create_engine, event, text

from app.config import load_config
from app.dev.ports import choose_port
from app.domain.calendars import ChangePage, EventKind, EventStatus, RemoteEvent, Window
from app.ports import SyncRound
from app.services.sync_rounds import StagedRound
from app.store.sync_claims import claim_syncs
from tests.bench import expansion
from tests.bench._due import LIMIT, _execution_ms
from tests.bench._feed import copied_s, counted
from tests.bench._installation import installation
from tests.bench.first_sync import PUBLIC_URL, Bench, Stopwatch, build, sandbox

WINDOW = {"LATCHKEY_SYNC_PAST_DAYS": "100", "LATCHKEY_SYNC_FUTURE_DAYS": "500"}
"""Holds all that the sandbox makes."""
MOMENT = datetime.now(UTC).replace(microsecond=0)
YEAR = Window(MOMENT - timedelta(days=31), MOMENT + timedelta(days=396))
CHANGES = 10
ROUNDS = 5


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, nargs="+", default=[100, 10_000, 100_000])
    parser.add_argument("--series", type=int, nargs="+", default=[200, 5000])
    parser.add_argument("--queue", type=int, default=100_000, help="calendars with a due time")
    parser.add_argument("--skip-expansion", action="store_true")
    options = parser.parse_args(arguments)
    for count in options.events:
        measure_size(count)
    for count in options.series:
        measure_series(count)
    measure_queue(options.queue)
    return 0 if options.skip_expansion else expansion.main([])


def measure_size(count: int) -> None:
    """Measure first sync, storing and small changes of one calendar."""
    with benched(count) as (bench, calendar_id, url):
        stored_s = _first_sync(bench, calendar_id, count)
        _print_ratio(copied_s(url, calendar_id), stored_s, count)
        _full_pass(bench, calendar_id, count)
        _small_changes(bench, calendar_id, count)


def measure_series(count: int) -> None:
    """Stage, expand and apply rounds of series, without a provider: all, all again, some, a window that moved."""
    with benched(100) as (bench, calendar_id, _):
        everything = [weekly(place) for place in range(count)]
        some = [weekly(place, "Edited") for place in range(min(150, count))]
        for name, events, full, whole_window in (
            ("first pass", everything, True, False),
            ("full pass, nothing changed", everything, True, False),
            (f"{len(some)} edited", some, False, False),
            ("moved window", [], False, True),
        ):
            _round(bench, calendar_id, f"series, {name}", events, full=full, whole_window=whole_window, of=count)


def weekly(place: int, title: str = "Series") -> RemoteEvent:
    """Return a series that began some months ago."""
    start = MOMENT - timedelta(days=place % 300, minutes=place % 600)
    return RemoteEvent(
        f"series-{place}", EventKind.MASTER, EventStatus.CONFIRMED, None, None, start=start,
        end=start + timedelta(hours=1), time_zone="Europe/Berlin", rules=("RRULE:FREQ=WEEKLY",), summary=title,
    )  # fmt: skip


def _round(
    bench: Bench,
    calendar_id: UUID,
    name: str,
    events: Sequence[RemoteEvent],
    *,
    full: bool,
    whole_window: bool,
    of: int,
) -> None:
    with bench.store.transaction() as tx:
        run = tx.calendars.lease(calendar_id, "bench", 600)
    assert run is not None
    staged = StagedRound(bench.store, run, "bench", YEAR, expands=True, full=full, whole_window=whole_window)
    began = time.perf_counter()
    staged.take([ChangePage(tuple(events), cursor="cursor")])
    staged.settle()
    settled = time.perf_counter()
    with bench.store.transaction() as tx:
        tx.calendars.apply(run, "bench", SyncRound("cursor", YEAR, staged.staged, full, whole_window), MOMENT)
    applied = time.perf_counter()
    staged.discard()
    with bench.store.transaction() as tx:
        tx.calendars.finish(run, "bench", next_at=MOMENT, error=None, drop_cursor=False, now=MOMENT)
    settings = f"{of:,} weekly series, {staged.staged.occurrences:,} occurrences staged"
    print(
        f"{name}: {settled - began:.2f} s staged and expanded, {applied - settled:.2f} s applied, {settings}",
        flush=True,
    )


@contextmanager
def benched(count: int) -> Iterator[tuple[Bench, UUID, str]]:
    """Serve a sandbox with a calendar of ``count`` events, connected and listed; yields also the database's URL."""
    port = choose_port(None, [8766])
    url = f"http://127.0.0.1:{port}"
    with installation(PUBLIC_URL, url, **WINDOW) as place, sandbox(port):
        with patch.dict("os.environ", place.environment):
            bench = build(load_config(), url, "google", "ada")
        try:
            bench.control("settings", google_page_size=2500)
            connection_id = bench.connect("google", "ada")
            added = bench.control("calendars", provider="google", account="ada", action="add", name="Measured")
            for some in range(0, count, 50_000):
                bench.control(
                    "bulk", provider="google", account="ada", calendar=added["id"], count=min(50_000, count - some)
                )
            bench.services.calendar_lists.read(connection_id)
            with bench.store.reading() as tx:
                rows = tx.calendars.of_connection(connection_id)
            calendar = next(row for row in rows if row.provider_id == added["id"])
            yield bench, calendar.id, place.environment["DATABASE_URL"]
        finally:
            bench.http.close()
            bench.store.close()


def _sync(bench: Bench, calendar_id: UUID) -> tuple[Any, Stopwatch, float]:
    calendars: Any = bench.services.providers.get("google").calendars
    bench.http.watch = bench.store.watch = calendars.watch = watch = Stopwatch()
    began = time.perf_counter()
    outcome = bench.services.calendar_sync.sync(calendar_id)
    return outcome, watch, time.perf_counter() - began


def _first_sync(bench: Bench, calendar_id: UUID, count: int) -> float:
    outcome, watch, total_s = _sync(bench, calendar_id)
    spent, settings = watch.spent_s, f"{count:,} events, 2,500 a page"
    own_s = total_s - spent["fetch"]
    print(f"first sync: {count / total_s:.0f} events/s, {settings}, {outcome.occurrences:,} occurrences")
    print(f"first sync without waiting for the sandbox: {count / own_s:.0f} events/s, {settings}")
    print(f"first sync, storing alone: {count / spent['write']:.0f} events/s, {settings}, {spent['write']:.2f} s")
    return spent["write"]


def _print_ratio(copied: dict[str, float], stored_s: float, count: int) -> None:
    parts = ", ".join(f"{name} {took:.2f} s" for name, took in copied.items())
    print(f"plain COPY of the same rows: {sum(copied.values()):.2f} s, {count:,} events, {parts}")
    print(f"storing / plain COPY: {sum(copied.values()) / stored_s:.2f} ratio, {count:,} events", flush=True)


def _full_pass(bench: Bench, calendar_id: UUID, count: int) -> None:
    """Read everything anew with nothing changed, as after a cursor that expired."""
    engine = create_engine(bench.services.connections.store._writes.url)  # type: ignore[attr-defined]  # the bench's own
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE sync_states SET cursor = NULL, window_start = NULL, window_end = NULL WHERE calendar_id = :id"
            ),
            {"id": calendar_id},
        )
    engine.dispose()
    outcome, watch, _ = _sync(bench, calendar_id)
    assert outcome.full
    assert outcome.changes == 0
    print(f"full pass, nothing changed, storing alone: {watch.spent_s['write']:.2f} s, {count:,} events", flush=True)


def _small_changes(bench: Bench, calendar_id: UUID, count: int) -> None:
    """Change ten events, sync, and do it again: what does it cost without the sandbox?"""
    with bench.store.reading() as tx:
        provider_id = tx.calendars.get(calendar_id).provider_id  # type: ignore[union-attr]  # it is there
    statements, own_ms, store_ms, slowest = [], [], [], []
    for number in range(ROUNDS):
        _edit(bench, provider_id, number)
        with counted(bench.store) as counter:
            outcome, watch, total_s = _sync(bench, calendar_id)
        assert outcome.changes == CHANGES
        statements.append(counter.statements)
        own_ms.append((total_s - watch.spent_s["fetch"]) * 1000)
        store_ms.append(watch.spent_s["write"] * 1000)
        slowest.append(max(counter.took))
    settings = f"{CHANGES} changes in {count:,} events, median of {ROUNDS}"
    print(f"small sync, statements: {median(statements):.0f} statements, {settings}")
    print(f"small sync without waiting for the sandbox: {median(own_ms):.1f} ms, {settings}")
    print(f"small sync, inside the store: {median(store_ms):.1f} ms, {settings}")
    took_s, statement = sorted(slowest)[ROUNDS // 2]
    print(f"small sync, slowest statement: {took_s * 1000:.1f} ms, {settings}: {statement}", flush=True)


def _edit(bench: Bench, provider_id: str, number: int) -> None:
    moment = datetime.now(UTC) + timedelta(days=3 + number)
    for place in range(CHANGES):
        start = moment + timedelta(minutes=place)
        times = {"start": start, "end": start + timedelta(minutes=30)}
        body: dict[str, Any] = {name: {"dateTime": at.isoformat(), "timeZone": "UTC"} for name, at in times.items()}
        body["summary"] = f"Changed {number}"
        bench.control("events", provider="google", account="ada", action="add", calendar=provider_id, body=body)


_QUEUE = (
    """
    INSERT INTO people (id, display_name, email, created_at)
    SELECT md5('person' || n)::uuid, 'Person ' || n, 'p' || n || '@example.com', now() FROM generate_series(1, :n / 5) n
    """,
    """
    INSERT INTO connections (id, person_id, provider, kind, issuer, subject, status, status_since, requested_features,
                             granted_scopes, created_at)
    SELECT md5('connection' || n)::uuid, md5('person' || n)::uuid, 'google', 'google', 'https://accounts.google.com',
           'subject-' || n, 'active', now(), ARRAY['calendar.read'], ARRAY['openid'], now()
    FROM generate_series(1, :n / 5) n
    """,
    """
    INSERT INTO calendars (id, connection_id, provider_id, name, access_role, is_primary, created_at)
    SELECT md5('calendar' || n)::uuid, md5('connection' || (n % (:n / 5) + 1))::uuid, 'calendar-' || n, 'Calendar',
           'owner', n <= :n / 5, now()
    FROM generate_series(1, :n) n
    """,
    """
    INSERT INTO sync_states (calendar_id, due_at, requested)
    SELECT md5('calendar' || n)::uuid, now() + interval '10 minutes' * (random() - 0.5), 1 FROM generate_series(1, :n) n
    """,
)
"""Five calendars a person; half of all are due."""


def measure_queue(count: int) -> None:
    """Claim from a queue of ``count`` calendars, half of them due, and print the plan."""
    with installation(PUBLIC_URL, "http://127.0.0.1:9") as place:
        engine = create_engine(place.environment["DATABASE_URL"])
        with engine.begin() as connection:
            for statement in _QUEUE:
                connection.execute(text(statement), {"n": count})
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
        now, took, plan = datetime.now(UTC), [], [""]
        for _ in range(ROUNDS):
            with engine.begin() as connection:
                began = time.perf_counter()
                claimed = claim_syncs(connection, now, now + timedelta(seconds=30), LIMIT)
            took.append((time.perf_counter() - began) * 1000)
            if not claimed:
                raise SystemExit(f"a queue of {count} is claimed too soon")
        with engine.connect() as connection:
            event.listen(engine, "before_cursor_execute", _explain, retval=True)
            plan = [str(row[0]) for row in _claim_plan(connection, now)]
            event.remove(engine, "before_cursor_execute", _explain)
        engine.dispose()
    settings = f"{LIMIT} of {count:,} calendars, half of them due, five a connection"
    print(f"claim with its commit: {median(took):.1f} ms, {settings}, median of {ROUNDS}")
    print(f"claim in the server: {_execution_ms(plan):.1f} ms, {settings}")
    print("\n".join(f"    {line}" for line in plan), flush=True)


def _explain(
    _connection: object, _cursor: object, statement: str, parameters: object, _context: object, _many: object
) -> tuple[str, object]:
    return f"EXPLAIN (ANALYZE, COSTS OFF, SUMMARY ON) {statement}", parameters


def _claim_plan(connection: Any, now: datetime) -> list[Any]:
    found: list[Any] = []
    real = connection.execute

    class Kept:
        def execute(self, *arguments: Any) -> Any:
            found.extend(real(*arguments).all())
            return self

        def all(self) -> list[Any]:
            return []

    claim_syncs(Kept(), now, now + timedelta(seconds=30), LIMIT)  # type: ignore[arg-type]  # keeps the plan
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
