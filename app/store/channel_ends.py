"""The end of push channels: which are to be stopped, which have run out, which were never made.

Whatever writes to a calendar's sync state and to its channels locks the state first; a state that is being written is
passed over and found again by the next tick.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, func, or_, select, update

from app.domain.connections import Status
from app.store.arrays import is_one_of
from app.store.channel_rows import IS_WATCHED
from app.store.claims import claim, is_past, select_due
from app.store.schema import calendars, channels, connections, sync_states

_H = channels.c
_S = sync_states.c


def claim_stops(connection: Connection, now: datetime, hold_until: datetime, limit: int) -> Sequence[UUID]:
    """Claim channels of active connections that wait to be stopped, oldest first."""
    due = (
        select_due(_H.id, _H.created_at, limit)
        .join(calendars, calendars.c.id == _H.calendar_id)
        .join(connections, connections.c.id == calendars.c.connection_id)
        .where(_H.state == "stopping", is_past(_H.stop_due_at, now), connections.c.status == Status.ACTIVE)
    )
    return claim(connection, due, _H.id, _H.stop_due_at, hold_until)


def retire_unwanted(connection: Connection, now: datetime, limit: int) -> int:
    """Let the channels of unwanted calendars be stopped, and be made again as soon as the calendar is wanted."""
    unwanted = (
        select(_H.calendar_id)
        .join(calendars, calendars.c.id == _H.calendar_id)
        .join(connections, connections.c.id == calendars.c.connection_id)
        # Broken connections keep theirs: they may come back before the channels run out.
        .where(_H.state == "active", connections.c.status == Status.ACTIVE, ~IS_WATCHED)
        .limit(limit)
    )
    chosen = _make_due(connection, connection.scalars(unwanted).all(), now)
    if not chosen:
        return 0
    return connection.execute(
        update(channels)
        .where(is_one_of(_H.calendar_id, chosen), _H.state == "active")
        .values(state="stopping", stop_due_at=now)
    ).rowcount


def drop_ended(connection: Connection, now: datetime, abandoned_before: datetime, limit: int) -> int:
    """Delete channels that have run out or were never made; active ones are due for a successor.

    One that has news is left until the news has been taken.
    """
    has_ended = and_(
        _H.news.is_(None),
        or_(_H.expires_at <= now, and_(_H.state == "creating", _H.created_at < abandoned_before)),
    )
    ended = connection.execute(select(_H.id, _H.calendar_id, _H.state).where(has_ended).limit(limit)).all()
    if not ended:
        return 0
    orphaned = [row.calendar_id for row in ended if row.state == "active"]
    free = set(_make_due(connection, orphaned, now))
    gone = [row.id for row in ended if row.state != "active" or row.calendar_id in free]
    return connection.execute(delete(channels).where(is_one_of(_H.id, gone), has_ended)).rowcount


def _make_due(connection: Connection, calendar_ids: Sequence[UUID], now: datetime) -> Sequence[UUID]:
    """Make channels due, unless they are; returns the calendars whose state could be locked, or that have none."""
    if not calendar_ids:
        return ()
    of_these = is_one_of(_S.calendar_id, calendar_ids)
    has_state = set(connection.scalars(select(_S.calendar_id).where(of_these)))
    locked = connection.scalars(_unlocked(of_these)).all()
    connection.execute(
        update(sync_states)
        .where(is_one_of(_S.calendar_id, locked))
        .values(channel_due_at=func.least(_S.channel_due_at, now))
    )
    return [*locked, *(key for key in calendar_ids if key not in has_state)]


def hurry(connection: Connection, calendar_ids: Sequence[UUID], now: datetime, unless_by: datetime) -> Sequence[UUID]:
    """Make channels due that are not due by ``unless_by`` anyway; returns their calendars."""
    chosen = _unlocked(is_one_of(_S.calendar_id, calendar_ids), _S.channel_due_at > unless_by)
    return connection.scalars(
        update(sync_states)
        .where(_S.calendar_id == func.any(func.array(chosen.scalar_subquery())))
        .values(channel_due_at=now)
        .returning(_S.calendar_id)
    ).all()


def _unlocked(*conditions: ColumnElement[bool]) -> Select[UUID]:
    return select(_S.calendar_id).where(*conditions).order_by(_S.calendar_id).with_for_update(skip_locked=True)
