"""What the use cases need from the store: push channels, and what notifications said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from app.domain.calendars import Channel


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """A stored push channel, and what a notification needs to know of its calendar."""

    id: UUID
    calendar_id: UUID
    connection_id: UUID
    provider: str
    provider_kind: str
    calendar_provider_id: str
    state: str
    """``creating``, ``active`` or ``stopping``."""
    channel: Channel | None
    """Null while creating."""
    activated_at: datetime | None
    """When the provider last said that it is open; null while creating."""
    last_seen_at: datetime | None
    """When a genuine notification was last noted; null as long as nothing proves that notifications arrive."""
    missed_at: datetime | None
    """When the provider last said that it could not deliver."""
    stop_attempts: int
    """Failed attempts to stop it."""
    has_news: bool
    """A notification waits for the next run already."""
    is_wanted: bool
    """The calendar is synced: selected, not paused, not gone, its connection active."""
    is_running: bool
    """A run of the calendar is under way."""
    last_success_at: datetime | None


class ChannelStore(Protocol):
    """Push channels."""

    def claim_missing(self, now: datetime, hold_until: datetime, limit: int) -> tuple[UUID, ...]:
        """Claim wanted calendars that should have a channel (again): none active, or the active one nears its end."""

    def take(self, calendar_id: UUID, due_by: datetime | None, hold_until: datetime) -> int | None:
        """Put the next attempt off, so that of many takers one goes on; return how many failed in a row before.

        Null when the calendar is not wanted, has no details to watch, or its channel was not due by ``due_by`` (null:
        whenever).
        """

    def add(self, channel_id: UUID, calendar_id: UUID, now: datetime) -> None:
        """Write a channel down before the provider is asked for it."""

    def activate(
        self, channel_id: UUID, channel: Channel, renew_at: datetime, now: datetime, stop_others_at: datetime
    ) -> bool:
        """Store what the provider answered; older channels of the calendar become ``stopping``.

        Returns false, and changes nothing, for a channel that was deleted meanwhile.
        """

    def fail(self, calendar_id: UUID, channel_id: UUID | None, retry_at: datetime | None) -> None:
        """Count a failed attempt; drop what it began. Try again at ``retry_at``, never when null."""

    def get(self, channel_id: UUID) -> ChannelRow | None:
        """Return a channel by our id."""

    def by_provider_ids(self, provider_channel_ids: Sequence[str]) -> tuple[ChannelRow, ...]:
        """Return channels by the provider's ids (Graph subscription ids), in one query."""

    def of_calendar(self, calendar_id: UUID) -> tuple[ChannelRow, ...]:
        """Return a calendar's channels, newest first."""

    def of_connection(self, connection_id: UUID) -> tuple[ChannelRow, ...]:
        """Return all channels of a connection."""

    def any_creating(self, kind: str, since: datetime) -> bool:
        """Return whether a channel at a provider of ``kind`` is being made; one begun before ``since`` is not."""

    def note(
        self, channel_ids: Sequence[UUID], now: datetime, *, missed: bool = False, message_number: int | None = None
    ) -> tuple[UUID, ...]:
        """Leave word with channels that something has changed; returns those that had no word waiting before.

        ``missed``: the provider could not deliver for a while, so the whole calendar should be compared.
        Never waits for a run that is being applied.
        """

    def seen(self, channel_id: UUID, message_number: int | None, now: datetime) -> None:
        """Note that a channel speaks; numbers never go back."""

    def end(self, channel_id: UUID, now: datetime) -> None:
        """Note that the provider has ended a channel; what changed since is news."""

    def hurry(self, calendar_ids: Sequence[UUID], now: datetime, unless_by: datetime) -> tuple[UUID, ...]:
        """Make channels due that are not due by ``unless_by`` anyway; returns their calendars.

        Passes over calendars whose state is being written: callers must not depend on it.
        """

    def retire_unwanted(self, now: datetime, limit: int) -> int:
        """Let channels of calendars that are not wanted (any more) be stopped; returns how many."""

    def claim_stops(self, now: datetime, hold_until: datetime, limit: int) -> tuple[ChannelRow, ...]:
        """Claim channels of active connections whose time to be stopped has come."""

    def stop_later(self, channel_id: UUID, at: datetime) -> None:
        """Count a failed attempt to stop a channel; try again then."""

    def tidy(self, now: datetime, abandoned_before: datetime, limit: int) -> int:
        """Drop channels that have run out and those whose making was abandoned; returns how many.

        A calendar whose active channel ran out is due for a new one.
        """

    def delete(self, channel_id: UUID) -> None:
        """Forget a channel."""
