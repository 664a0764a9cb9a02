"""Connect links, the addresses they may lead back to, and the connections that wait for their host."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, Select, and_, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql

from app.domain.connect_links import ANSWER_WITHIN, Completion, ConnectLink, LinkState
from app.domain.connections import Status
from app.domain.features import Feature
from app.domain.people import Service
from app.store.claims import claim, select_due
from app.store.schema import connect_links, connections, service_return_uris, services, sign_in_identities

_L = connect_links.c
_C = connections.c
_NAMED = and_(sign_in_identities.c.issuer == _L.for_issuer, sign_in_identities.c.subject == _L.for_subject)
_PROGRESS = ("state", "reason", "email_hint", "browser_hash", "taken_by", "used_at", "connection_id", "complete_by")
"""What of a link changes after it was made."""


class PostgresConnectLinks:
    """Implements ``ports.ConnectLinkStore``."""

    def __init__(self, connection: Connection) -> None:
        """Work on ``connection``."""
        self._connection = connection

    def add(self, link: ConnectLink) -> None:
        """Store a new link."""
        values = asdict(link)
        del values["service_name"]
        self._connection.execute(insert(connect_links).values(values))

    def by_secret(self, secret_hash: bytes) -> ConnectLink | None:
        """Return the link of an address; null when unknown, or when its service is frozen."""
        return self._one(_select().where(services.c.is_enabled, _L.secret_hash == secret_hash))

    def get(self, link_id: UUID) -> ConnectLink | None:
        """Return one link; null when unknown, or when its service is frozen."""
        return self._one(_select().where(services.c.is_enabled, _L.id == link_id))

    def lock(self, link_id: UUID) -> ConnectLink | None:
        """Return one link that nobody else changes until this transaction ends; null when unknown or frozen."""
        query = _select().where(services.c.is_enabled, _L.id == link_id)
        return self._one(query.with_for_update(of=connect_links))

    def put(self, link: ConnectLink) -> None:
        """Store how far a link has come."""
        values = asdict(link)
        self._connection.execute(
            update(connect_links).where(_L.id == link.id).values({name: values[name] for name in _PROGRESS})
        )

    def made_since(self, service_id: UUID, since: datetime) -> int:
        """Count a service's links made after ``since``; two makers of one service take turns from here on."""
        # Weak enough to let rows that refer to the service be added meanwhile.
        turn = select(services.c.id).where(services.c.id == service_id).with_for_update(key_share=True)
        self._connection.execute(turn)
        counted = select(func.count()).where(_L.service_id == service_id, _L.created_at > since)
        return self._connection.execute(counted).scalar_one()

    def claim_late(self, now: datetime, limit: int) -> tuple[ConnectLink, ...]:
        """Lock links whose time is over in a state that time ends; rows somebody else has locked are left out."""
        unanswered = or_(_L.used_at.is_(None), _L.expires_at <= now - ANSWER_WITHIN)
        late = or_(
            and_(_L.state.in_((LinkState.OPEN, LinkState.STARTED)), _L.expires_at <= now, unanswered),
            and_(_L.state == LinkState.AWAITING_COMPLETION, _L.complete_by <= now),
        )
        due = _select().where(late).order_by(_L.expires_at).limit(limit)
        rows = self._connection.execute(due.with_for_update(of=connect_links, skip_locked=True))
        return tuple(_link(row) for row in rows.mappings())

    def forget(self, before: datetime, limit: int) -> None:
        """Delete links that expired before a moment."""
        old = select(_L.id).where(_L.expires_at < before).limit(limit).with_for_update(skip_locked=True)
        self._connection.execute(delete(connect_links).where(_L.id.in_(old)))

    def allow_return(self, service_name: str, uri: str, now: datetime) -> Service | None:
        """Let people be sent back to exactly ``uri``; doing so twice is no error. Null for an unknown service."""
        row = self._connection.execute(
            select(services.c.id, services.c.name).where(services.c.name == service_name)
        ).first()
        if row is None:
            return None
        self._connection.execute(
            postgresql.insert(service_return_uris)
            .values(service_id=row.id, uri=uri, created_at=now)
            .on_conflict_do_nothing()
        )
        return Service(row.id, row.name)

    def may_return(self, service_id: UUID, uri: str) -> bool:
        """Return whether an operator has allowed exactly ``uri`` for the service."""
        found = select(service_return_uris.c.uri).where(
            service_return_uris.c.service_id == service_id, service_return_uris.c.uri == uri
        )
        return self._connection.execute(found).first() is not None

    def await_completion(self, connection_id: UUID, due_at: datetime) -> None:
        """Let a connection wait for its host until ``due_at``; its calendars are not read meanwhile."""
        self._connection.execute(
            update(connections)
            .where(_C.id == connection_id)
            .values(completion_due_at=due_at, calendar_list_due_at=None, calendar_list_claimed_until=None)
        )

    def confirm(self, connection_id: UUID, now: datetime) -> bool:
        """End a connection's wait and make its calendar list due; returns whether it was waiting."""
        return bool(
            self._connection.execute(
                update(connections)
                .where(_C.id == connection_id, _C.completion_due_at.is_not(None))
                .values(completion_due_at=None, calendar_list_due_at=now)
            ).rowcount
        )

    def claim_unconfirmed(self, now: datetime, hold_until: datetime, limit: int) -> tuple[UUID, ...]:
        """Claim connections whose host did not confirm them; nobody else gets them before ``hold_until``."""
        due = select_due(_C.id, _C.completion_due_at, limit).where(
            _C.completion_due_at <= now, _C.status != Status.DISCONNECTED
        )
        return tuple(claim(self._connection, due, _C.id, _C.completion_due_at, hold_until))

    def _one(self, query: Select[Any]) -> ConnectLink | None:
        row = self._connection.execute(query).mappings().first()
        return None if row is None else _link(row)


def _select() -> Select[Any]:
    """Select links with their service's name, and with the person an issuer and subject have become meanwhile."""
    named = func.coalesce(_L.for_person_id, sign_in_identities.c.person_id).label("for_person_id")
    others = [column for column in _L if column.name != "for_person_id"]
    return (
        select(*others, named, services.c.name.label("service_name"))
        .join(services, services.c.id == _L.service_id)
        .outerjoin(sign_in_identities, _NAMED)
    )


def _link(row: RowMapping) -> ConnectLink:
    fields = dict(row)
    fields["features"] = tuple(Feature(word) for word in row["features"])
    fields["completion"] = Completion(row["completion"])
    fields["state"] = LinkState(row["state"])
    return ConnectLink(**fields)
