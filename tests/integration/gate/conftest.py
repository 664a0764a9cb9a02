"""Gates as several processes have them: each with a store and a memory of its own, one database and one Redis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from app.budgets import LocalBudget
from app.services.provider_gate import BreakerGate, CallLimits
from app.store.postgres import PostgresStore

ROOMY = CallLimits(10_000, 10_000, 10_000, 10_000)


class SteppingClock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@dataclass
class Crew:
    """The gates of several processes and the database they share."""

    database_url: str
    monotonic: SteppingClock = field(default_factory=SteppingClock)
    stores: list = field(default_factory=list)

    def gate(self, *, budget=None, limits=ROOMY, most_under_way=1000, monotonic=None):
        store = PostgresStore(self.database_url)
        self.stores.append(store)
        return BreakerGate(
            store,
            budget or LocalBudget(self.monotonic),
            {"google": limits, "microsoft": limits},
            most_under_way,
            lambda: datetime.now(UTC),
            lambda: 0.5,
            monotonic or self.monotonic,
        )

    def soon(self):
        """Let what the processes remember of the state grow old."""
        self.monotonic.now += 1

    def sql(self, statement, **values):
        engine = create_engine(self.database_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            result = connection.execute(text(statement), values)
            return [tuple(row) for row in result] if result.returns_rows else []

    def end_cool_down(self):
        self.sql("UPDATE provider_health SET open_until = clock_timestamp() - interval '1 second'")
        self.soon()

    def row(self, *columns):
        return self.sql(f"SELECT {', '.join(columns)} FROM provider_health")[0]  # noqa: S608

    def add_connection(self, *, provider="google", kind="google", suspected=False, **columns) -> UUID:
        """Write a connection as refreshing leaves it, with a token of an hour."""
        connection_id, person_id = uuid4(), uuid4()
        self.sql("INSERT INTO people (id, display_name, created_at) VALUES (:id, 'Ada', now())", id=person_id)
        values = {
            "id": str(connection_id), "person_id": str(person_id), "provider": provider, "kind": kind,
            "issuer": "https://issuer.test", "subject": str(connection_id), "status": "active",
            "status_since": datetime.now(UTC), "requested_features": [], "created_at": datetime.now(UTC),
            "last_refreshed_at": datetime.now(UTC), "suspected_since": datetime.now(UTC) if suspected else None,
        } | columns  # fmt: skip
        names = ", ".join(values)
        marks = ", ".join(f":{name}" for name in values)
        self.sql(f"INSERT INTO connections ({names}) VALUES ({marks})", **values)  # noqa: S608
        self.sql(
            "UPDATE connections SET access_expires_at = last_refreshed_at + interval '1 hour' WHERE id = :id",
            id=connection_id,
        )
        return connection_id


@pytest.fixture
def crew(database_url: str) -> Iterator[Crew]:
    crew = Crew(database_url)
    yield crew
    for store in crew.stores:
        store.close()
