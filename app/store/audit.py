"""Events of transactions, and the history of a connection."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, insert, literal, select, text, union_all

from app.domain.audit import Detail
from app.store.schema import audit_events, audit_log
from app.store.schema.audit import NOT_ROUTINE
from app.store.storable import storable

_E, _L = audit_events.c, audit_log.c


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
        service_id: UUID | None = None,
        person_id: UUID | None = None,
        connection_id: UUID | None = None,
        detail: Detail | None = None,
    ) -> None:
        """Write an event with the transaction; it is chained moments after the commit. No secrets in ``detail``."""
        self._connection.execute(
            insert(audit_events).values(
                kind=kind,
                at=at,
                service_id=service_id,
                person_id=person_id,
                connection_id=connection_id,
                detail=storable(detail or {}),
            )
        )

    def of_connection(self, connection_id: UUID, limit: int) -> tuple[tuple[datetime, str, Mapping[str, str]], ...]:
        """Return a connection's latest events but the routine ones, newest first, those not yet chained included."""
        waiting = select(_E.at, _E.kind, _E.detail, literal(1).label("is_waiting"), _E.id.label("place")).where(
            _E.connection_id == connection_id, text(NOT_ROUTINE)
        )
        chained = (
            select(_L.at, _L.kind, _L.detail, literal(0), _L.seq)
            .where(_L.connection_id == connection_id, text(NOT_ROUTINE))
            .order_by(_L.seq.desc())
            .limit(limit)
        )
        # One statement sees an event in one of the two places, never in both or neither.
        newest = union_all(waiting, chained).order_by(text("is_waiting DESC, place DESC")).limit(limit)
        return tuple((row.at, row.kind, row.detail) for row in self._connection.execute(newest))
