"""What the use cases need from the store: calendars, events and occurrences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from app.domain.calendars import (
    FREE_BUSY,
    CalendarListing,
    Occurrence,
    Series,
    Window,
)
from app.ports.staging import Differences, Tally


@dataclass(frozen=True, slots=True)
class SyncProgress:
    """How far a run has come, for people who wait for it."""

    started_at: datetime
    """By the database's clock."""
    is_full: bool | None
    """Whether everything is read; null until that is known."""
    pages: int
    items: int


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
    is_selected: bool = True
    """The person's choice; what is not selected is neither synced nor kept."""
    paused_at: datetime | None = None
    """Since when it is kept and not synced; null when it is synced."""
    progress: SyncProgress | None = None
    """The run under way; null when there is none."""

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
    is_asked_for: bool = False
    """Whether somebody asked for it: a notification, a person, or the beginning of the calendar."""
    last_change_at: datetime | None = None
    """When a round last changed anything; null for never."""
    has_channel: bool = False
    """Whether the provider promises to notify us of changes."""
    expander_version: str | None = None
    """What expanded the stored series; null when the provider did, or there is no cursor."""


@dataclass(frozen=True, slots=True)
class WindowState:
    """What the stored occurrences of a calendar span."""

    window: Window
    epoch: int
    """Of the last lease."""


@dataclass(frozen=True, slots=True)
class SyncRound:
    """A staged round, ready to be applied in one transaction."""

    cursor: str
    window: Window
    staged: Tally
    """What must be there: staged rows do not survive a crash of the database."""
    full: bool
    """A full pass: what is not in it is gone."""
    whole_window: bool = False
    """Whether the staged occurrences are those of the whole calendar; those of a full pass always are."""
    expanded_by_provider: bool = False
    """Whether the provider expands series: then the staged exceptions of a series are all it has."""
    check_at: datetime | None = None
    """When to compare the calendar with the provider's, should that not be planned."""
    expander_version: str | None = None
    """What expanded the staged series; null when the provider did."""

    @property
    def replaces_all(self) -> bool:
        """Return whether every occurrence of the calendar is replaced."""
        return self.full or self.whole_window

    @property
    def is_empty(self) -> bool:
        """Return whether there is nothing but a new cursor."""
        return not self.replaces_all and self.staged == Tally()


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
        """Claim calendars whose sync is due, longest due first, of active connections that are not busy enough."""

    def lease(self, calendar_id: UUID, owner: str, lease_s: float, *, due_by: datetime | None = None) -> SyncRun | None:
        """Take the sync lease by the database clock.

        Null when held, gone, paused, when the connection is not active, or has enough runs under way; with ``due_by``
        also when the calendar is not due by then.
        """

    def put_off(self, run: SyncRun, owner: str, until: datetime) -> None:
        """Give the lease back unused; the calendar stays due and is not claimed before ``until``."""

    def free_leases_of_the_dead(self, silent_s: float, settled_s: float, now: datetime) -> tuple[UUID, ...]:
        """Free the leases of processes that died and make their calendars due; returns those.

        Dead is who holds no lock and was not heard of for ``silent_s`` seconds; nobody is while the database server
        is up for less than ``settled_s`` seconds.
        """

    def window_of(self, calendar_id: UUID) -> WindowState | None:
        """Return what the stored occurrences span, and under which lease; null before the first sync."""

    def pause(self, calendar_id: UUID, at: datetime | None) -> None:
        """Let a calendar rest as it is from ``at`` on; null ends that, and makes it due."""

    def claim_checks(self, now: datetime, retry_at: datetime, limit: int) -> tuple[UUID, ...]:
        """Claim calendars that are due to be compared with the provider's; due again at ``retry_at``."""

    def checked(self, calendar_id: UUID, found: Differences, next_at: datetime, now: datetime) -> None:
        """Write down what a comparison has found, if anything; the next one is at ``next_at``.

        Where something was found the cursor is dropped and the calendar due: a full pass mends it.
        """

    def series(self, calendar_id: UUID, series_ids: Sequence[str]) -> tuple[Series, ...]:
        """Return what is stored of ``series_ids``, for expansion: masters, exceptions, exceptions without a master."""

    def apply(self, run: SyncRun, owner: str, brought: SyncRound, now: datetime) -> int | None:
        """Write everything of a staged round and return how many changes readers see.

        Null, and nothing is written, when cursor version or lease are not ours any more or staged rows are missing.
        Upserts, tombstones with cascades, occurrences, sweep on a full pass, changes, cursor, completed counter.
        """

    def progress(self, run: SyncRun, owner: str, lease_s: float, *, is_full: bool, pages: int, items: int) -> bool:
        """Say how far a run has come and prolong its lease; returns whether it is still ours."""

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
