"""Internal services: their secrets and tokens by hash, and what policy lets them use."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql

from app.domain.features import Feature
from app.domain.people import Service
from app.store.schema import policies, service_secrets, service_tokens, services

KEPT_AFTER_END = timedelta(days=1)
"""Above any difference between our clocks and the database's."""


def in_force(now: datetime) -> ColumnElement[bool]:
    """Return the condition that a policy has not ended."""
    return or_(policies.c.valid_until.is_(None), policies.c.valid_until > now)


class PostgresServices:
    """Implements ``ports.ServiceStore``."""

    def __init__(self, connection: Connection) -> None:
        """Work on ``connection``."""
        self._connection = connection

    def add(self, service_id: UUID, name: str, secret_hash: bytes, expires_at: datetime, now: datetime) -> None:
        """Store a service with its first secret; raises ``ValueError`` when the name is taken."""
        added = self._connection.execute(
            postgresql.insert(services)
            .values(id=service_id, name=name, created_at=now)
            .on_conflict_do_nothing(index_elements=[services.c.name])
            .returning(services.c.id)
        ).first()
        if added is None:
            raise ValueError("a service of this name exists")
        self._add_secret(service_id, secret_hash, expires_at, now)

    def add_secret(self, name: str, secret_hash: bytes, expires_at: datetime, now: datetime) -> Service | None:
        """Add a secret and end all but the newest before it: at most two are live. Null for an unknown name."""
        row = self._connection.execute(
            # Two additions at once take turns, or four secrets could be live.
            select(services.c.id, services.c.name).where(services.c.name == name).with_for_update()
        ).first()
        if row is None:
            return None
        live = (service_secrets.c.service_id == row.id, service_secrets.c.expires_at > now)
        newest = select(service_secrets.c.secret_hash).where(*live).order_by(service_secrets.c.created_at.desc())
        self._connection.execute(
            update(service_secrets)
            .where(*live, service_secrets.c.secret_hash.not_in(newest.limit(1).scalar_subquery()))
            .values(expires_at=now)
        )
        self._add_secret(row.id, secret_hash, expires_at, now)
        return Service(row.id, row.name)

    def by_secret(self, name: str, secret_hash: bytes, now: datetime) -> Service | None:
        """Return the enabled service with this name and a live secret of this hash; null otherwise."""
        return self._one(
            services.c.id == service_secrets.c.service_id,
            services.c.name == name,
            service_secrets.c.secret_hash == secret_hash,
            service_secrets.c.expires_at > now,
        )

    def by_token(self, token_hash: bytes, now: datetime) -> Service | None:
        """Return the enabled service a live short-lived token belongs to; null otherwise."""
        return self._one(
            services.c.id == service_tokens.c.service_id,
            service_tokens.c.token_hash == token_hash,
            service_tokens.c.expires_at > now,
        )

    def add_token(self, token_hash: bytes, service_id: UUID, expires_at: datetime) -> None:
        """Store a short-lived token by its hash; the service's long dead ones go at this occasion."""
        self._connection.execute(
            delete(service_tokens).where(
                service_tokens.c.service_id == service_id,
                service_tokens.c.expires_at < func.clock_timestamp() - KEPT_AFTER_END,
            )
        )
        self._connection.execute(
            insert(service_tokens).values(token_hash=token_hash, service_id=service_id, expires_at=expires_at)
        )

    def allow(
        self, policy_id: UUID, service_id: UUID, provider: str | None, features: Sequence[Feature], now: datetime
    ) -> None:
        """Add a policy: which features of which provider (null: any) a service may use, without end."""
        self._connection.execute(
            insert(policies).values(
                id=policy_id, service_id=service_id, provider=provider, features=list(features), created_at=now
            )
        )

    def allowed_features(self, service_id: UUID, provider: str, now: datetime) -> frozenset[Feature]:
        """Return what policy lets the service use at the provider; empty means default deny."""
        rows = self._connection.execute(
            select(policies.c.features).where(
                policies.c.service_id == service_id,
                or_(policies.c.provider.is_(None), policies.c.provider == provider),
                in_force(now),
            )
        )
        return frozenset(Feature(word) for row in rows for word in row.features)

    def _add_secret(self, service_id: UUID, secret_hash: bytes, expires_at: datetime, now: datetime) -> None:
        self._connection.execute(
            insert(service_secrets).values(
                service_id=service_id, secret_hash=secret_hash, created_at=now, expires_at=expires_at
            )
        )

    def _one(self, *conditions: ColumnElement[bool]) -> Service | None:
        row = self._connection.execute(
            select(services.c.id, services.c.name).where(services.c.is_enabled, *conditions)
        ).first()
        return None if row is None else Service(row.id, row.name)
