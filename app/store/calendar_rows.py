"""How a row becomes a ``CalendarRow``; shared by the stores of calendars and channels."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, func, select

from app.ports import CalendarRow, SyncProgress
from app.store.schema import calendars, connections, sync_states

SELECT_CALENDARS = (
    select(
        calendars.c.id,
        calendars.c.connection_id,
        connections.c.person_id,
        connections.c.provider,
        calendars.c.provider_id,
        calendars.c.name,
        calendars.c.time_zone,
        calendars.c.access_role,
        calendars.c.is_primary,
        sync_states.c.last_success_at,
        sync_states.c.last_error,
        func.coalesce(sync_states.c.event_count, 0).label("event_count"),
        calendars.c.is_selected,
        calendars.c.paused_at,
        sync_states.c.run_started_at,
        sync_states.c.run_is_full,
        sync_states.c.run_pages,
        sync_states.c.run_items,
    )
    .join(connections, connections.c.id == calendars.c.connection_id)
    .outerjoin(sync_states, sync_states.c.calendar_id == calendars.c.id)
    .where(calendars.c.removed_at.is_(None))
    .order_by(calendars.c.is_primary.desc(), calendars.c.name, calendars.c.id)
)
"""Calendars that are not removed, the primary one first."""


def read_calendar(row: Row[*tuple[Any, ...]]) -> CalendarRow:
    """Return the calendar in ``row``, which holds at least the columns of ``SELECT_CALENDARS``."""
    return CalendarRow(
        id=row.id,
        connection_id=row.connection_id,
        person_id=row.person_id,
        provider=row.provider,
        provider_id=row.provider_id,
        name=row.name,
        time_zone=row.time_zone,
        access_role=row.access_role,
        is_primary=row.is_primary,
        last_success_at=row.last_success_at,
        last_error=row.last_error,
        event_count=row.event_count,
        is_selected=row.is_selected,
        paused_at=row.paused_at,
        progress=None
        if row.run_started_at is None
        else SyncProgress(row.run_started_at, row.run_is_full, row.run_pages, row.run_items),
    )
