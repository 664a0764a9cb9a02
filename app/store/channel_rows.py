"""How a row becomes a ``ChannelRow``, and which calendars are to be watched."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, and_, func, select
from sqlalchemy.sql import ColumnElement

from app.domain.calendars import Channel
from app.domain.connections import Status
from app.ports import ChannelRow
from app.store.schema import calendars, channels, connections, sync_states

_H = channels.c

IS_WANTED = and_(
    calendars.c.is_selected,
    calendars.c.paused_at.is_(None),
    calendars.c.removed_at.is_(None),
    connections.c.status == Status.ACTIVE,
)
"""The calendar is synced at present."""

IS_WATCHED = and_(IS_WANTED, calendars.c.access_role != "free_busy")
"""The calendar is synced and has details: who may see no events cannot be told of them."""

SELECT_CHANNELS = (
    select(
        *channels.c,
        calendars.c.connection_id,
        calendars.c.provider_id.label("calendar_provider_id"),
        connections.c.provider,
        connections.c.kind,
        IS_WANTED.label("is_wanted"),
        func.coalesce(sync_states.c.lease_until > func.clock_timestamp(), False).label("is_running"),
        sync_states.c.last_success_at,
    )
    .join(calendars, calendars.c.id == _H.calendar_id)
    .join(connections, connections.c.id == calendars.c.connection_id)
    .outerjoin(sync_states, sync_states.c.calendar_id == _H.calendar_id)
)


def read_channels(connection: Connection, condition: ColumnElement[bool]) -> tuple[ChannelRow, ...]:
    """Return the channels that meet ``condition``, newest first."""
    rows = connection.execute(SELECT_CHANNELS.where(condition).order_by(_H.created_at.desc(), _H.id))
    return tuple(_channel_row(row) for row in rows)


def _channel_row(row: Row[*tuple[Any, ...]]) -> ChannelRow:
    channel = None
    if row.provider_channel_id is not None:
        channel = Channel(row.provider_channel_id, row.resource_id, row.expires_at)
    return ChannelRow(
        id=row.id,
        calendar_id=row.calendar_id,
        connection_id=row.connection_id,
        provider=row.provider,
        provider_kind=row.kind,
        calendar_provider_id=row.calendar_provider_id,
        state=row.state,
        channel=channel,
        activated_at=row.activated_at,
        last_seen_at=row.last_seen_at,
        missed_at=row.missed_at,
        stop_attempts=row.stop_attempts,
        has_news=row.news is not None,
        is_wanted=row.is_wanted,
        is_running=row.is_running,
        last_success_at=row.last_success_at,
    )
