"""The scan for due refreshes among many connections: its plan and its time inside the server."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from sqlalchemy import create_engine, event, text

from app.store.tokens import PostgresTokens

LIMIT = 200


def due_scan(database_url: str) -> tuple[float, list[str]]:
    """Return milliseconds that a claim of ``LIMIT`` rows took in the server, and its plan. Nothing is changed."""
    engine = create_engine(database_url)
    now = datetime.now(UTC) + timedelta(minutes=30)
    with engine.connect() as connection:
        plan: list[str] = []

        def explain(conn, _cursor, statement, parameters, _context, _many):
            return f"EXPLAIN (ANALYZE, COSTS OFF, SUMMARY ON) {statement}", parameters

        event.listen(engine, "before_cursor_execute", explain, retval=True)
        try:
            times = []
            for _ in range(5):
                transaction = connection.get_transaction() or connection.begin()
                plan = _plan(connection, now)
                times.append(_execution_ms(plan))
                transaction.rollback()
        finally:
            event.remove(engine, "before_cursor_execute", explain)
    engine.dispose()
    return sorted(times)[len(times) // 2], plan


def _plan(connection, now: datetime) -> list[str]:
    rows = PostgresTokens(connection).claim_due("google", now, now + timedelta(seconds=30), LIMIT)
    return [str(row) for row in rows]


def _execution_ms(plan: list[str]) -> float:
    line = next(line for line in plan if line.startswith("Execution Time"))
    return float(re.sub(r"[^\d.]", "", line))


def held_in_cache(database_url: str) -> str:
    """Return the size of the connections with their indexes."""
    engine = create_engine(database_url)
    with engine.connect() as connection:
        size = connection.execute(text("SELECT pg_size_pretty(pg_total_relation_size('connections'))")).scalar_one()
    engine.dispose()
    return str(size)
