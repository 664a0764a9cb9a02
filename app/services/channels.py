"""Push channels: written down before they are asked for, renewed before they end, stopped when not needed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from app.domain.calendars import Channel
from app.domain.errors import LatchkeyError, ProviderError, PushNotSupported, UnknownCalendar
from app.domain.secret import Secret
from app.ports import CalendarProvider, CalendarRow, ChannelRow, Clock, Nudge, Providers, Sealer, Spread, Store
from app.services.access_tokens import AccessTokens
from app.services.due_work import HOLD

RETRY_AFTER = timedelta(minutes=5)
ATTEMPT = timedelta(seconds=120)
"""How long one attempt to open a channel has the calendar to itself; far longer than the tick's hold."""

STOP_ALL_S = 10.0
"""How long a person who disconnects waits for channels to be stopped."""

RENEW_AT_SHARE = 0.75
"""A channel is renewed when this share of its life is over; the old one keeps serving meanwhile."""


@dataclass(frozen=True)
class Channels:
    """Keeps one push channel per calendar."""

    store: Store
    providers: Providers
    access_tokens: AccessTokens
    sealer: Sealer
    nudge: Nudge
    clock: Clock
    spread: Spread
    public_url: str
    push_enabled: bool

    def token_for(self, channel_id: UUID) -> Secret:
        """Return the token a channel's notifications carry: derived, so that nothing secret is stored."""
        return Secret(self.sealer.keyed_hash("channel", str(channel_id)).hex())

    def open(self, calendar_id: UUID, *, only_due: bool = False) -> None:
        """Make, or renew, the channel of a calendar; a calendar that cannot be watched is left to polling.

        ``only_due``: do nothing when it is not due (any more), so that a hint that comes twice makes no second channel.
        """
        with self.store.reading() as tx:
            row = tx.calendars.get(calendar_id)
            known = tx.channels.of_calendar(calendar_id)
        if row is None:
            raise UnknownCalendar
        calendars = self.providers.get(row.provider).calendars
        if calendars is None or not self.push_enabled or (only_due and not self._take(calendar_id)):
            return
        token = self.access_tokens.get(row.connection_id).token
        active = next((c for c in known if c.state == "active"), None)
        if not (active and self._renewed(calendars, token, active)):
            self._create(calendars, token, row)

    def _take(self, calendar_id: UUID) -> bool:
        now = self.clock()
        with self.store.transaction() as tx:
            return tx.channels.take(calendar_id, now + HOLD, now + ATTEMPT)

    def stop_pending(self, limit: int = 20) -> int:
        """Stop channels that were replaced; returns how many were dealt with."""
        with self.store.reading() as tx:
            rows = tx.channels.stopping(limit)
        for row in rows:
            self._stop(row)
        return len(rows)

    def stop_all(self, connection_id: UUID) -> None:
        """Stop every channel of a connection, best effort: what cannot be stopped runs out by itself."""
        with self.store.reading() as tx:
            rows = tx.channels.of_connection(connection_id)
        give_up_at = time.monotonic() + STOP_ALL_S
        for row in rows:
            if time.monotonic() < give_up_at:
                self._stop(row)

    def _renewed(self, calendars: CalendarProvider, token: Secret, row: ChannelRow) -> bool:
        if row.channel is None:
            return False
        try:
            channel = calendars.renew(token, row.channel)
        except ProviderError:
            return False
        if channel is None:
            return False
        self._activate(row.id, channel)
        return True

    def _create(self, calendars: CalendarProvider, token: Secret, row: CalendarRow) -> None:
        channel_id, now = uuid4(), self.clock()
        secret = self.token_for(channel_id)
        with self.store.transaction() as tx:
            tx.channels.add(channel_id, row.id, self.sealer.keyed_hash("channel_token", secret.reveal()), now)
        address = f"{self.public_url}/hooks/{self.providers.get(row.provider).kind}"
        try:
            channel = calendars.watch(token, row.provider_id, str(channel_id), secret, address)
        except LatchkeyError as error:
            retry_at = None if isinstance(error, PushNotSupported) else now + RETRY_AFTER
            with self.store.transaction() as tx:
                tx.channels.fail(row.id, channel_id, retry_at)
            if not isinstance(error, PushNotSupported):
                raise
            return
        self._activate(channel_id, channel)
        # A change between the last sync and the first notification would wait for the next poll.
        with self.store.transaction() as tx:
            tx.calendars.request_sync(row.id, now)
        self.nudge.sync_calendar(row.id)

    def _activate(self, channel_id: UUID, channel: Channel) -> None:
        now = self.clock()
        with self.store.transaction() as tx:
            tx.channels.activate(channel_id, channel, renew_at(now, channel.expires_at, self.spread()), now)

    def _stop(self, row: ChannelRow) -> None:
        try:
            calendars = self.providers.get(row.provider).calendars
            if calendars is not None and row.channel is not None:
                calendars.stop(self.access_tokens.get(row.connection_id, 5).token, row.channel)
        except LatchkeyError:
            # Its notifications find no row any more and change nothing.
            pass
        with self.store.transaction() as tx:
            tx.channels.delete(row.id)


def renew_at(now: datetime, expires_at: datetime, spread: float) -> datetime:
    """Return when to renew: at three quarters of the life, up to a tenth earlier so that renewals spread."""
    return now + (expires_at - now) * (RENEW_AT_SHARE - 0.1 * spread)
