"""The services and what they can prove themselves with, for operators."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select

from app.domain.people import Service
from app.ports.credentials import RegisteredKey, ServiceOverview
from app.store.schema import service_keys, service_secrets, service_workloads, services


def service_overview(connection: Connection, now: datetime) -> tuple[ServiceOverview, ...]:
    """Return all services by name; four statements, whatever their number."""
    secrets: dict[UUID, list[datetime]] = defaultdict(list)
    live = select(service_secrets).where(service_secrets.c.expires_at > now).order_by(service_secrets.c.expires_at)
    for row in connection.execute(live):
        secrets[row.service_id].append(row.expires_at)
    keys: dict[UUID, list[RegisteredKey]] = defaultdict(list)
    for row in connection.execute(select(service_keys).order_by(service_keys.c.created_at)):
        keys[row.service_id].append(RegisteredKey(row.kid, row.expires_at))
    workloads: dict[UUID, list[tuple[str, str]]] = defaultdict(list)
    for row in connection.execute(select(service_workloads).order_by(service_workloads.c.created_at)):
        workloads[row.service_id].append((row.issuer_key, row.subject_pattern))
    return tuple(
        ServiceOverview(
            Service(row.id, row.name, row.is_enabled),
            row.jwks_url,
            tuple(secrets[row.id]),
            tuple(keys[row.id]),
            tuple(workloads[row.id]),
        )
        for row in connection.execute(select(services).order_by(services.c.name))
    )
