"""From an edit at the provider to the row in PostgreSQL, with the whole product running.

``python3 dev.py bench latency [--edits 20]``. Runs the product as `dev.py run` does, with the sandbox beside it,
connects an account of each provider, waits until everything is synced and watched, then adds events one after the
other. Prints p50, p95 and the longest per provider, in milliseconds from the sandbox's answer to the edit until
another database connection sees the event; push is on, polling is far away.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import psycopg

from tests.running_product import Product, eventually, running_product

ACCOUNTS = {"google": "ada", "microsoft": "chiara"}
ASIDE_S = 1.0
"""Between edits, so that each is a change of its own."""
LOOK_EVERY_S = 0.01
PATIENCE_S = 60.0
_SETTLED = """
    SELECT count(*) FILTER (WHERE s.last_success_at IS NULL OR s.requested > s.completed) = 0
           AND count(*) FILTER (WHERE c.is_primary AND h.id IS NULL) = 0 AND count(*) > 0
    FROM calendars c
    JOIN sync_states s ON s.calendar_id = c.id
    LEFT JOIN channels h ON h.calendar_id = c.id AND h.state = 'active'
"""


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edits", type=int, default=20)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="latchkey-bench-") as name:
        environment = {"LATCHKEY_POLL_INTERVAL_S": "3600"}
        with running_product(Path(name), environment=environment) as product, product.database() as database:
            person = product.http()
            person.sign_in("google", ACCOUNTS["google"])
            for provider, account in ACCOUNTS.items():
                person.connect(provider, account)
            eventually(lambda: is_settled(database), within_s=120, what="a first sync and a channel everywhere")
            for provider in ACCOUNTS:
                report(provider, [measure(product, database, provider, n) for n in range(options.edits)])
    return 0


def is_settled(database: psycopg.Connection[Any]) -> bool:
    """Return whether everything is synced and the own calendars are watched."""
    row = database.execute(_SETTLED).fetchone()
    return bool(row and row[0])


def measure(product: Product, database: psycopg.Connection[Any], provider: str, number: int) -> float:
    """Add one event; return the seconds until it is stored."""
    time.sleep(ASIDE_S)
    title = f"Measured {provider} {number}"
    start = (datetime.now(UTC) + timedelta(days=1)).replace(hour=12, minute=0, second=0, microsecond=0, tzinfo=None)
    times = {"start": start.isoformat(), "end": (start + timedelta(minutes=30)).isoformat()}
    product.control("events", provider=provider, account=ACCOUNTS[provider], action="add", title=title, **times)
    edited_at = time.perf_counter()
    while time.perf_counter() - edited_at < PATIENCE_S:
        if database.execute("SELECT 1 FROM events WHERE summary = %s", [title]).fetchone():
            return time.perf_counter() - edited_at
        time.sleep(LOOK_EVERY_S)
    raise SystemExit(f"{provider}: an event was not here after {PATIENCE_S:.0f} s")


def report(provider: str, found_s: Sequence[float]) -> None:
    """Print one line."""
    found_ms = sorted(seconds * 1000 for seconds in found_s)
    p95 = quantiles(found_ms, n=20, method="inclusive")[-1]
    print(
        f"{provider}: edit to row p50 {median(found_ms):.0f} ms, p95 {p95:.0f} ms, longest {found_ms[-1]:.0f} ms; "
        f"{len(found_ms)} edits, one at a time, push on, web, worker, beat, sandbox and database on one machine",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
