"""What services prove themselves with: secrets by hash, public keys, workload patterns, statements already used."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql

from app.domain.people import Service
from app.domain.workloads import SubjectPattern
from app.ports.credentials import JWK, ServiceKeys, ServiceOverview, Workload
from app.store.schema import (
    revoked_tokens,
    service_keys,
    service_secrets,
    service_workloads,
    services,
    spent_statements,
)
from app.store.service_overview import service_overview

REMEMBERED_BEYOND = timedelta(minutes=10)
"""Above any difference between our clocks and the database's."""

_SERVICE = (services.c.id, services.c.name, services.c.is_enabled)


class PostgresCredentials:
    """Implements ``ports.CredentialStore``."""

    def __init__(self, connection: Connection) -> None:
        """Work on ``connection``."""
        self._connection = connection

    def add_secret(self, service_id: UUID, secret_hash: bytes, expires_at: datetime, now: datetime) -> None:
        """Add a secret and end all but the newest before it: at most two are live."""
        # Two additions at once take turns, or four secrets could be live.
        self._connection.execute(select(services.c.id).where(services.c.id == service_id).with_for_update())
        live = (service_secrets.c.service_id == service_id, service_secrets.c.expires_at > now)
        newest = select(service_secrets.c.secret_hash).where(*live).order_by(service_secrets.c.created_at.desc())
        self._connection.execute(
            update(service_secrets)
            .where(*live, service_secrets.c.secret_hash.not_in(newest.limit(1).scalar_subquery()))
            .values(expires_at=now)
        )
        self._connection.execute(
            insert(service_secrets).values(
                service_id=service_id, secret_hash=secret_hash, created_at=now, expires_at=expires_at
            )
        )

    def end_secrets(self, service_id: UUID, now: datetime) -> None:
        """End every secret of a service."""
        live = (service_secrets.c.service_id == service_id, service_secrets.c.expires_at > now)
        self._connection.execute(update(service_secrets).where(*live).values(expires_at=now))

    def by_secret(self, name: str, secret_hash: bytes, now: datetime) -> Service | None:
        """Return the service with this name and a live secret of this hash, frozen or not; null otherwise."""
        row = self._connection.execute(
            select(*_SERVICE).where(
                services.c.id == service_secrets.c.service_id,
                services.c.name == name,
                service_secrets.c.secret_hash == secret_hash,
                service_secrets.c.expires_at > now,
            )
        ).first()
        return None if row is None else Service(row.id, row.name, row.is_enabled)

    def keys_of(self, name: str, now: datetime) -> ServiceKeys | None:
        """Return the live keys of the service of this name, frozen or not, in one statement; null when unknown."""
        is_live = or_(service_keys.c.expires_at.is_(None), service_keys.c.expires_at > now)
        rows = self._connection.execute(
            select(*_SERVICE, services.c.jwks_url, service_keys.c.jwk)
            .outerjoin(service_keys, (service_keys.c.service_id == services.c.id) & is_live)
            .where(services.c.name == name)
        ).all()
        if not rows:
            return None
        service = Service(rows[0].id, rows[0].name, rows[0].is_enabled)
        return ServiceKeys(service, rows[0].jwks_url, tuple(row.jwk for row in rows if row.jwk is not None))

    def add_key(self, service_id: UUID, kid: str, jwk: JWK, expires_at: datetime | None, now: datetime) -> None:
        """Register a public key; raises ``ValueError`` when the service has one of this ``kid``."""
        added = self._connection.execute(
            postgresql.insert(service_keys)
            .values(service_id=service_id, kid=kid, jwk=dict(jwk), created_at=now, expires_at=expires_at)
            .on_conflict_do_nothing()
            .returning(service_keys.c.kid)
        ).first()
        if added is None:
            raise ValueError("the service has a key of this kid")

    def remove_key(self, service_id: UUID, kid: str) -> bool:
        """Forget a public key; returns whether there was one."""
        gone = delete(service_keys).where(service_keys.c.service_id == service_id, service_keys.c.kid == kid)
        return self._connection.execute(gone).rowcount > 0

    def count_keys(self, service_id: UUID) -> int:
        """Return how many keys a service has, ended ones included."""
        counted = select(func.count()).select_from(service_keys).where(service_keys.c.service_id == service_id)
        return self._connection.execute(counted).scalar_one()

    def set_jwks_url(self, service_id: UUID, url: str | None) -> None:
        """Store where a service publishes its keys; null for nowhere."""
        self._connection.execute(update(services).where(services.c.id == service_id).values(jwks_url=url))

    def workloads_of(self, issuer_key: str) -> tuple[Workload, ...]:
        """Return what an issuer's tokens may stand for."""
        rows = self._connection.execute(
            select(*_SERVICE, service_workloads.c.subject_pattern).where(
                service_workloads.c.issuer_key == issuer_key, services.c.id == service_workloads.c.service_id
            )
        )
        return tuple(
            Workload(Service(row.id, row.name, row.is_enabled), SubjectPattern(row.subject_pattern)) for row in rows
        )

    def add_workload(self, service_id: UUID, issuer_key: str, pattern: str, now: datetime) -> bool:
        """Store a pattern; returns whether it is new."""
        added = self._connection.execute(
            postgresql.insert(service_workloads)
            .values(service_id=service_id, issuer_key=issuer_key, subject_pattern=pattern, created_at=now)
            .on_conflict_do_nothing()
            .returning(service_workloads.c.service_id)
        ).first()
        return added is not None

    def remove_workload(self, service_id: UUID, issuer_key: str, pattern: str) -> bool:
        """Forget a pattern; returns whether there was one."""
        gone = delete(service_workloads).where(
            service_workloads.c.service_id == service_id,
            service_workloads.c.issuer_key == issuer_key,
            service_workloads.c.subject_pattern == pattern,
        )
        return self._connection.execute(gone).rowcount > 0

    def spend(self, service_id: UUID, jti_hash: bytes, expires_at: datetime) -> bool:
        """Note that a statement was used; returns false when it had been used before: the insert decides."""
        noted = self._connection.execute(
            postgresql.insert(spent_statements)
            .values(service_id=service_id, jti_hash=jti_hash, expires_at=expires_at)
            .on_conflict_do_nothing()
            .returning(spent_statements.c.service_id)
        ).first()
        return noted is not None

    def forget_spent(self, limit: int) -> int:
        """Delete up to ``limit`` notes whose statements ended a while ago; returns how many went."""
        ended = (
            select(spent_statements.c.service_id, spent_statements.c.jti_hash)
            .where(spent_statements.c.expires_at < func.clock_timestamp() - REMEMBERED_BEYOND)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("ended")
        )
        gone = delete(spent_statements).where(
            spent_statements.c.service_id == ended.c.service_id, spent_statements.c.jti_hash == ended.c.jti_hash
        )
        return self._connection.execute(gone).rowcount

    def holder_of(self, service_id: UUID, jti: UUID) -> Service | None:
        """Return the service that holds a token of ours, frozen or not; null when unknown or the token was revoked."""
        was_revoked = select(revoked_tokens.c.jti).where(revoked_tokens.c.jti == jti).exists()
        row = self._connection.execute(select(*_SERVICE).where(services.c.id == service_id, ~was_revoked)).first()
        return None if row is None else Service(row.id, row.name, row.is_enabled)

    def revoke_token(self, service_id: UUID, jti: UUID, expires_at: datetime) -> bool:
        """End a token of ours before ``expires_at``; returns false when it had been revoked before."""
        noted = self._connection.execute(
            postgresql.insert(revoked_tokens)
            .values(jti=jti, service_id=service_id, expires_at=expires_at)
            .on_conflict_do_nothing()
            .returning(revoked_tokens.c.jti)
        ).first()
        return noted is not None

    def forget_revoked(self, limit: int) -> int:
        """Delete up to ``limit`` notes whose tokens ended a while ago; returns how many went."""
        ended = (
            select(revoked_tokens.c.jti)
            .where(revoked_tokens.c.expires_at < func.clock_timestamp() - REMEMBERED_BEYOND)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("ended")
        )
        return self._connection.execute(delete(revoked_tokens).where(revoked_tokens.c.jti == ended.c.jti)).rowcount

    def overview(self, now: datetime) -> tuple[ServiceOverview, ...]:
        """Return all services by name with what they can prove themselves with."""
        return service_overview(self._connection, now)
