"""The audit: what happened, append only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, insert, select

from app.store.schema import audit_events


class PostgresAudit:
    """Implements ``ports.AuditStore``."""

    def __init__(self, connection: Connection) -> None:
        """Work on ``connection``."""
        self._connection = connection

    def event(
        self,
        kind: str,
        at: datetime,
        *,
        person_id: UUID | None = None,
        connection_id: UUID | None = None,
        detail: Mapping[str, str] | None = None,
    ) -> None:
        """Write an event; ``detail`` holds codes and ids, never secrets."""
        self._connection.execute(
            insert(audit_events).values(
                kind=kind, at=at, person_id=person_id, connection_id=connection_id, detail=dict(detail or {})
            )
        )

    def of_connection(self, connection_id: UUID, limit: int) -> tuple[tuple[datetime, str, Mapping[str, str]], ...]:
        """Return a connection's latest events, newest first."""
        rows = self._connection.execute(
            select(audit_events.c.at, audit_events.c.kind, audit_events.c.detail)
            .where(audit_events.c.connection_id == connection_id)
            .order_by(audit_events.c.id.desc())
            .limit(limit)
        )
        return tuple((row.at, row.kind, row.detail) for row in rows)
