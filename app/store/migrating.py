"""Brings a database to a revision of the schema, from any working directory."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from app.store.engine import typed_faults

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


def upgrade(database_url: str, revision: str = "head") -> None:
    """Apply every migration up to ``revision``; a second process waits for the first and then does nothing.

    Raises ``StoreUnavailable`` when the database does not answer or its tables stay locked.
    """
    with typed_faults():
        command.upgrade(_config(database_url), revision)


def downgrade(database_url: str, revision: str = "base") -> None:
    """Take migrations back down to ``revision``; with ``base`` every table is dropped."""
    with typed_faults():
        command.downgrade(_config(database_url), revision)


def pending_migrations(database_url: str) -> bool:
    """Return whether the database lacks migrations this code needs. Raises ``StoreUnavailable``.

    A revision this code does not know is a newer one: newer schemas serve the release before.
    """
    script = ScriptDirectory.from_config(_config(database_url))
    engine = create_engine(database_url, poolclass=NullPool, hide_parameters=True)
    with typed_faults(), engine.connect() as connection:
        current = set(MigrationContext.configure(connection).get_current_heads())
    known = {revision.revision for revision in script.walk_revisions()}
    return current != set(script.get_heads()) and current <= known


def _config(database_url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    # Not an option of the file: a password may hold percent signs, which the file format would interpolate.
    config.attributes["database_url"] = database_url
    return config
