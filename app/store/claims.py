"""Claiming due rows: each goes to one claimer, nobody waits, nothing is held after the statement.

A claim is a column with a time until which the row is left alone, written under ``FOR UPDATE SKIP LOCKED``.
Whoever dies with a claim costs that much time and nothing else. Due times were computed by the callers'
clock, so the caller's clock is compared with them; what must never overlap is guarded by a lease, and
leases go by the database's clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Connection, Select, func, or_, select, update


def is_free(lease_until: Column[datetime]) -> ColumnElement[bool]:
    """Return the condition that nobody holds a lease, by the database's clock."""
    return or_(lease_until.is_(None), lease_until <= func.clock_timestamp())


def is_past(moment: Column[datetime], now: datetime) -> ColumnElement[bool]:
    """Return the condition that ``moment`` is null or has come."""
    return or_(moment.is_(None), moment <= now)


def lease_end(lease_s: float) -> ColumnElement[datetime]:
    """Return the end of a lease of ``lease_s`` seconds that begins now, by the database's clock."""
    return func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, lease_s)


def claim(
    connection: Connection, due: Select[UUID], key: Column[UUID], claimed_until: Column[datetime], hold_until: datetime
) -> Sequence[UUID]:
    """Mark the rows ``due`` selects as claimed until ``hold_until`` and return their keys.

    ``due`` selects ``key`` with its own limit and order; rows that somebody else is claiming are passed over.
    """
    # An array is made once, before the update begins, and leads to its rows by the key: with a join the planner may
    # read the whole table.
    chosen = func.array(due.with_for_update(of=key.table, skip_locked=True).scalar_subquery())
    taken = connection.execute(
        update(key.table).where(key == func.any(chosen)).values({claimed_until.name: hold_until}).returning(key)
    )
    return [row[0] for row in taken]


def select_due(key: Column[UUID], due_at: Column[datetime], limit: int) -> Select[UUID]:
    """Return the beginning of a selection of due keys, longest due first."""
    return select(key).order_by(due_at).limit(limit)
