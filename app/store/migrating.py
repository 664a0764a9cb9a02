"""Brings a database to a revision of the schema, from any working directory."""

from __future__ import annotations

from alembic import command
from alembic.config import Config

from app.store.engine import typed_faults
from app.store.schema_version import MIGRATIONS


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


def _config(database_url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    # Not an option of the file: a password may hold percent signs, which the file format would interpolate.
    config.attributes["database_url"] = database_url
    return config
