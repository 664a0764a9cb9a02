"""Provider notifications: check that they are genuine, mark the calendar dirty, say so to a worker.

A notification is a hint. Forged, doubled, late or reordered ones change nothing but timing.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from app.ports import ChannelRow, Clock, Nudge, Sealer, Store

CREATING_TAKES = timedelta(minutes=2)
"""Longer than any call that makes a channel: one left behind by a crash must not keep the door open."""


@dataclass(frozen=True, slots=True)
class GraphNotification:
    """One element of a Graph notification's ``value``."""

    subscription_id: str
    client_state: str
    lifecycle_event: str | None
    """``reauthorizationRequired``, ``subscriptionRemoved``, ``missed``, or null for a change."""


@dataclass(frozen=True)
class Notifications:
    """Takes notifications from the hooks."""

    store: Store
    sealer: Sealer
    nudge: Nudge
    clock: Clock

    def google(self, channel_id: str, token: str, resource_id: str, message_number: int | None, state: str) -> bool:
        """Take one Google notification; false when it is not genuine (answer 404: Google will not repeat it)."""
        row = self._google_channel(channel_id)
        if row is None or not self._genuine(row, token):
            return False
        if row.channel is not None and row.channel.resource_id not in (None, resource_id):
            return False
        self._mark(row, message_number, changed=state != "sync")
        return True

    def graph(self, items: Sequence[GraphNotification]) -> int:
        """Take the elements of one Graph notification; returns how many were genuine."""
        with self.store.reading() as tx:
            found = tx.channels.by_provider_ids(tuple({item.subscription_id for item in items}))
        rows = {
            row.channel.provider_channel_id: row for row in found if row.channel and row.provider_kind == "microsoft"
        }
        genuine = [(rows[i.subscription_id], i) for i in items if i.subscription_id in rows]
        genuine = [(row, item) for row, item in genuine if self._genuine(row, item.client_state)]
        for row in {row.id: row for row, _ in genuine}.values():
            self._mark(row, None, changed=True)
        for row, item in genuine:
            if item.lifecycle_event in {"reauthorizationRequired", "subscriptionRemoved"}:
                self._reopen(row, gone=item.lifecycle_event == "subscriptionRemoved")
        return len(genuine)

    def expects_validation(self) -> bool:
        """Return whether a subscription of ours is being made now: only then is a validation request expected."""
        with self.store.reading() as tx:
            return tx.channels.any_creating("microsoft", self.clock() - CREATING_TAKES)

    def _google_channel(self, channel_id: str) -> ChannelRow | None:
        try:
            key = UUID(channel_id)
        except ValueError:
            return None
        with self.store.reading() as tx:
            row = tx.channels.get(key)
        return row if row is not None and row.provider_kind == "google" else None

    def _genuine(self, row: ChannelRow, token: str) -> bool:
        return hmac.compare_digest(self.sealer.keyed_hash("channel_token", token), row.token_hash)

    def _mark(self, row: ChannelRow, message_number: int | None, *, changed: bool) -> None:
        now = self.clock()
        with self.store.transaction() as tx:
            tx.channels.seen(row.id, message_number, now)
            if changed:
                tx.calendars.request_sync(row.calendar_id, now)
        if changed:
            self.nudge.sync_calendar(row.calendar_id)

    def _reopen(self, row: ChannelRow, *, gone: bool) -> None:
        with self.store.transaction() as tx:
            if gone:
                tx.channels.delete(row.id)
            tx.channels.due_now(row.calendar_id)
        self.nudge.open_channel(row.calendar_id)
