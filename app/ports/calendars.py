"""What the use cases need from the store: calendars, events and occurrences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from app.domain.calendars import (
    FREE_BUSY,
    CalendarListing,
    Occurrence,
    RemoteEvent,
    Series,
    Window,
)


@dataclass(frozen=True, slots=True)
class CalendarRow:
    """A stored calendar with its sync state, as pages and services see it."""

    id: UUID
    connection_id: UUID
    person_id: UUID
    provider: str
    provider_id: str
    name: str
    time_zone: str | None
    access_role: str
    is_primary: bool
    last_success_at: datetime | None
    """Null until the first sync has been committed."""
    last_error: str | None
    event_count: int

    @property
    def is_times_only(self) -> bool:
        """Return whether the calendar shows when it is busy and nothing else."""
        return self.access_role == FREE_BUSY


@dataclass(frozen=True, slots=True)
class SyncRun:
    """A leased sync run of one calendar."""

    calendar: CalendarRow
    cursor: str | None
    cursor_version: int
    """Compare-and-set guard: raised with every committed cursor."""
    window: Window | None
    """The window the cursor was made for; null when there is no cursor."""
    generation: int
    requested: int
    """Dirty counter as read; committing stores it as completed."""
    epoch: int = 0
    """Which lease this is: what ran under an older one changes nothing any more."""
    failures: int = 0
    """Runs that failed in a row before this one."""


@dataclass(frozen=True, slots=True)
class AppliedChanges:
    """What one sync round brings into the store, all of it in one transaction."""

    events: tuple[RemoteEvent, ...]
    """Deduplicated, last version of each."""
    removed: tuple[str, ...]
    series: tuple[tuple[str, tuple[Occurrence, ...]], ...]
    """Series id (or id of a single event) to its full set of occurrences in the window; replaces the stored set."""
    cursor: str
    window: Window
    full: bool
    """A full pass: rows not seen in it are swept."""
    expanded_by_provider: bool = False
    """Whether the provider expands series: then "removed" means "not in this view", never "cancelled"."""
    lost_exceptions: tuple[str, ...] = ()
    """Those of ``removed`` that are exceptions of an instance their series has no more: no cancelled instance."""


class CalendarStore(Protocol):
    """Calendars, sync state, events and occurrences."""

    def of_connection(self, connection_id: UUID) -> tuple[CalendarRow, ...]:
        """Return a connection's calendars that are not removed, the primary one first."""

    def of_person(self, person_id: UUID) -> tuple[CalendarRow, ...]:
        """Return the calendars of all of a person's connections."""

    def get(self, calendar_id: UUID) -> CalendarRow | None:
        """Return one calendar that is not removed."""

    def list_cursor(self, connection_id: UUID) -> str | None:
        """Return where the next reading of the calendar list starts; null when the whole list is wanted."""

    def merge_list(
        self, connection_id: UUID, listing: CalendarListing, read_from: str | None, now: datetime
    ) -> tuple[UUID, ...] | None:
        """Bring the stored list in line with the provider's; returns the ids to sync for the first time.

        ``read_from`` is the stored cursor as it was before the reading: when it has changed since, somebody else was
        quicker, and null is returned. So it is for a disconnected connection.
        Calendars that vanished, that the person left out, or that show other things than before (details or times
        only) lose their events; the rest get a sync state that is due now, those with details a due channel as well.
        """

    def select(self, calendar_id: UUID, *, is_selected: bool, now: datetime) -> bool:
        """Store whether the person wants a calendar synced; returns whether it is to be synced for the first time.

        One that is not wanted loses its events and its channels.
        """

    def request_sync(self, calendar_id: UUID, due_at: datetime) -> None:
        """Raise the dirty counter and make the calendar due."""

    def claim_due(self, now: datetime, hold_until: datetime, limit: int) -> tuple[UUID, ...]:
        """Claim calendars of active connections whose sync is due."""

    def lease(self, calendar_id: UUID, owner: str, lease_s: float, *, due_by: datetime | None = None) -> SyncRun | None:
        """Take the sync lease by the database clock; null when held, gone, or the connection is not active.

        With ``due_by`` also null when the calendar is not due by then.
        """

    def series(self, calendar_id: UUID, series_ids: Sequence[str]) -> tuple[Series, ...]:
        """Return what is stored of ``series_ids``, for expansion: masters, exceptions, exceptions without a master."""

    def series_of(self, calendar_id: UUID, provider_ids: Sequence[str]) -> Mapping[str, str]:
        """Return, for stored exceptions among ``provider_ids``, the id of their series."""

    def apply(self, run: SyncRun, owner: str, changes: AppliedChanges, now: datetime) -> bool:
        """Write everything of one round if cursor version and lease are still ours; returns whether they were.

        Upserts, tombstones with cascades, occurrences, sweep on a full pass, cursor, completed counter.
        """

    def extend(self, run: SyncRun, owner: str, lease_s: float) -> bool:
        """Prolong the lease of a run that is getting on; returns whether it is still ours."""

    def finish(
        self, run: SyncRun, owner: str, *, next_at: datetime, error: str | None, drop_cursor: bool, now: datetime
    ) -> bool:
        """Give the lease back; returns whether more was requested meanwhile (then it is due again at once).

        After an ``error`` it is due at ``next_at`` in any case: a failing provider is not hurried.
        """

    def agenda(self, person_id: UUID, window: Window, limit: int) -> tuple[AgendaItem, ...]:
        """Return a person's occurrences in the window across accounts, in order of time.

        All-day items count by the dates the window covers in the person's own zone.
        """


@dataclass(frozen=True, slots=True)
class AgendaItem:
    """One line of a person's agenda."""

    occurrence: Occurrence
    summary: str | None
    location: str | None
    status: str
    privacy: str
    html_link: str | None
    calendar_name: str
    provider: str
    account_email: str | None
    is_recurring: bool
