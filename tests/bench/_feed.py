"""What a measurement of calendars asks of the database: the rows of a calendar by plain COPY, statements, plans."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import Engine, event

from app.store.postgres import PostgresStore

TABLES = ("events", "occurrences", "changes")


def connect(database_url: str) -> psycopg.Connection[Any]:
    """Return a connection of the measurement's own."""
    return psycopg.connect(database_url.replace("postgresql+psycopg://", "postgresql://", 1))


def copied_s(database_url: str, calendar_id: UUID) -> dict[str, float]:
    """Return, by table, the seconds that COPY takes to bring the calendar's rows back; they are there as before.

    The rows are sent as the server itself wrote them: this is the quickest way there is into the same tables.
    """
    with connect(database_url) as connection:
        rows = {table: _dumped(connection, table, calendar_id) for table in TABLES}
        for table in TABLES:
            connection.execute(f"DELETE FROM {table} WHERE calendar_id = %s", (calendar_id,))  # noqa: S608  # ours
        connection.commit()
        for table in TABLES:
            connection.execute(f"DELETE FROM {table} WHERE calendar_id = %s", (calendar_id,))  # noqa: S608  # ours
        connection.commit()
    with connect(database_url) as connection:
        connection.autocommit = True
        for table in TABLES:
            # As after the first sync: no dead rows in the way.
            connection.execute(f"VACUUM ANALYZE {table}")
        connection.autocommit = False
        took = {}
        for table in TABLES:
            began = time.perf_counter()
            with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                for block in rows[table]:
                    copy.write(block)
            took[table] = time.perf_counter() - began
        began = time.perf_counter()
        connection.commit()
        took["commit"] = time.perf_counter() - began
    return took


def _dumped(connection: psycopg.Connection[Any], table: str, calendar_id: UUID) -> list[bytes]:
    statement = f"COPY (SELECT * FROM {table} WHERE calendar_id = '{calendar_id}') TO STDOUT"  # noqa: S608  # ours
    with connection.cursor().copy(statement) as copy:
        return [bytes(block) for block in copy]


@dataclass
class Counter:
    """Statements sent, and the slowest of them."""

    statements: int = 0
    took: list[tuple[float, str]] = field(default_factory=list)
    _began: float = 0.0

    def before(self, *_: object) -> None:
        """Count one."""
        self.statements += 1
        self._began = time.perf_counter()

    def after(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        """Note how long it took."""
        self.took.append((time.perf_counter() - self._began, " ".join(statement.split())[:80]))


@contextmanager
def counted(store: PostgresStore) -> Iterator[Counter]:
    """Count the statements of a store; COPY and COMMIT are not among them."""
    counter = Counter()
    engines: tuple[Engine, ...] = (store._writes, store._reads)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", counter.before)
        event.listen(engine, "after_cursor_execute", counter.after)
    try:
        yield counter
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", counter.before)
            event.remove(engine, "after_cursor_execute", counter.after)
