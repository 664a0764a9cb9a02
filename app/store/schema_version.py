"""Whether a database has the tables this code needs: asked at every start, so without what changes them."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import create_engine, inspect, text
from sqlalchemy.pool import NullPool

from app.store.engine import typed_faults

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


def pending_migrations(database_url: str) -> bool:
    """Return whether the database lacks migrations this code needs. Raises ``StoreUnavailable``.

    A revision this code does not know is a newer one: newer schemas serve the release before.
    """
    head = (MIGRATIONS / ".current-head").read_text(encoding="utf-8").strip()
    known = {path.stem for path in (MIGRATIONS / "versions").glob("*.py")}
    current = _revision(database_url)
    return current is None or (current != head and current in known)


def _revision(database_url: str) -> str | None:
    """Return what Alembic has noted in the database; null for one that was never migrated."""
    engine = create_engine(database_url, poolclass=NullPool, hide_parameters=True)
    with typed_faults(), engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return revision
