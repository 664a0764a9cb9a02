"""Read a connection's calendar list and bring the stored one in line with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from app.domain.calendars import RemoteCalendar
from app.domain.connections import reads_calendars
from app.domain.errors import AccessTokenRejected, ProviderUnavailable, UnknownConnection
from app.domain.people import UNKNOWN_ZONE
from app.domain.secret import Secret
from app.ports import CalendarProvider, Clock, Nudge, Providers, Spread, Store, Transaction
from app.services.access_tokens import AccessTokens

LIST_INTERVAL = timedelta(minutes=15)
"""Calendars are seldom made or removed; providers do not push their list to us."""

RETRY_AFTER = timedelta(seconds=30)
"""A reading that fails, or dies, is due again after this."""


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
        """Read the list and return how many calendars are new; each of those is due at once.

        ``only_due``: do nothing when it is not due (any more), so that a hint that comes twice makes no second call.
        Raises what ``AccessTokens.get`` and the provider raise; the claim then makes it due again later.
        """
        with self.store.reading() as tx:
            connection = tx.connections.get(connection_id)
        if connection is None:
            raise UnknownConnection
        if only_due and not self._take(connection_id):
            return 0
        calendars = self.providers.get(connection.provider).calendars
        if calendars is None or not reads_calendars(connection.features()):
            remote: tuple[RemoteCalendar, ...] = ()
        else:
            remote = self._fetch(connection_id, calendars)
            if not remote:
                # Every account has a calendar; an empty answer must not delete what is stored.
                raise ProviderUnavailable("empty_calendar_list")
        now = self.clock()
        with self.store.transaction() as tx:
            new = tx.calendars.merge_list(connection_id, remote, now)
            _adopt_time_zone(tx, connection.person_id, remote)
            tx.connections.calendars_listed(connection_id, now, now + LIST_INTERVAL * (0.75 + 0.5 * self.spread()))
        for calendar_id in new:
            self.nudge.sync_calendar(calendar_id)
        return len(new)

    def _take(self, connection_id: UUID) -> bool:
        now = self.clock()
        with self.store.transaction() as tx:
            return tx.connections.take_calendar_list(connection_id, now, now + RETRY_AFTER)

    def _fetch(self, connection_id: UUID, calendars: CalendarProvider) -> tuple[RemoteCalendar, ...]:
        """Fetch the list; a rejected token is renewed once."""
        token = self.access_tokens.get(connection_id).token
        try:
            return calendars.list_calendars(token)
        except AccessTokenRejected:
            return calendars.list_calendars(self._renewed(connection_id, token))

    def _renewed(self, connection_id: UUID, rejected: Secret) -> Secret:
        return self.access_tokens.get(connection_id, rejected_sha256=rejected.sha256()).token


def _adopt_time_zone(tx: Transaction, person_id: UUID, remote: tuple[RemoteCalendar, ...]) -> None:
    """Show a person times in the zone of their main calendar, as long as nothing else is known."""
    person = tx.people.get(person_id)
    zone = next((calendar.time_zone for calendar in remote if calendar.is_primary and calendar.time_zone), None)
    if person is not None and zone is not None and person.time_zone == UNKNOWN_ZONE:
        tx.people.set_time_zone(person_id, zone)
