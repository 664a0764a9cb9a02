"""Push channels: written down before they exist at the provider, kept until they are stopped there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, delete, func, insert, or_, select, update
from sqlalchemy.sql import ColumnElement

from app.domain.calendars import Channel
from app.ports import ChannelRow
from app.store import channel_ends
from app.store.arrays import is_among, is_one_of
from app.store.channel_news import CHANGED, MISSED, leave_news, not_below
from app.store.channel_rows import IS_WATCHED, SELECT_CHANNELS, read_channels
from app.store.claims import claim, select_due
from app.store.schema import calendars, channels, connections, sync_states

_H = channels.c
_S = sync_states.c


class PostgresChannels:
    """Implements ``ports.ChannelStore``."""

    def __init__(self, connection: Connection) -> None:
        """Work on ``connection``."""
        self._connection = connection

    def claim_missing(self, now: datetime, hold_until: datetime, limit: int) -> tuple[UUID, ...]:
        """Claim wanted calendars that should have a channel (again): none active, or the active one nears its end."""
        due = (
            select_due(_S.calendar_id, _S.channel_due_at, limit)
            .join(calendars, calendars.c.id == _S.calendar_id)
            .join(connections, connections.c.id == calendars.c.connection_id)
            .where(IS_WATCHED, _S.channel_due_at <= now)
        )
        return tuple(claim(self._connection, due, _S.calendar_id, _S.channel_due_at, hold_until))

    def take(self, calendar_id: UUID, due_by: datetime | None, hold_until: datetime) -> int | None:
        """Put the next attempt off and return how many failed in a row before; null when it is not this one's turn."""
        is_due = () if due_by is None else (_S.channel_due_at <= due_by,)
        is_watched = (
            select(calendars.c.id)
            .join(connections, connections.c.id == calendars.c.connection_id)
            .where(calendars.c.id == calendar_id, IS_WATCHED)
            .exists()
        )
        return self._connection.scalars(
            update(sync_states)
            .where(_S.calendar_id == calendar_id, is_watched, *is_due)
            .values(channel_due_at=hold_until)
            .returning(_S.channel_failures)
        ).first()

    def add(self, channel_id: UUID, calendar_id: UUID, now: datetime) -> None:
        """Write a channel down before the provider is asked for it."""
        self._connection.execute(
            insert(channels).values(id=channel_id, calendar_id=calendar_id, state="creating", created_at=now)
        )

    def activate(
        self, channel_id: UUID, channel: Channel, renew_at: datetime, now: datetime, stop_others_at: datetime
    ) -> bool:
        """Store what the provider answered; older channels of the calendar become ``stopping``.

        Older ones that never got an answer go: there is nothing to stop them by. So do those that have run out. Returns
        false, and changes nothing, for a channel that was deleted meanwhile.
        """
        calendar_id = select(_H.calendar_id).where(_H.id == channel_id).scalar_subquery()
        self._connection.execute(
            update(sync_states).where(_S.calendar_id == calendar_id).values(channel_due_at=renew_at, channel_failures=0)
        )
        row = self._connection.execute(
            update(channels).where(_H.id == channel_id).values(_opened(channel, now)).returning(*channels.c)
        ).first()
        if row is None:
            return False
        older = (_H.calendar_id == row.calendar_id, _H.id != channel_id, _H.created_at <= row.created_at)
        ended = or_(_H.state == "creating", _H.expires_at <= now)
        self._connection.execute(delete(channels).where(*older, ended, _H.news.is_(None)))
        self._connection.execute(
            update(channels).where(*older, _H.state == "active").values(state="stopping", stop_due_at=stop_others_at)
        )
        return True

    def fail(self, calendar_id: UUID, channel_id: UUID | None, retry_at: datetime | None) -> None:
        """Count a failed attempt; drop what it began. Try again at ``retry_at``, never when null."""
        self._connection.execute(
            update(sync_states)
            .where(_S.calendar_id == calendar_id)
            .values(channel_due_at=retry_at, channel_failures=_S.channel_failures + 1)
        )
        if channel_id is not None:
            self.delete(channel_id)

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

    def any_creating(self, kind: str, since: datetime) -> bool:
        """Return whether a channel at a provider of ``kind`` is being made; one begun before ``since`` is not."""
        is_being_made = (_H.state == "creating", connections.c.kind == kind, _H.created_at >= since)
        return self._connection.execute(SELECT_CHANNELS.where(*is_being_made).limit(1)).first() is not None

    def note(
        self, channel_ids: Sequence[UUID], now: datetime, *, missed: bool = False, message_number: int | None = None
    ) -> tuple[UUID, ...]:
        """Leave word with channels that something has changed; returns those that had no word waiting before."""
        return leave_news(self._connection, channel_ids, now, MISSED if missed else CHANGED, message_number)

    def seen(self, channel_id: UUID, message_number: int | None, now: datetime) -> None:
        """Note that a channel speaks; numbers never go back."""
        self._connection.execute(
            update(channels)
            .where(_H.id == channel_id)
            .values(last_seen_at=now, message_number=not_below(message_number))
        )

    def end(self, channel_id: UUID, now: datetime) -> None:
        """Note that the provider has ended a channel; what changed since is news."""
        self._connection.execute(
            update(channels)
            .where(_H.id == channel_id, _H.expires_at > now)
            .values(expires_at=now, last_seen_at=now, news=func.coalesce(_H.news, CHANGED))
        )

    def hurry(self, calendar_ids: Sequence[UUID], now: datetime, unless_by: datetime) -> tuple[UUID, ...]:
        """Make channels due that are not due by ``unless_by`` anyway; returns their calendars."""
        return tuple(channel_ends.hurry(self._connection, calendar_ids, now, unless_by))

    def retire_unwanted(self, now: datetime, limit: int) -> int:
        """Let channels of calendars that are not wanted (any more) be stopped; returns how many."""
        return channel_ends.retire_unwanted(self._connection, now, limit)

    def claim_stops(self, now: datetime, hold_until: datetime, limit: int) -> tuple[ChannelRow, ...]:
        """Claim channels of active connections whose time to be stopped has come."""
        claimed = channel_ends.claim_stops(self._connection, now, hold_until, limit)
        return self._read(is_one_of(_H.id, claimed)) if claimed else ()

    def stop_later(self, channel_id: UUID, at: datetime) -> None:
        """Count a failed attempt to stop a channel; try again then."""
        self._connection.execute(
            update(channels).where(_H.id == channel_id).values(stop_due_at=at, stop_attempts=_H.stop_attempts + 1)
        )

    def tidy(self, now: datetime, abandoned_before: datetime, limit: int) -> int:
        """Drop channels that have run out and those whose making was abandoned; returns how many."""
        return channel_ends.drop_ended(self._connection, now, abandoned_before, limit)

    def delete(self, channel_id: UUID) -> None:
        """Forget a channel; an unknown one is no error."""
        self._connection.execute(delete(channels).where(_H.id == channel_id))

    def _read(self, condition: ColumnElement[bool]) -> tuple[ChannelRow, ...]:
        return read_channels(self._connection, condition)


def _opened(channel: Channel, now: datetime) -> dict[str, object]:
    return {
        "state": "active",
        "provider_channel_id": channel.provider_channel_id,
        "resource_id": channel.resource_id,
        "expires_at": channel.expires_at,
        "activated_at": now,
    }
