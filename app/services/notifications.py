"""Provider notifications: check that they are genuine, leave word with the channel, say so to a worker.

A notification is a hint. Forged, doubled, late or reordered ones change nothing but timing. A forged one is known
without asking the database. Word that waits already makes further notifications of the channel cost one read: a flood
writes one row and sends one hint for every run.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from app.domain.channels import CREATING_TAKES, LIFECYCLE_APART, rest_s
from app.ports import ChannelRow, Clock, Nudge, Store, Transaction
from app.services.channel_tokens import ChannelTokens
from app.services.channels import ATTEMPT
from app.services.refused_notifications import RefusedNotifications

logger = logging.getLogger(__name__)

GREETINGS_APART = timedelta(minutes=1)
"""Google's first message says nothing but that it arrives; one in so much time is worth a row written."""

MISSED, REAUTHORIZE, REMOVED = "missed", "reauthorizationRequired", "subscriptionRemoved"


@dataclass(frozen=True, slots=True)
class GraphNotification:
    """One element of a Graph notification's ``value``."""

    subscription_id: str
    client_state: str
    lifecycle_event: str | None
    """``reauthorizationRequired``, ``subscriptionRemoved``, ``missed``, or null for a change."""


@dataclass
class _Word:
    """What a batch says, by channel."""

    changed: dict[UUID, ChannelRow] = field(default_factory=dict)
    missed: dict[UUID, ChannelRow] = field(default_factory=dict)
    ended: dict[UUID, ChannelRow] = field(default_factory=dict)
    to_open: set[UUID] = field(default_factory=set)
    """Calendars whose channel is to be prolonged or made anew."""


@dataclass(frozen=True)
class Notifications:
    """Takes notifications from the hooks."""

    store: Store
    tokens: ChannelTokens
    nudge: Nudge
    clock: Clock
    refused: RefusedNotifications = field(default_factory=RefusedNotifications)

    def google(self, channel_id: str, token: str, resource_id: str, message_number: int | None, state: str) -> bool:
        """Take one Google notification; false when it is not genuine (answer 404: Google will not repeat it)."""
        row, now = self._google_channel(channel_id, token), self.clock()
        if row is None or not _is_open(row, now) or not _names_resource(row, resource_id):
            self.refused.note("google")
            return False
        if state == "sync":
            self._greeted(row, message_number, now)
        else:
            self._tell(_Word(changed={row.id: row}), now, message_number)
        return True

    def graph(self, items: Sequence[GraphNotification]) -> int:
        """Take the elements of one Graph notification; returns how many were genuine."""
        named = [(item, self.tokens.channel_of(item.client_state)) for item in items]
        rows = self._graph_channels({item.subscription_id for item, channel_id in named if channel_id is not None})
        now, word, genuine = self.clock(), _Word(), 0
        for item, channel_id in named:
            row = rows.get(item.subscription_id)
            if row is not None and row.id == channel_id and _is_open(row, now):
                genuine += 1
                _sort(word, row, item.lifecycle_event, now)
        if genuine < len(items):
            self.refused.note("microsoft", len(items) - genuine)
        self._tell(word, now)
        return genuine

    def expects_validation(self) -> bool:
        """Return whether a subscription of ours is being made now: only then is a validation request expected."""
        with self.store.reading() as tx:
            return tx.channels.any_creating("microsoft", self.clock() - CREATING_TAKES)

    def _google_channel(self, channel_id: str, token: str) -> ChannelRow | None:
        key = self.tokens.channel_of(token)
        if key is None or channel_id != str(key):
            return None
        with self.store.reading() as tx:
            row = tx.channels.get(key)
        return row if row is not None and row.provider_kind == "google" else None

    def _graph_channels(self, subscription_ids: Collection[str]) -> dict[str, ChannelRow]:
        """Return Graph's channels by the ids of their subscriptions."""
        if not subscription_ids:
            return {}
        with self.store.reading() as tx:
            found = tx.channels.by_provider_ids(tuple(subscription_ids))
        return {
            row.channel.provider_channel_id: row for row in found if row.channel and row.provider_kind == "microsoft"
        }

    def _greeted(self, row: ChannelRow, message_number: int | None, now: datetime) -> None:
        if row.last_seen_at is None or row.last_seen_at < now - GREETINGS_APART:
            with self.store.transaction() as tx:
                tx.channels.seen(row.id, message_number, now)

    def _tell(self, word: _Word, now: datetime, message_number: int | None = None) -> None:
        """Write down what is new, in one transaction, and hint at it; nothing at all when all of it waits already."""
        changed = {key: row for key, row in word.changed.items() if not row.has_news}
        told: tuple[UUID, ...] = ()
        to_open: tuple[UUID, ...] = ()
        if changed or word.missed or word.ended or word.to_open:
            with self.store.transaction() as tx:
                told = _write(tx, changed, word, now, message_number)
                if word.to_open:
                    to_open = tx.channels.hurry(tuple(word.to_open), now, now + ATTEMPT)
        rows = changed | word.missed
        for calendar_id, row in {rows[key].calendar_id: rows[key] for key in told}.items():
            # A run under way takes the word along when it ends, and hints by itself.
            if row.is_wanted and not row.is_running:
                self.nudge.sync_calendar(calendar_id, rest_s(now, row.last_success_at))
        for calendar_id in to_open:
            self.nudge.open_channel(calendar_id)


def _sort(word: _Word, row: ChannelRow, lifecycle_event: str | None, now: datetime) -> None:
    """Add what one genuine element says. Each event may come several times and means the same then."""
    if lifecycle_event is None or lifecycle_event == REAUTHORIZE:
        # What happened while Graph waited for us was not told.
        word.changed[row.id] = row
    if lifecycle_event == MISSED:
        known = row.missed_at is not None and row.missed_at > now - LIFECYCLE_APART
        (word.changed if known else word.missed)[row.id] = row
    elif lifecycle_event == REAUTHORIZE:
        if row.state == "active" and row.activated_at is not None and row.activated_at < now - LIFECYCLE_APART:
            word.to_open.add(row.calendar_id)
    elif lifecycle_event == REMOVED:
        word.ended[row.id] = row
        if row.state == "active":
            word.to_open.add(row.calendar_id)
    elif lifecycle_event is not None:
        logger.info("unknown lifecycle event: %s", lifecycle_event[:100])


def _write(
    tx: Transaction, changed: dict[UUID, ChannelRow], word: _Word, now: datetime, message_number: int | None
) -> tuple[UUID, ...]:
    told: tuple[UUID, ...] = ()
    if changed:
        told += tx.channels.note(tuple(changed), now, message_number=message_number)
    if word.missed:
        told += tx.channels.note(tuple(word.missed), now, missed=True)
    for channel_id in sorted(word.ended):
        tx.channels.end(channel_id, now)
    return told


def _is_open(row: ChannelRow, now: datetime) -> bool:
    return row.channel is None or row.channel.expires_at > now


def _names_resource(row: ChannelRow, resource_id: str) -> bool:
    """Return whether a Google notification is about what the channel watches, as soon as that is known."""
    return row.channel is None or row.channel.resource_id in (None, resource_id)
