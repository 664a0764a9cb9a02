"""Refresh attempts: written down before the call, closed after it, taken over from the dead."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Text, cast, func, insert, select, update

from app.ports import Lease, NewGeneration, OpenAttempt
from app.store.schema import connections, processes, refresh_attempts

_A = refresh_attempts.c
_C = connections.c


def open_attempt(connection: Connection, lease: Lease, owner: str | None) -> None:
    """Write an attempt down; it is open until something closes it."""
    connection.execute(
        insert(refresh_attempts).values(
            id=lease.attempt_id,
            connection_id=lease.connection_id,
            epoch=lease.epoch,
            parent=lease.parent,
            generation=lease.generation,
            owner=owner,
        )
    )


def close_stored(connection: Connection, generation: NewGeneration) -> None:
    """Close the attempt that brought ``generation``, even if it was given up for lost before."""
    connection.execute(
        update(refresh_attempts)
        .where(_A.connection_id == generation.connection_id, _A.epoch == generation.epoch)
        .values(outcome="stored", error_code=None, finished_at=func.clock_timestamp())
    )


class PostgresAttempts:
    """Implements ``ports.AttemptStore``."""

    def __init__(self, connection: Connection) -> None:
        """Work on ``connection``."""
        self._connection = connection

    def close(self, lease: Lease, outcome: str, error_code: str | None, now: datetime) -> bool:
        """Write down how an attempt ended: ``refused``, ``failed`` or ``ambiguous``; false when it never began."""
        return bool(
            self._connection.execute(
                update(refresh_attempts)
                .where(_A.id == lease.attempt_id)
                .values(outcome=outcome, error_code=error_code, finished_at=now)
            ).rowcount
        )

    def lost(self, connection_id: UUID, parent: int) -> UUID | None:
        """Return the latest attempt from ``parent`` whose answer never came; null when all were answered."""
        return self._connection.execute(
            select(_A.id)
            .where(_A.connection_id == connection_id, _A.parent == parent, _A.outcome == "ambiguous")
            .order_by(_A.epoch.desc())
            .limit(1)
        ).scalar()

    def of_the_dead(self, silent_s: float, settled_s: float) -> tuple[OpenAttempt, ...]:
        """Return open attempts whose process is dead; nobody else gets them before this transaction ends.

        Dead is who holds no lock and was not heard of for ``silent_s`` seconds; nobody is while the database
        server is up for less than ``settled_s`` seconds. Attempts of owners who never announced themselves
        are left to the end of their lease.
        """
        silent = (
            select(_A.id, _A.connection_id, _A.epoch, processes.c.lock_key)
            .join(processes, cast(processes.c.id, Text) == _A.owner)
            .where(
                _A.outcome.is_(None),
                processes.c.heartbeat_at < func.clock_timestamp() - _seconds(silent_s),
                func.pg_postmaster_start_time() < func.clock_timestamp() - _seconds(settled_s),
            )
            .cte("silent")
            # Evaluated first: a lock must be tried for the silent alone.
            .prefix_with("MATERIALIZED")
        )
        rows = self._connection.execute(
            select(silent.c.id, silent.c.connection_id, silent.c.epoch, _C.person_id, _C.provider, _C.access_expires_at)
            .join(connections, _C.id == silent.c.connection_id)
            .where(func.pg_try_advisory_xact_lock(silent.c.lock_key))
        )
        return tuple(
            OpenAttempt(row.id, row.connection_id, row.person_id, row.provider, row.epoch, row.access_expires_at)
            for row in rows
        )

    def take_over(self, attempt: OpenAttempt, again_at: datetime) -> bool:
        """Close the attempt as ambiguous, free its lease, make the refresh due from ``again_at`` on.

        Returns false when it has ended meanwhile.
        """
        # First, as everywhere: all writers of one connection queue up at its row.
        self._connection.execute(select(_C.id).where(_C.id == attempt.connection_id).with_for_update())
        closed = self._connection.execute(
            update(refresh_attempts)
            .where(_A.id == attempt.attempt_id, _A.outcome.is_(None))
            .values(outcome="ambiguous", error_code="owner_died", finished_at=func.clock_timestamp())
            .returning(_A.id)
        ).first()
        if closed is None:
            return False
        self._connection.execute(
            update(connections)
            .where(_C.id == attempt.connection_id, _C.epoch == attempt.epoch)
            .values(
                lease_owner=None,
                lease_until=None,
                refresh_claimed_until=None,
                next_attempt_at=again_at,
                refresh_due_at=func.least(_C.refresh_due_at, func.clock_timestamp()),
            )
        )
        return True


def _seconds(number: float) -> ColumnElement[timedelta]:
    return func.make_interval(0, 0, 0, 0, 0, 0, number)
