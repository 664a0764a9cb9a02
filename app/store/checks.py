"""Comparisons of whole calendars with the provider's: when, and what they found."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, func, insert, select, update

from app.ports import Differences
from app.store.schema import calendars, connections, drift_reports, sync_states
from app.store.sync_runs import IS_WANTED

_S = sync_states.c


def claim_checks(connection: Connection, now: datetime, retry_at: datetime, limit: int) -> tuple[UUID, ...]:
    """Claim calendars that are due to be compared; one that dies meanwhile is due again at ``retry_at``."""
    due = (
        select(_S.calendar_id)
        .join(calendars, calendars.c.id == _S.calendar_id)
        .join(connections, connections.c.id == calendars.c.connection_id)
        .where(_S.check_due_at <= now, _S.cursor.is_not(None), IS_WANTED)
        .order_by(_S.check_due_at)
        .limit(limit)
        .with_for_update(of=sync_states, skip_locked=True)
    )
    chosen = func.array(due.scalar_subquery())
    return tuple(
        connection.scalars(
            update(sync_states)
            .where(_S.calendar_id == func.any(chosen))
            .values(check_due_at=retry_at)
            .returning(_S.calendar_id)
        )
    )


def write_check(
    connection: Connection, calendar_id: UUID, found: Differences, next_at: datetime, now: datetime
) -> None:
    """Plan the next comparison; where something was found, write that down and let a full pass mend it."""
    connection.execute(update(sync_states).where(_S.calendar_id == calendar_id).values(check_due_at=next_at))
    if not found.total:
        return
    connection.execute(
        insert(drift_reports).values(
            calendar_id=calendar_id,
            at=now,
            compared=found.compared,
            missing=found.missing,
            surplus=found.surplus,
            different=found.different,
            samples=dict(found.samples),
        )
    )
    connection.execute(
        update(sync_states)
        .where(_S.calendar_id == calendar_id)
        .values(
            cursor=None,
            window_start=None,
            window_end=None,
            expander_version=None,
            cursor_version=_S.cursor_version + 1,
            requested=_S.requested + 1,
            due_at=func.least(_S.due_at, now),
        )
    )
