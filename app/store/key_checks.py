"""Check values of the keys this database was sealed with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql

from app.store.schema import key_checks


class PostgresKeyChecks:
    """Implements ``ports.KeyCheckStore``."""

    def __init__(self, connection: Connection) -> None:
        """Work on ``connection``."""
        self._connection = connection

    def all(self) -> Mapping[bytes, bytes]:
        """Return key id to check value of every key this database has been used with."""
        rows = self._connection.execute(select(key_checks.c.key_id, key_checks.c.check_value))
        return {bytes(row.key_id): bytes(row.check_value) for row in rows}

    def add(self, key_id: bytes, check_value: bytes, now: datetime) -> None:
        """Note a key; an id that is noted already stays as it is."""
        self._connection.execute(
            postgresql.insert(key_checks)
            .values(key_id=key_id, check_value=check_value, created_at=now)
            .on_conflict_do_nothing()
        )
