"""Push channels: written down before they exist at the provider, kept until they are stopped there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, literal, select, update

from app.domain.calendars import Channel
from app.domain.connections import Status
from app.ports import ChannelRow
from app.store.arrays import is_among
from app.store.claims import claim, select_due
from app.store.schema import calendars, channels, connections, sync_states

_H = channels.c
_S = sync_states.c

_SELECT = (
    select(
        *channels.c,
        calendars.c.connection_id,
        calendars.c.provider_id.label("calendar_provider_id"),
        connections.c.provider,
        connections.c.kind,
    )
    .join(calendars, calendars.c.id == _H.calendar_id)
    .join(connections, connections.c.id == calendars.c.connection_id)
)


class PostgresChannels:
    """Implements ``ports.ChannelStore``."""

    def __init__(self, connection: Connection) -> None:
        """Work on ``connection``."""
        self._connection = connection

    def claim_missing(self, now: datetime, hold_until: datetime, limit: int) -> tuple[UUID, ...]:
        """Claim calendars that should have a channel (again): none active, or the active one nears its end."""
        due = (
            select_due(_S.calendar_id, _S.channel_due_at, limit)
            .join(calendars, calendars.c.id == _S.calendar_id)
            .join(connections, connections.c.id == calendars.c.connection_id)
            .where(connections.c.status == Status.ACTIVE, _S.channel_due_at <= now)
        )
        return tuple(claim(self._connection, due, _S.calendar_id, _S.channel_due_at, hold_until))

    def take(self, calendar_id: UUID, due_by: datetime, hold_until: datetime) -> bool:
        """Return whether the channel was due by then, and put it off: of many takers one is told so."""
        return bool(
            self._connection.execute(
                update(sync_states)
                .where(_S.calendar_id == calendar_id, _S.channel_due_at <= due_by)
                .values(channel_due_at=hold_until)
            ).rowcount
        )

    def add(self, channel_id: UUID, calendar_id: UUID, token_hash: bytes, now: datetime) -> None:
        """Write a channel down before the provider is asked for it."""
        self._connection.execute(
            insert(channels).values(
                id=channel_id, calendar_id=calendar_id, state="creating", token_hash=token_hash, created_at=now
            )
        )

    def activate(self, channel_id: UUID, channel: Channel, renew_at: datetime, now: datetime) -> None:
        """Store what the provider answered; older channels of the calendar become ``stopping``.

        Older ones that never got an answer go: there is nothing to stop them by. Does nothing for a channel
        that was deleted meanwhile.
        """
        row = self._connection.execute(
            update(channels)
            .where(_H.id == channel_id)
            .values(
                state="active",
                provider_channel_id=channel.provider_channel_id,
                resource_id=channel.resource_id,
                expires_at=channel.expires_at,
                activated_at=now,
            )
            .returning(_H.calendar_id, _H.created_at)
        ).first()
        if row is None:
            return
        older = (_H.calendar_id == row.calendar_id, _H.id != channel_id, _H.created_at <= row.created_at)
        self._connection.execute(delete(channels).where(*older, _H.state == "creating"))
        self._connection.execute(update(channels).where(*older).values(state="stopping"))
        self._due(row.calendar_id, literal(renew_at))

    def fail(self, calendar_id: UUID, channel_id: UUID, retry_at: datetime | None) -> None:
        """Drop a channel that could not be made; try again at ``retry_at``, never when null."""
        self.delete(channel_id)
        self._due(calendar_id, literal(retry_at, _S.channel_due_at.type))

    def get(self, channel_id: UUID) -> ChannelRow | None:
        """Return a channel by our id; null when unknown."""
        return next(iter(self._read(_H.id == channel_id)), None)

    def by_provider_ids(self, provider_channel_ids: Sequence[str]) -> tuple[ChannelRow, ...]:
        """Return channels by the provider's ids (Graph subscription ids), in one query."""
        return self._read(is_among(_H.provider_channel_id, provider_channel_ids))

    def of_calendar(self, calendar_id: UUID) -> tuple[ChannelRow, ...]:
        """Return a calendar's channels, newest first."""
        return self._read(_H.calendar_id == calendar_id)

    def of_connection(self, connection_id: UUID) -> tuple[ChannelRow, ...]:
        """Return all channels of a connection, those of removed calendars included."""
        return self._read(calendars.c.connection_id == connection_id)

    def stopping(self, limit: int) -> tuple[ChannelRow, ...]:
        """Return channels of active connections that wait to be stopped at the provider, oldest first."""
        rows = self._connection.execute(
            _SELECT.where(_H.state == "stopping", connections.c.status == Status.ACTIVE)
            .order_by(_H.created_at)
            .limit(limit)
        )
        return tuple(_channel_row(row) for row in rows)

    def seen(self, channel_id: UUID, message_number: int | None, now: datetime) -> None:
        """Note a genuine notification; numbers never go back."""
        number = func.greatest(_H.message_number, literal(message_number, _H.message_number.type))
        self._connection.execute(
            update(channels).where(_H.id == channel_id).values(last_seen_at=now, message_number=number)
        )

    def delete(self, channel_id: UUID) -> None:
        """Forget a channel; an unknown one is no error."""
        self._connection.execute(delete(channels).where(_H.id == channel_id))

    def any_creating(self, kind: str, since: datetime) -> bool:
        """Return whether a channel at a provider of ``kind`` is being made; one begun before ``since`` is not."""
        return bool(
            self._connection.execute(
                _SELECT.where(
                    _H.state == "creating",
                    connections.c.kind == kind,
                    _H.created_at >= since,
                )
            ).first()
        )

    def due_now(self, calendar_id: UUID) -> None:
        """Make the calendar's channel due for renewal, or for a new one, by the database clock."""
        self._due(calendar_id, func.clock_timestamp())

    def _due(self, calendar_id: UUID, at: ColumnElement[Any]) -> None:
        self._connection.execute(update(sync_states).where(_S.calendar_id == calendar_id).values(channel_due_at=at))

    def _read(self, condition: ColumnElement[bool]) -> tuple[ChannelRow, ...]:
        rows = self._connection.execute(_SELECT.where(condition).order_by(_H.created_at.desc(), _H.id))
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
        token_hash=row.token_hash,
    )
