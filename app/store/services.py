"""Internal services."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, select, update
from sqlalchemy.dialects import postgresql

from app.domain.people import Service
from app.store.schema import services


class PostgresServices:
    """Implements ``ports.ServiceStore``."""

    def __init__(self, connection: Connection) -> None:
        """Work on ``connection``."""
        self._connection = connection

    def add(self, service_id: UUID, name: str, now: datetime) -> None:
        """Store a service; raises ``ValueError`` when the name is taken."""
        added = self._connection.execute(
            postgresql.insert(services)
            .values(id=service_id, name=name, created_at=now)
            .on_conflict_do_nothing(index_elements=[services.c.name])
            .returning(services.c.id)
        ).first()
        if added is None:
            raise ValueError("a service of this name exists")

    def by_id(self, service_id: UUID) -> Service | None:
        """Return a service, frozen or not; null when unknown."""
        return self._one(services.c.id == service_id)

    def by_name(self, name: str) -> Service | None:
        """Return a service, frozen or not; null when unknown."""
        return self._one(services.c.name == name)

    def set_enabled(self, service_id: UUID, *, is_enabled: bool) -> None:
        """Freeze a service, or let it work again."""
        self._connection.execute(update(services).where(services.c.id == service_id).values(is_enabled=is_enabled))

    def _one(self, condition: ColumnElement[bool]) -> Service | None:
        row = self._connection.execute(
            select(services.c.id, services.c.name, services.c.is_enabled).where(condition)
        ).first()
        return None if row is None else Service(row.id, row.name, row.is_enabled)
