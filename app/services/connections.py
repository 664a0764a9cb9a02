"""What a person sees of their connections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.domain.calendars import Window
from app.domain.connections import Connection, Status, reads_busy_times
from app.domain.errors import UnknownConnection, UnknownProvider
from app.ports import AgendaItem, CalendarRow, Provider, Providers, Store

HISTORY_LENGTH = 20


@dataclass(frozen=True, slots=True)
class ConnectionView:
    """One connection with everything its page shows."""

    connection: Connection
    provider_name: str
    calendars: tuple[CalendarRow, ...]
    is_syncing: bool
    """Whether the first read of the list or of any calendar is still to come."""
    history: tuple[tuple[datetime, str, Mapping[str, str]], ...]
    account_page: str | None
    """Where the provider shows the person this application's access."""


@dataclass(frozen=True)
class Connections:
    """Reads for pages."""

    store: Store
    providers: Providers

    def of_person(self, person_id: UUID) -> tuple[ConnectionView, ...]:
        """Return all of a person's connections, oldest first."""
        with self.store.reading() as tx:
            found = tx.connections.of_person(person_id)
        return tuple(self._view(connection) for connection in found)

    def get(self, person_id: UUID, connection_id: UUID) -> ConnectionView:
        """Return one connection of this person; a stranger's raises ``UnknownConnection`` like a missing one."""
        with self.store.reading() as tx:
            found = tx.connections.get(connection_id)
        if found is None or found.person_id != person_id or found.status is Status.DISCONNECTED:
            raise UnknownConnection
        return self._view(found)

    def _view(self, connection: Connection) -> ConnectionView:
        with self.store.reading() as tx:
            calendars = tx.calendars.of_connection(connection.id)
            history = tx.audit.of_connection(connection.id, HISTORY_LENGTH)
        provider = self._provider(connection.provider)
        if provider is None:
            return ConnectionView(connection, connection.provider, calendars, False, history, None)  # noqa: FBT003  # is_syncing
        reads = provider.calendars is not None and reads_busy_times(connection.features())
        unread = connection.calendars_listed_at is None or any(_waits(row) for row in calendars)
        is_syncing = reads and unread and connection.status is Status.ACTIVE
        return ConnectionView(
            connection, provider.display_name, calendars, is_syncing, history, provider.account_page()
        )

    def _provider(self, key: str) -> Provider | None:
        """Return the provider; null when the operator has taken it out of the configuration."""
        try:
            return self.providers.get(key)
        except UnknownProvider:
            return None


def _waits(row: CalendarRow) -> bool:
    """Return whether a calendar's first read is still to come and nothing has gone wrong with it."""
    is_wanted = row.is_selected and row.paused_at is None
    return is_wanted and row.last_success_at is None and row.last_error is None


@dataclass(frozen=True)
class Agenda:
    """A person's time across all accounts."""

    store: Store

    def of_person(self, person_id: UUID, window: Window, limit: int) -> tuple[AgendaItem, ...]:
        """Return the occurrences in ``window``, in order of time, at most ``limit``."""
        with self.store.reading() as tx:
            return tx.calendars.agenda(person_id, window, limit)
