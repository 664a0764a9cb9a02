"""Pending authorization requests: stored once, taken once."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from app.domain.authorizations import AuthorizationRequest, Purpose
from app.domain.errors import ConsentAlreadyUsed
from app.domain.features import Feature
from app.store.schema import authorization_requests as requests

PER_BROWSER = 10
"""So many consents may wait in one browser; a page that is opened again and again must not fill the table."""

KEPT_AFTER_END = timedelta(days=1)
"""How long a finished or forgotten request can still be told from one that never was."""

_COLUMNS = [column for column in requests.c if column.name != "used_at"]


class PostgresAuthorizations:
    """Implements ``ports.AuthorizationStore``."""

    def __init__(self, connection: Connection) -> None:
        """Work on ``connection``."""
        self._connection = connection

    def add(self, request: AuthorizationRequest) -> None:
        """Store a request; the oldest of the same browser go when it has more than ten, and stale ones of all."""
        # Rows somebody else is deleting right now are left to them.
        stale = (
            select(requests.c.id)
            .where(requests.c.expires_at < request.created_at - KEPT_AFTER_END)
            .limit(100)
            .with_for_update(skip_locked=True)
        )
        self._connection.execute(delete(requests).where(requests.c.id.in_(stale)))
        self._connection.execute(insert(requests).values(asdict(request)))
        surplus = (
            select(requests.c.id)
            .where(requests.c.browser_hash == request.browser_hash, requests.c.id != request.id)
            .order_by(requests.c.created_at.desc())
            .offset(PER_BROWSER - 1)
        )
        self._connection.execute(delete(requests).where(requests.c.id.in_(surplus)))

    def take(self, state_hash: bytes, now: datetime) -> AuthorizationRequest | None:
        """Return the request and mark it used, once and for all; null when unknown.

        Raises ``ConsentAlreadyUsed`` for the second taker; two at once are told apart by the row itself.
        """
        row = (
            self._connection.execute(
                update(requests)
                .where(requests.c.state_hash == state_hash, requests.c.used_at.is_(None))
                .values(used_at=now)
                .returning(*_COLUMNS)
            )
            .mappings()
            .first()
        )
        if row is not None:
            return _request(row)
        used = self._connection.execute(select(requests.c.id).where(requests.c.state_hash == state_hash)).first()
        if used is not None:
            raise ConsentAlreadyUsed
        return None

    def peek(self, state_hash: bytes) -> AuthorizationRequest | None:
        """Return the request without using it up; null when unknown or used."""
        row = (
            self._connection.execute(
                select(*_COLUMNS).where(requests.c.state_hash == state_hash, requests.c.used_at.is_(None))
            )
            .mappings()
            .first()
        )
        return None if row is None else _request(row)


def _request(row: RowMapping) -> AuthorizationRequest:
    fields = dict(row)
    fields["purpose"] = Purpose(row["purpose"])
    fields["features"] = tuple(Feature(word) for word in row["features"])
    fields["scopes"] = tuple(row["scopes"])
    return AuthorizationRequest(**fields)
