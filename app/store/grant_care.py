"""Grants that are idle, dead, or of an application in test mode: statements over many connections."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, or_, select, update

from app.domain.connections import Reason, Status
from app.domain.grant_care import (
    REST,
    RESTING_KINDS,
    TEST_MODE_DEATHS,
    TEST_MODE_LATENESS,
    TEST_MODE_LIFE,
    TEST_MODE_TOLERANCE,
    DeadGrant,
    IdleGrant,
)
from app.store.schema import audit_log, calendars, connections, data_keys, refresh_attempts, token_generations

_C = connections.c
_L = audit_log.c
_current = token_generations.alias("current")
_granted = token_generations.alias("granted")
_USED_AT = func.coalesce(_C.last_used_at, _C.created_at)
_RELEASED = "hand_out.released"

_is_awake = _C.refresh_due_at < _C.last_refreshed_at + REST
_has_tokens = exists().where(token_generations.c.connection_id == _C.id)
_last_hand_out = (
    select(_L.at)
    .where(_L.connection_id == _C.id, _L.kind == _RELEASED)
    .order_by(_L.seq.desc())
    .limit(1)
    .scalar_subquery()
)
_life = _granted.c.refresh_expires_at - _granted.c.issued_at
_ends_in_a_week = _life.between(TEST_MODE_LIFE - TEST_MODE_TOLERANCE, TEST_MODE_LIFE + TEST_MODE_TOLERANCE)
_CONSENTS = connections.join(
    _current, and_(_current.c.connection_id == _C.id, _current.c.generation == _C.generation)
).join(_granted, and_(_granted.c.connection_id == _C.id, _granted.c.generation == _current.c.refresh_generation))
"""Google does not rotate, so the refresh token in use was stored by the consent, which is never pruned."""


class PostgresGrantCare:
    """Implements ``ports.GrantCareStore``."""

    def __init__(self, connection: Connection) -> None:
        """Work on ``connection``."""
        self._connection = connection

    def note_use(self, unused_since: datetime, limit: int) -> int:
        """Look up in the audit log when connections that seem unused were last used; returns how many were found."""
        used = (
            select(_C.id, _last_hand_out.label("at"))
            .where(_seems_unused(unused_since), _is_awake, _last_hand_out >= unused_since)
            .limit(limit)
            .subquery()
        )
        return self._connection.execute(
            update(connections).where(_C.id == used.c.id).values(last_used_at=func.date_trunc("hour", used.c.at))
        ).rowcount

    def rest(self, unused_since: datetime, limit: int) -> int:
        """Put off the next refresh of connections unused since then; returns how many."""
        chosen = (
            select(_C.id)
            .where(_is_unused(unused_since), _is_awake, _C.kind.in_(RESTING_KINDS), _C.suspected_since.is_(None))
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("chosen")
        )
        return self._connection.execute(
            update(connections).where(_C.id == chosen.c.id).values(refresh_due_at=_C.last_refreshed_at + REST)
        ).rowcount

    def idle(self, unused_since: datetime, limit: int) -> tuple[IdleGrant, ...]:
        """Return connections nobody used since then: no hand-out, and no calendar that is kept up to date."""
        rows = self._connection.execute(
            select(_C.id, _C.person_id, _C.provider, _USED_AT.label("used_at"))
            .where(_is_unused(unused_since))
            .order_by(_USED_AT)
            .limit(limit)
        )
        return tuple(IdleGrant(row.id, row.person_id, row.provider, row.used_at) for row in rows)

    def dead(self, dead_since: datetime, limit: int) -> tuple[DeadGrant, ...]:
        """Return connections that have needed their person since then or longer and still have tokens."""
        rows = self._connection.execute(
            select(_C.id, _C.provider, _C.reason, _C.status_since)
            .where(_is_dead(dead_since), _has_tokens)
            .order_by(_C.status_since)
            .limit(limit)
        )
        return tuple(DeadGrant(row.id, row.provider, row.reason, row.status_since) for row in rows)

    def bury(self, connection_id: UUID, dead_since: datetime, wrapped_key: bytes) -> bool:
        """Delete the tokens of a dead connection and put a fresh data key in place of the one that opens them."""
        is_ours = self._connection.execute(
            select(_C.id).where(_C.id == connection_id, _is_dead(dead_since), _has_tokens).with_for_update()
        ).first()
        if is_ours is None:
            return False
        for table in (token_generations, refresh_attempts):
            self._connection.execute(delete(table).where(table.c.connection_id == connection_id))
        self._connection.execute(
            update(data_keys)
            .where(data_keys.c.connection_id == connection_id)
            .values(wrapped_key=wrapped_key, created_at=func.clock_timestamp())
        )
        return True

    def explain_test_mode(self) -> tuple[UUID, ...]:
        """Tell Google grants that ended with test mode from other refusals; returns those whose reason changed."""
        died = select(_C.id, _C.provider).select_from(_CONSENTS).where(_is_refused())
        told = died.where(_ends_in_a_week, _C.status_since >= _granted.c.refresh_expires_at - TEST_MODE_LATENESS)
        timely = self._timely_deaths()
        found = {row.id for row in self._connection.execute(told)} | timely
        changed = self._connection.execute(
            update(connections)
            .where(_C.id.in_(found), _C.status == Status.NEEDS_RECONNECT)
            .values(reason=Reason.TEST_MODE_EXPIRED)
            .returning(_C.id)
        )
        return tuple(changed.scalars())

    def in_test_mode(self) -> tuple[tuple[str, int], ...]:
        """Return provider keys with the number of living grants that will end seven days after consent."""
        rows = self._connection.execute(
            select(_C.provider, func.count().label("grants"))
            .select_from(_CONSENTS)
            .where(_C.status == Status.ACTIVE, _C.kind == "google", _ends_in_a_week)
            .group_by(_C.provider)
            .order_by(_C.provider)
        )
        return tuple((row.provider, row.grants) for row in rows)

    def _timely_deaths(self) -> set[UUID]:
        """Return grants that died at seven days at providers where that happened often and no grant got older."""
        age = _C.status_since - _granted.c.issued_at
        dead = (
            select(_C.id, _C.provider)
            .select_from(_CONSENTS)
            .where(
                _is_refused(),
                _granted.c.refresh_expires_at.is_(None),
                age.between(TEST_MODE_LIFE - TEST_MODE_LATENESS, TEST_MODE_LIFE + TEST_MODE_LATENESS),
            )
        )
        by_provider: dict[str, set[UUID]] = {}
        for row in self._connection.execute(dead):
            by_provider.setdefault(row.provider, set()).add(row.id)
        many = {key: ids for key, ids in by_provider.items() if len(ids) >= TEST_MODE_DEATHS}
        return {one for key, ids in many.items() if not self._has_older(key) for one in ids}

    def _has_older(self, provider: str) -> bool:
        older = select(_C.id).select_from(_CONSENTS).where(
            _C.provider == provider,
            _C.status == Status.ACTIVE,
            _granted.c.issued_at < func.clock_timestamp() - TEST_MODE_LIFE - TEST_MODE_TOLERANCE,
        )  # fmt: skip
        return self._connection.execute(older.limit(1)).first() is not None


def _seems_unused(unused_since: datetime) -> ColumnElement[bool]:
    kept_up_to_date = exists().where(calendars.c.connection_id == _C.id)
    return and_(_C.status == Status.ACTIVE, unused_since > _USED_AT, ~kept_up_to_date)


def _is_unused(unused_since: datetime) -> ColumnElement[bool]:
    """Return the condition that the audit log, too, knows of no hand-out since then."""
    return and_(_seems_unused(unused_since), func.coalesce(_last_hand_out, _USED_AT) < unused_since)


def _is_dead(dead_since: datetime) -> ColumnElement[bool]:
    return and_(_C.status == Status.NEEDS_RECONNECT, _C.status_since <= dead_since)


def _is_refused() -> ColumnElement[bool]:
    reasons = or_(_C.reason == Reason.GRANT_REJECTED, _C.reason == Reason.EXPIRED_INACTIVE)
    return and_(_C.kind == "google", _C.status == Status.NEEDS_RECONNECT, reasons)
