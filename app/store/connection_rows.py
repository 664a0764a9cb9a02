"""How a row becomes a ``Connection``; shared by every store that reads one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from app.domain.connections import Connection, Reason, Status
from app.domain.features import Feature
from app.store.schema import connections

CONNECTION_COLUMNS = tuple(
    connections.c[name]
    for name in (
        "id",
        "person_id",
        "provider",
        "kind",
        "issuer",
        "subject",
        "tenant",
        "email",
        "display_name",
        "status",
        "reason",
        "status_since",
        "requested_features",
        "granted_scopes",
        "generation",
        "access_expires_at",
        "last_refreshed_at",
        "created_at",
        "calendars_listed_at",
        "paused_until",
        "completion_due_at",
    )
)


def read_connection(row: Row[*tuple[Any, ...]]) -> Connection:
    """Return the connection in ``row``, which holds at least ``CONNECTION_COLUMNS`` under their own names."""
    return Connection(
        id=row.id,
        person_id=row.person_id,
        provider=row.provider,
        kind=row.kind,
        issuer=row.issuer,
        subject=row.subject,
        tenant=row.tenant,
        email=row.email,
        display_name=row.display_name,
        status=Status(row.status),
        reason=None if row.reason is None else Reason(row.reason),
        status_since=row.status_since,
        requested_features=tuple(Feature(word) for word in row.requested_features),
        granted_scopes=tuple(row.granted_scopes),
        generation=row.generation,
        access_expires_at=row.access_expires_at,
        last_refreshed_at=row.last_refreshed_at,
        created_at=row.created_at,
        calendars_listed_at=row.calendars_listed_at,
        paused_until=row.paused_until,
        completion_due_at=row.completion_due_at,
    )
