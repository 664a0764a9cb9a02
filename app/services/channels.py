"""Push channels: written down before they are asked for, renewed before they end, stopped when not needed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar
from uuid import UUID, uuid4

from app.domain.calendars import Channel
from app.domain.channels import ABANDONED_AFTER, OVERLAP, renew_at, retry_in, stop_again_in
from app.domain.errors import AccessTokenRejected, LatchkeyError, PushNotSupported, UnknownCalendar
from app.domain.secret import Secret
from app.ports import CalendarProvider, CalendarRow, ChannelRow, Clock, Nudge, Providers, Spread, Store
from app.services.access_tokens import WORK_VALIDITY_S, AccessTokens
from app.services.channel_tokens import ChannelTokens
from app.services.due_work import HOLD

ATTEMPT = timedelta(seconds=120)
"""How long one attempt to open a channel has the calendar to itself; far longer than the tick's hold."""

STOP_ALL_S = 10.0
"""How long a person who disconnects waits for channels to be stopped."""

STOP_VALIDITY_S = 5.0
"""What a token must be good for to stop a channel: a person who disconnects waits for no refresh."""

STOPS_A_TICK = 20
SWEEP = 500
"""Rows that one tick deals with at most; the next one goes on."""

T = TypeVar("T")


@dataclass(frozen=True)
class Channels:
    """Keeps one push channel per calendar."""

    store: Store
    providers: Providers
    access_tokens: AccessTokens
    tokens: ChannelTokens
    nudge: Nudge
    clock: Clock
    spread: Spread
    public_url: str
    push_enabled: bool

    def open(self, calendar_id: UUID, *, only_due: bool = False) -> None:
        """Make, or renew, the channel of a calendar; a calendar that cannot be watched is left to polling.

        ``only_due``: do nothing when it is not due (any more), so that a hint that comes twice makes no second channel.
        Raises what ``AccessTokens.get`` and the provider raise, after the next attempt has been written down.
        """
        with self.store.reading() as tx:
            row = tx.calendars.get(calendar_id)
        if row is None:
            raise UnknownCalendar
        calendars = self.providers.get(row.provider).calendars
        if calendars is None or not self.push_enabled:
            return
        now = self.clock()
        with self.store.transaction() as tx:
            failures = tx.channels.take(calendar_id, now + HOLD if only_due else None, now + ATTEMPT)
        if failures is not None:
            self._bring(calendars, row, failures)

    def tend(self) -> int:
        """Drop what has ended, and stop what is not needed at the provider; returns how many were to be stopped."""
        now = self.clock()
        with self.store.transaction() as tx:
            tx.channels.tidy(now, now - ABANDONED_AFTER, SWEEP)
        with self.store.transaction() as tx:
            tx.channels.retire_unwanted(now, SWEEP)
        with self.store.transaction() as tx:
            rows = tx.channels.claim_stops(now, now + ATTEMPT, STOPS_A_TICK)
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

    def _bring(self, calendars: CalendarProvider, row: CalendarRow, failures: int) -> None:
        """Renew the open channel, or make one. A failure leaves the open one as it is, and waits."""
        with self.store.reading() as tx:
            known = tx.channels.of_calendar(row.id)
        now, made, opened = self.clock(), None, None
        try:
            usable = [one for one in known if one.state == "active" and one.channel and one.channel.expires_at > now]
            if not (usable and self._renewed(calendars, row, usable[0])):
                made = self._written_down(row)
                opened = self._asked_for(calendars, row, made)
        except PushNotSupported:
            self._failed(row, made, None)
        except LatchkeyError:
            self._failed(row, made, retry_in(failures, self.spread()))
            raise
        if made is not None and opened is not None:
            self._begin(calendars, row, made, opened)

    def _failed(self, row: CalendarRow, made: UUID | None, wait: timedelta | None) -> None:
        with self.store.transaction() as tx:
            tx.channels.fail(row.id, made, None if wait is None else self.clock() + wait)

    def _renewed(self, calendars: CalendarProvider, row: CalendarRow, known: ChannelRow) -> bool:
        """Prolong a channel; false when the provider cannot, or does not know it any more."""
        channel = known.channel
        if channel is None:
            return False
        prolonged = self._with_token(row.connection_id, lambda token: calendars.renew(token, channel))
        return prolonged is not None and self._activated(row, known.id, prolonged)

    def _written_down(self, row: CalendarRow) -> UUID:
        channel_id = uuid4()
        with self.store.transaction() as tx:
            tx.channels.add(channel_id, row.id, self.clock())
        return channel_id

    def _asked_for(self, calendars: CalendarProvider, row: CalendarRow, channel_id: UUID) -> Channel:
        secret = self.tokens.issue(channel_id)
        address = f"{self.public_url}/hooks/{self.providers.get(row.provider).kind}"
        return self._with_token(
            row.connection_id,
            lambda token: calendars.watch(token, row.provider_id, str(channel_id), secret, address),
        )

    def _begin(self, calendars: CalendarProvider, row: CalendarRow, channel_id: UUID, channel: Channel) -> None:
        if not self._activated(row, channel_id, channel):
            # The calendar was given up while the provider answered: nobody would stop it later.
            self._with_token(row.connection_id, lambda token: calendars.stop(token, channel))
            return
        self._proved(row, channel_id)
        # A change between the last sync and the first notification would wait for the next poll.
        with self.store.transaction() as tx:
            tx.calendars.request_sync(row.id, self.clock())
        self.nudge.sync_calendar(row.id)

    def _activated(self, row: CalendarRow, channel_id: UUID, channel: Channel) -> bool:
        now, kind = self.clock(), self.providers.get(row.provider).kind
        due_at = renew_at(kind, now, channel.expires_at, self.spread())
        with self.store.transaction() as tx:
            return tx.channels.activate(channel_id, channel, due_at, now, now + OVERLAP)

    def _proved(self, row: CalendarRow, channel_id: UUID) -> None:
        """Note that notifications arrive: Graph has called us before it answered, Google sends a first message."""
        if self.providers.get(row.provider).kind == "microsoft":
            with self.store.transaction() as tx:
                tx.channels.seen(channel_id, None, self.clock())

    def _stop(self, row: ChannelRow) -> None:
        """Stop a channel at the provider and forget it; one that cannot be stopped is tried again a few times."""
        wait: timedelta | None = None
        try:
            calendars, channel = self.providers.get(row.provider).calendars, row.channel
            if calendars is not None and channel is not None:
                self._with_token(row.connection_id, lambda token: calendars.stop(token, channel), STOP_VALIDITY_S)
        except LatchkeyError:
            wait = stop_again_in(row.stop_attempts + 1, self.spread())
        with self.store.transaction() as tx:
            if wait is None:
                tx.channels.delete(row.id)
            else:
                tx.channels.stop_later(row.id, self.clock() + wait)

    def _with_token(self, connection_id: UUID, call: Callable[[Secret], T], validity_s: float = WORK_VALIDITY_S) -> T:
        """Call the provider; a rejected token is renewed once."""
        token = self.access_tokens.get(connection_id, validity_s).token
        try:
            return call(token)
        except AccessTokenRejected:
            return call(self.access_tokens.get(connection_id, validity_s, rejected_sha256=token.sha256()).token)
