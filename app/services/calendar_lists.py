"""Read a connection's calendar list and bring the stored one in line with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from app.domain.calendars import FREE_BUSY, CalendarListing, RemoteCalendar
from app.domain.connections import Connection, reads_busy_times, reads_calendars
from app.domain.errors import (
    AccessTokenRejected,
    CursorExpired,
    ProviderUnavailable,
    UnknownCalendar,
    UnknownConnection,
)
from app.domain.people import UNKNOWN_ZONE
from app.domain.secret import Secret
from app.ports import CalendarProvider, Clock, Nudge, Providers, Spread, Store, Transaction
from app.services.access_tokens import AccessTokens

LIST_INTERVAL = timedelta(minutes=15)
"""Calendars are seldom made or removed; providers do not push their list to us."""

RETRY_AFTER = timedelta(seconds=30)
"""A reading that fails, or dies, is due again after this."""

NOTHING = CalendarListing(())


@dataclass(frozen=True)
class CalendarLists:
    """Keeps the list of calendars of each connection."""

    store: Store
    providers: Providers
    access_tokens: AccessTokens
    nudge: Nudge
    clock: Clock
    spread: Spread

    def read(self, connection_id: UUID, *, only_due: bool = False) -> int:
        """Read the list, or what changed in it, and return how many calendars are new; each of those is due at once.

        ``only_due``: do nothing when it is not due (any more), so that a hint that comes twice makes no second call.
        Raises what ``AccessTokens.get`` and the provider raise; the claim then makes it due again later.
        """
        with self.store.reading() as tx:
            connection, read_from = tx.connections.get(connection_id), tx.calendars.list_cursor(connection_id)
        if connection is None:
            raise UnknownConnection
        if only_due and not self._take(connection_id):
            return 0
        listing = self._listing(connection, read_from)
        now = self.clock()
        with self.store.transaction() as tx:
            new = tx.calendars.merge_list(connection_id, listing, read_from, now)
            if new is None:
                return 0
            _adopt_time_zone(tx, connection.person_id, listing.calendars)
            tx.connections.calendars_listed(connection_id, now, now + LIST_INTERVAL * (0.75 + 0.5 * self.spread()))
        for calendar_id in new:
            self.nudge.sync_calendar(calendar_id)
        return len(new)

    def select(self, calendar_id: UUID, *, is_selected: bool) -> None:
        """Sync a calendar, or keep nothing of it any more, as the person chose. Raises ``UnknownCalendar``."""
        with self.store.transaction() as tx:
            if tx.calendars.get(calendar_id) is None:
                raise UnknownCalendar
            is_new = tx.calendars.select(calendar_id, is_selected=is_selected, now=self.clock())
        if is_new:
            self.nudge.sync_calendar(calendar_id)

    def _take(self, connection_id: UUID) -> bool:
        now = self.clock()
        with self.store.transaction() as tx:
            return tx.connections.take_calendar_list(connection_id, now, now + RETRY_AFTER)

    def _listing(self, connection: Connection, read_from: str | None) -> CalendarListing:
        """Fetch the list as far as this connection may show it: with details, or when it is busy alone."""
        calendars, features = self.providers.get(connection.provider).calendars, connection.features()
        if calendars is None or not reads_busy_times(features):
            return NOTHING
        # What was read with other rights says nothing of what these show.
        scope = "details:" if reads_calendars(features) else "times:"
        cursor = read_from.removeprefix(scope) if read_from is not None and read_from.startswith(scope) else None
        listing = self._fetch(connection.id, calendars, cursor)
        if listing.is_full and not listing.calendars:
            # Every account has a calendar; an empty answer must not delete what is stored.
            raise ProviderUnavailable("empty_calendar_list")
        if not reads_calendars(features):
            times_only = tuple(replace(calendar, access_role=FREE_BUSY) for calendar in listing.calendars)
            listing = replace(listing, calendars=times_only)
        return replace(listing, cursor=None if listing.cursor is None else scope + listing.cursor)

    def _fetch(self, connection_id: UUID, calendars: CalendarProvider, cursor: str | None) -> CalendarListing:
        """Fetch what changed; a rejected token is renewed once, a forgotten cursor gives way to the whole list."""
        token = self.access_tokens.get(connection_id).token
        try:
            return _since(calendars, token, cursor)
        except AccessTokenRejected:
            fresh = self.access_tokens.get(connection_id, rejected_sha256=token.sha256()).token
            return _since(calendars, fresh, cursor)


def _since(calendars: CalendarProvider, token: Secret, cursor: str | None) -> CalendarListing:
    try:
        return calendars.list_calendars(token, cursor)
    except CursorExpired:
        if cursor is None:
            raise
        return calendars.list_calendars(token)


def _adopt_time_zone(tx: Transaction, person_id: UUID, remote: tuple[RemoteCalendar, ...]) -> None:
    """Show a person times in the zone of their main calendar, as long as nothing else is known."""
    person = tx.people.get(person_id)
    zone = next((calendar.time_zone for calendar in remote if calendar.is_primary and calendar.time_zone), None)
    if person is not None and zone is not None and person.time_zone == UNKNOWN_ZONE:
        tx.people.set_time_zone(person_id, zone)
