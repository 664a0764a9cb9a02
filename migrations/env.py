"""Runs migrations: one process at a time, and never long in the way of the running service."""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import Connection, create_engine, pool, text

from app.store.schema import metadata

MIGRATION_LOCK = 7_236_641_895
"""Key of the advisory lock; any number will do as long as nobody else uses it."""

WAIT_FOR_OTHERS = "60s"
"""Several processes may migrate at start; the later ones wait, and then find nothing left to do."""

WAIT_FOR_TABLES = "5s"
"""A migration that queues behind a long query blocks everybody behind itself: rather give up and try again."""

LONGEST_STATEMENT = "15min"


def _database_url() -> str:
    url = context.config.attributes.get("database_url") or os.environ.get("DATABASE_URL")
    if not url:
        raise SystemExit("DATABASE_URL is not set")
    return str(url)


def _migrate(connection: Connection) -> None:
    connection.execute(text(f"SET lock_timeout = '{WAIT_FOR_OTHERS}'"))
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
    connection.execute(text(f"SET lock_timeout = '{WAIT_FOR_TABLES}'"))
    connection.execute(text(f"SET statement_timeout = '{LONGEST_STATEMENT}'"))
    connection.commit()
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


def run() -> None:
    """Connect and migrate; the lock goes with the connection."""
    if context.is_offline_mode():
        raise SystemExit("offline migrations are not supported: the lock needs a connection")
    engine = create_engine(_database_url(), poolclass=pool.NullPool, hide_parameters=True)
    with engine.connect() as connection:
        _migrate(connection)


run()
