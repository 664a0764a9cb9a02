"""Connections and their data keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, delete, exists, insert, select, text, update
from sqlalchemy import Connection as Database
from sqlalchemy.dialects import postgresql

from app.domain.connections import Connection, Identity, Reason, Status
from app.domain.errors import StoreConflict
from app.domain.features import Feature
from app.store.claims import claim, is_past, select_due
from app.store.connection_rows import CONNECTION_COLUMNS, read_connection
from app.store.policies import blocked_by_owner, concerns_connection
from app.store.schema import (
    authorization_requests,
    calendars,
    connections,
    data_keys,
    policies,
    refresh_attempts,
    staged_items,
    staged_occurrences,
    sync_states,
    token_generations,
)

_C = connections.c
_CONNECTED = _C.status != Status.DISCONNECTED
_WAIT_FOR_ROUNDS = text("SELECT set_config('lock_timeout', '60s', true), set_config('statement_timeout', '60s', true)")
_FRESH_START = {
    "next_attempt_at": None,
    "suspected_since": None,
    "failures": 0,
    "lease_owner": None,
    "lease_until": None,
    "refresh_claimed_until": None,
}


class PostgresConnections:
    """Implements ``ports.ConnectionStore``."""

    def __init__(self, connection: Database) -> None:
        """Work on ``connection``."""
        self._connection = connection

    def get(self, connection_id: UUID) -> Connection | None:
        """Return one connection, disconnected ones included; null when unknown."""
        return next(iter(self._read(_C.id == connection_id)), None)

    def of_person(self, person_id: UUID) -> tuple[Connection, ...]:
        """Return a person's connections that are not disconnected, oldest first."""
        return self._read(_C.person_id == person_id, _CONNECTED)

    def of_account(self, person_id: UUID, provider: str, identity: Identity) -> Connection | None:
        """Return the person's connection to exactly this account, disconnected ones included."""
        found = self._read(
            _C.person_id == person_id,
            _C.provider == provider,
            _C.issuer == identity.issuer,
            _C.subject == identity.subject,
        )
        return next(iter(found), None)

    def visible_to(self, service_id: UUID, provider: str | None, now: datetime) -> tuple[Connection, ...]:
        """Return the connections a service has a policy for, neither disconnected nor kept from it by their owner."""
        policy = exists().where(policies.c.service_id == service_id, concerns_connection(now))
        only = () if provider is None else (_C.provider == provider,)
        return self._read(policy, ~blocked_by_owner(service_id, now), _CONNECTED, _C.completion_due_at.is_(None), *only)

    def add(  # noqa: PLR0913, PLR0917 - one argument per fact about a new row, as the port has it
        self,
        connection_id: UUID,
        person_id: UUID,
        provider: str,
        kind: str,
        identity: Identity,
        features: Sequence[Feature],
        wrapped_key: bytes,
        now: datetime,
    ) -> None:
        """Store a new connection with its data key; raises ``StoreConflict`` when the person has this account."""
        added = self._connection.execute(
            postgresql.insert(connections)
            .values(
                id=connection_id,
                person_id=person_id,
                provider=provider,
                kind=kind,
                issuer=identity.issuer,
                subject=identity.subject,
                created_at=now,
                **_state_after_consent(identity, features, now),
            )
            .on_conflict_do_nothing(index_elements=[_C.person_id, _C.provider, _C.issuer, _C.subject])
            .returning(_C.id)
        ).first()
        if added is None:
            raise StoreConflict("connection")
        self._connection.execute(
            insert(data_keys).values(connection_id=connection_id, wrapped_key=wrapped_key, created_at=now)
        )

    def revive(
        self,
        connection_id: UUID,
        identity: Identity,
        features: Sequence[Feature],
        wrapped_key: bytes | None,
        now: datetime,
    ) -> None:
        """Make a connection active again after a consent; ``wrapped_key`` takes the place of a shredded data key."""
        self._connection.execute(
            update(connections)
            .where(_C.id == connection_id)
            .values(
                **_state_after_consent(identity, features, now)
                # A consent for one more feature does not begin a new life.
                | {"status_since": case((_C.status == Status.ACTIVE, _C.status_since), else_=now)}
                | _FRESH_START
            )
        )
        if wrapped_key is not None:
            # A key that is there has sealed something: it must stay.
            self._connection.execute(
                postgresql.insert(data_keys)
                .values(connection_id=connection_id, wrapped_key=wrapped_key, created_at=now)
                .on_conflict_do_nothing()
            )

    def mark_needs_reconnect(self, connection_id: UUID, generation: int, reason: Reason, now: datetime) -> bool:
        """End an active connection's good state if ``generation`` is still current; returns whether this did it."""
        return bool(
            self._connection.execute(
                update(connections)
                .where(_C.id == connection_id, _C.generation == generation, _C.status == Status.ACTIVE)
                .values(status=Status.NEEDS_RECONNECT, reason=reason, status_since=now)
            ).rowcount
        )

    def pause(self, connection_id: UUID, until: datetime | None) -> None:
        """Let nothing be handed out before ``until``; null ends a pause."""
        self._connection.execute(update(connections).where(_C.id == connection_id).values(paused_until=until))

    def due_calendar_list(self, connection_id: UUID, at: datetime) -> None:
        """Make reading the whole calendar list due, and free it from an old claim."""
        self._connection.execute(
            update(connections)
            .where(_C.id == connection_id, _CONNECTED)
            .values(calendar_list_due_at=at, calendar_list_cursor=None, calendar_list_claimed_until=None)
        )

    def take_calendar_list(self, connection_id: UUID, now: datetime, hold_until: datetime) -> bool:
        """Return whether the calendar list was due, and put it off: of many takers one is told so."""
        return bool(
            self._connection.execute(
                update(connections)
                .where(_C.id == connection_id, _C.status == Status.ACTIVE, _C.calendar_list_due_at <= now)
                .values(calendar_list_due_at=hold_until)
            ).rowcount
        )

    def claim_calendar_lists(self, now: datetime, hold_until: datetime, limit: int) -> tuple[UUID, ...]:
        """Claim active connections whose calendar list is due; nobody else gets them before ``hold_until``."""
        due = select_due(_C.id, _C.calendar_list_due_at, limit).where(
            _C.status == Status.ACTIVE, _C.calendar_list_due_at <= now, is_past(_C.calendar_list_claimed_until, now)
        )
        return tuple(claim(self._connection, due, _C.id, _C.calendar_list_claimed_until, hold_until))

    def calendars_listed(self, connection_id: UUID, now: datetime, next_at: datetime) -> None:
        """Note a read calendar list and when the next is due."""
        self._connection.execute(
            update(connections)
            .where(_C.id == connection_id, _CONNECTED)
            .values(calendars_listed_at=now, calendar_list_due_at=next_at, calendar_list_claimed_until=None)
        )

    def disconnect(self, connection_id: UUID, now: datetime) -> None:
        """Delete tokens, data key, calendars, events and channels of a connection; the row stays as a receipt.

        The raised epoch fences a refresh that is in flight: its answer finds no key and is not stored.
        """
        self._connection.execute(
            update(connections)
            .where(_C.id == connection_id, _CONNECTED)
            .values(
                status=Status.DISCONNECTED,
                reason=None,
                status_since=now,
                granted_scopes=[],
                generation=0,
                epoch=_C.epoch + 1,
                access_expires_at=None,
                refresh_due_at=None,
                calendars_listed_at=None,
                calendar_list_due_at=None,
                calendar_list_cursor=None,
                calendar_list_claimed_until=None,
                completion_due_at=None,
                **_FRESH_START,
            )
        )
        own = self._connection.scalars(select(calendars.c.id).where(calendars.c.connection_id == connection_id)).all()
        # A round that is being written holds its sync state, and wants its calendar at the end: the same order here. It
        # may take a while, and what is to be deleted here is revoked already.
        self._connection.execute(_WAIT_FOR_ROUNDS)
        self._connection.execute(delete(sync_states).where(sync_states.c.calendar_id.in_(own)))
        for table in (data_keys, token_generations, refresh_attempts, authorization_requests, calendars):
            self._connection.execute(delete(table).where(table.c.connection_id == connection_id))
        # A page that is being staged holds its sync state, too: what comes later finds none, and is not kept.
        for staged in (staged_items, staged_occurrences):
            self._connection.execute(delete(staged).where(staged.c.calendar_id.in_(own)))

    def _read(self, *conditions: ColumnElement[bool]) -> tuple[Connection, ...]:
        rows = self._connection.execute(
            select(*CONNECTION_COLUMNS).where(and_(*conditions)).order_by(_C.created_at, _C.id)
        )
        return tuple(read_connection(row) for row in rows)


def _state_after_consent(identity: Identity, features: Sequence[Feature], now: datetime) -> dict[str, object]:
    return {
        "status": Status.ACTIVE,
        "reason": None,
        "status_since": now,
        "tenant": identity.tenant,
        "email": identity.email,
        "display_name": identity.name,
        "requested_features": list(features),
        "completion_due_at": None,
    }
