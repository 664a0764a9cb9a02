"""Token generations, refresh attempts and the refresh lease.

Every statement that decides starts at the connection's row, so all writers of one connection queue up there.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, and_, func, not_, or_, select, update

from app.domain.connections import Reason, Status
from app.domain.errors import UnknownConnection
from app.ports import Lease, NewGeneration, StoredTokens
from app.store.attempts import close_stored, open_attempt
from app.store.claims import claim, is_past, lease_end, select_due
from app.store.connection_rows import CONNECTION_COLUMNS, read_connection
from app.store.generations import PRUNED_EVERY, append_row, prune
from app.store.schema import connections, data_keys, token_generations
from app.store.storable import storable_text

_C = connections.c
_G = token_generations.c
_CONNECTED = _C.status != Status.DISCONNECTED
_NOW, _SERVER_STARTED = func.clock_timestamp(), func.pg_postmaster_start_time()

SETTLED_S = 30.0
"""How long after a start of the server a lease still counts that ended before it: its owner, who could tell nobody,
comes back with the answer in a second or two."""

_IS_FREE = or_(
    _C.lease_until.is_(None),
    and_(
        _C.lease_until <= _NOW,
        not_(and_(_C.lease_until < _SERVER_STARTED, lease_end(-SETTLED_S) < _SERVER_STARTED)),
    ),
)
"""That nobody holds the refresh lease, by the database's clock."""

_current = token_generations.alias("current")
_kept = token_generations.alias("kept")

_CURRENT = (
    select(
        *CONNECTION_COLUMNS,
        _C.next_attempt_at,
        _C.refresh_due_at,
        _C.suspected_since,
        _C.failures,
        _IS_FREE.label("lease_free"),
        data_keys.c.wrapped_key,
        _current.c.sealed_access,
        _kept.c.sealed_refresh,
        func.coalesce(_current.c.refresh_generation, _C.generation).label("refresh_generation"),
    )
    .join(data_keys, data_keys.c.connection_id == _C.id)
    .outerjoin(_current, (_current.c.connection_id == _C.id) & (_current.c.generation == _C.generation))
    .outerjoin(_kept, (_kept.c.connection_id == _C.id) & (_kept.c.generation == _current.c.refresh_generation))
)
"""Connection, data key, current generation, and the generation whose refresh token is in use: one query."""


class PostgresTokens:
    """Implements ``ports.TokenStore``."""

    def __init__(self, connection: Connection) -> None:
        """Work on ``connection``."""
        self._connection = connection

    def current(self, connection_id: UUID) -> StoredTokens | None:
        """Return the current generation; null when the connection is unknown or disconnected."""
        row = self._connection.execute(_CURRENT.where(_C.id == connection_id)).first()
        if row is None:
            return None
        return StoredTokens(
            connection=read_connection(row),
            wrapped_key=row.wrapped_key,
            sealed_access=row.sealed_access,
            sealed_refresh=row.sealed_refresh,
            refresh_generation=row.refresh_generation,
            lease_free=row.lease_free,
            next_attempt_at=row.next_attempt_at,
            refresh_due_at=row.refresh_due_at,
            suspected_since=row.suspected_since,
            failures=row.failures,
        )

    def reserve(self, connection_id: UUID) -> tuple[int, int, int]:
        """Return ``(generation, epoch, parent)`` for a token set that a consent brought; takes over any lease.

        Raises ``UnknownConnection``.
        """
        row = self._connection.execute(
            update(connections)
            .where(_C.id == connection_id, _CONNECTED)
            .values(epoch=_C.epoch + 1, last_generation=_C.last_generation + 1, lease_owner=None, lease_until=None)
            .returning(_C.last_generation, _C.epoch, _C.generation)
        ).first()
        if row is None:
            raise UnknownConnection
        return row.last_generation, row.epoch, row.generation

    def lease(
        self,
        connection_id: UUID,
        owner: str,
        attempt_id: UUID,
        lease_s: float,
        *,
        parent: int,
        held_until: datetime | None = None,
    ) -> Lease | None:
        """Take the refresh lease and write the attempt down, by the database clock.

        Null when somebody else holds it, or when the caller's knowledge is old: the current generation is not
        ``parent`` any more, or the next attempt is not held back until ``held_until`` but another time.
        """
        as_read = (_C.generation == parent, _C.next_attempt_at.is_not_distinct_from(held_until))
        taken = self._take(connection_id, owner, lease_s, _IS_FREE, *as_read)
        tokens = None if taken is None else self.current(connection_id)
        if taken is None or tokens is None:
            return None
        lease = Lease(attempt_id, connection_id, taken.epoch, taken.last_generation, parent, tokens)
        open_attempt(self._connection, lease, owner)
        return lease

    def lease_again(self, lease: Lease, attempt_id: UUID, lease_s: float, sibling: StoredTokens | None) -> Lease | None:
        """Begin a further attempt under a lease still held, with the tokens of ``sibling`` or the same ones.

        Null when the lease is not ours any more.
        """
        owner = self._connection.execute(select(_C.lease_owner).where(_C.id == lease.connection_id)).scalar()
        taken = self._take(lease.connection_id, owner, lease_s, _C.epoch == lease.epoch)
        if taken is None:
            return None
        parent = lease.parent if sibling is None else sibling.refresh_generation
        tokens = sibling or lease.tokens
        again = Lease(attempt_id, lease.connection_id, taken.epoch, taken.last_generation, parent, tokens)
        open_attempt(self._connection, again, owner)
        return again

    def sibling(self, lease: Lease) -> StoredTokens | None:
        """Return the newest refresh token beside the current one that was not refused yet; null without."""
        current = lease.tokens.connection.generation
        # Older ones are ancestors, and their refresh tokens were used long ago.
        parent = select(_current.c.parent).where(
            _current.c.connection_id == lease.connection_id, _current.c.generation == current
        )
        row = self._connection.execute(
            select(_G.generation, _G.sealed_refresh)
            .where(
                _G.connection_id == lease.connection_id,
                _G.generation > parent.scalar_subquery(),
                _G.generation != current,
                _G.sealed_refresh.is_not(None),
                _G.refused_at.is_(None),
            )
            .order_by(_G.generation.desc())
            .limit(1)
        ).first()
        if row is None:
            return None
        return replace(lease.tokens, sealed_refresh=row.sealed_refresh, refresh_generation=row.generation)

    def refuse(self, lease: Lease) -> None:
        """Remember that the provider refused the refresh token of this attempt, if it is a sibling's."""
        self._connection.execute(
            update(token_generations)
            .where(
                _G.connection_id == lease.connection_id,
                _G.generation == lease.tokens.refresh_generation,
                _G.generation != lease.tokens.connection.generation,
            )
            .values(refused_at=func.clock_timestamp())
        )

    def put_off(self, connection_id: UUID, until: datetime) -> None:
        """Let nobody claim the refresh before ``until``; callers who need a token are not held back."""
        self._connection.execute(update(connections).where(_C.id == connection_id).values(refresh_claimed_until=until))

    def append(self, generation: NewGeneration) -> bool:
        """Append a generation, always, with the end of its attempt; say whether the pointer moved to it.

        It moves for the current epoch, and for a fenced writer whose parent still is current: then nobody else
        has brought anything. Otherwise the generation stays as a sibling nobody points at. Nothing is stored for a
        disconnected connection: its data key is gone.
        """
        state = self._connection.execute(
            select(_C.status, _C.reason, _C.epoch, _C.generation)
            .where(_C.id == generation.connection_id)
            .with_for_update()
        ).first()
        if state is None or state.status == Status.DISCONNECTED:
            return False
        append_row(self._connection, generation)
        close_stored(self._connection, generation)
        if state.generation == generation.generation:
            # The first try was committed after all; its answer got lost on the way.
            return True
        if generation.epoch != state.epoch and generation.parent != state.generation:
            return False
        self._point_at(generation, frees_lease=generation.epoch == state.epoch)
        if state.reason == Reason.ROTATION_LOST:
            self._find_again(generation)
        if generation.generation % PRUNED_EVERY == 0:
            prune(self._connection, generation.connection_id, generation.generation)
        return True

    def release(self, lease: Lease, *, next_attempt_at: datetime | None, failed: bool) -> None:
        """Give the lease back if the epoch is still ours; count a failure and hold back automatic refreshes."""
        self._connection.execute(
            update(connections)
            .where(_C.id == lease.connection_id, _C.epoch == lease.epoch)
            .values(
                lease_owner=None,
                lease_until=None,
                refresh_claimed_until=None,
                next_attempt_at=next_attempt_at,
                # What may not be asked yet is not due: the scan for due rows need not step over it every time.
                refresh_due_at=func.greatest(_C.refresh_due_at, next_attempt_at),
                failures=_C.failures + int(failed),
            )
        )

    def suspect(self, lease: Lease, now: datetime) -> datetime:
        """Note an ``invalid_grant`` for the parent generation and return when the first one was.

        ``now`` when the generation has been replaced meanwhile: the refusal says nothing about the new one.
        """
        row = self._connection.execute(
            update(connections)
            .where(_C.id == lease.connection_id, _C.generation == lease.tokens.connection.generation)
            .values(
                suspected_since=func.coalesce(_C.suspected_since, now),
                # A suspicion is settled as soon as it may be, not when the token would have fallen due.
                refresh_due_at=func.least(_C.refresh_due_at, now),
            )
            .returning(_C.suspected_since)
        ).first()
        return now if row is None or row.suspected_since is None else row.suspected_since

    def claim_due(self, provider: str, now: datetime, hold_until: datetime, limit: int) -> tuple[UUID, ...]:
        """Claim a provider's active connections whose refresh is due; nobody else gets them before ``hold_until``."""
        due = select_due(_C.id, _C.refresh_due_at, limit).where(
            _C.status == Status.ACTIVE,
            _C.provider == provider,
            _C.refresh_due_at <= now,
            is_past(_C.refresh_claimed_until, now),
            is_past(_C.next_attempt_at, now),
            _IS_FREE,
        )
        return tuple(claim(self._connection, due, _C.id, _C.refresh_claimed_until, hold_until))

    def _find_again(self, generation: NewGeneration) -> None:
        """Make a connection good again whose rotation was given up for lost: here is the answer after all."""
        self._connection.execute(
            update(connections)
            .where(_C.id == generation.connection_id)
            .values(status=Status.ACTIVE, reason=None, status_since=generation.issued_at)
        )

    def _take(
        self, connection_id: UUID, owner: str | None, lease_s: float, *conditions: ColumnElement[bool]
    ) -> Row[Any] | None:
        """Raise epoch and last generation under ``conditions`` and hold the lease; null when they do not hold."""
        return self._connection.execute(
            update(connections)
            .where(_C.id == connection_id, _CONNECTED, *conditions)
            .values(
                epoch=_C.epoch + 1,
                last_generation=_C.last_generation + 1,
                lease_owner=owner,
                lease_until=lease_end(lease_s),
            )
            .returning(_C.epoch, _C.last_generation)
        ).first()

    def _point_at(self, generation: NewGeneration, *, frees_lease: bool) -> None:
        values: dict[str, object] = {
            "generation": generation.generation,
            "access_expires_at": generation.access_expires_at,
            "last_refreshed_at": generation.issued_at,
            "refresh_due_at": generation.refresh_due_at,
            "refresh_claimed_until": None,
            "next_attempt_at": None,
            "suspected_since": None,
            "failures": 0,
        }
        if frees_lease:
            values |= {"lease_owner": None, "lease_until": None}
        if generation.scopes is not None:
            values["granted_scopes"] = [storable_text(scope) for scope in generation.scopes]
        self._connection.execute(update(connections).where(_C.id == generation.connection_id).values(values))
