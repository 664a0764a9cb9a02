"""Calendars and their sync state, as the use cases see them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, case, func, select, update

from app.domain.calendars import CalendarListing, Series, Window
from app.ports import AgendaItem, CalendarRow, Differences, SyncRound, SyncRun, WindowState
from app.store import agenda, calendar_lists, checks, events
from app.store.calendar_rows import SELECT_CALENDARS, read_calendar
from app.store.channel_news import take_all_news
from app.store.schema import calendars, connections, sync_states
from app.store.sync_claims import claim_syncs, free_dead_leases
from app.store.sync_runs import SyncRuns

_S = sync_states.c


class PostgresCalendars:
    """Implements ``ports.CalendarStore``."""

    def __init__(self, connection: Connection) -> None:
        """Work on ``connection``."""
        self._connection = connection

    def of_connection(self, connection_id: UUID) -> tuple[CalendarRow, ...]:
        """Return a connection's calendars that are not removed, the primary one first."""
        rows = self._connection.execute(SELECT_CALENDARS.where(calendars.c.connection_id == connection_id))
        return tuple(read_calendar(row) for row in rows)

    def of_person(self, person_id: UUID) -> tuple[CalendarRow, ...]:
        """Return the calendars of all of a person's connections."""
        rows = self._connection.execute(SELECT_CALENDARS.where(connections.c.person_id == person_id))
        return tuple(read_calendar(row) for row in rows)

    def get(self, calendar_id: UUID) -> CalendarRow | None:
        """Return one calendar that is not removed; null otherwise."""
        row = self._connection.execute(SELECT_CALENDARS.where(calendars.c.id == calendar_id)).first()
        return None if row is None else read_calendar(row)

    def list_cursor(self, connection_id: UUID) -> str | None:
        """Return where the next reading of the calendar list starts; null when the whole list is wanted."""
        return calendar_lists.read_cursor(self._connection, connection_id)

    def merge_list(
        self, connection_id: UUID, listing: CalendarListing, read_from: str | None, now: datetime
    ) -> tuple[UUID, ...] | None:
        """Bring the stored list in line with the provider's; returns the ids to sync for the first time.

        Null when somebody else read the list meanwhile, or the connection is none any more.
        """
        return calendar_lists.merge(self._connection, connection_id, listing, read_from, now)

    def select(self, calendar_id: UUID, *, is_selected: bool, now: datetime) -> bool:
        """Store whether the person wants a calendar synced; returns whether it is to be synced for the first time."""
        return calendar_lists.choose(self._connection, calendar_id, is_selected=is_selected, now=now)

    def request_sync(self, calendar_id: UUID, due_at: datetime) -> None:
        """Raise the dirty counter and make the calendar due; one that is due sooner stays so.

        A calendar whose last run failed keeps its waiting time: a provider that asked for it is not hurried.
        """
        due = case((_S.failures > 0, _S.due_at), else_=func.least(_S.due_at, due_at))
        self._connection.execute(
            update(sync_states).where(_S.calendar_id == calendar_id).values(requested=_S.requested + 1, due_at=due)
        )

    def claim_due(self, now: datetime, hold_until: datetime, limit: int) -> tuple[UUID, ...]:
        """Claim calendars whose sync is due, longest due first, as many of each connection as may run at a time."""
        take_all_news(self._connection, limit)
        return claim_syncs(self._connection, now, hold_until, limit)

    def lease(self, calendar_id: UUID, owner: str, lease_s: float, *, due_by: datetime | None = None) -> SyncRun | None:
        """Take the sync lease by the database clock; null when held, gone, not due, or the connection is not active."""
        return SyncRuns(self._connection).lease(calendar_id, owner, lease_s, due_by=due_by)

    def series(self, calendar_id: UUID, series_ids: Sequence[str]) -> tuple[Series, ...]:
        """Return stored masters among ``series_ids`` with all their exceptions, for expansion."""
        return events.read_series(self._connection, calendar_id, series_ids)

    def apply(self, run: SyncRun, owner: str, brought: SyncRound, now: datetime) -> int | None:
        """Write everything of a staged round and return how many changes readers see; null when that may not be."""
        return SyncRuns(self._connection).apply(run, owner, brought, now)

    def progress(self, run: SyncRun, owner: str, lease_s: float, *, is_full: bool, pages: int, items: int) -> bool:
        """Say how far a run has come and prolong its lease; returns whether it is still ours."""
        return SyncRuns(self._connection).progress(run, owner, lease_s, is_full=is_full, pages=pages, items=items)

    def put_off(self, run: SyncRun, owner: str, until: datetime) -> None:
        """Give the lease back unused; the calendar stays due and is not claimed before ``until``."""
        SyncRuns(self._connection).put_off(run, owner, until)

    def free_leases_of_the_dead(self, silent_s: float, settled_s: float, now: datetime) -> tuple[UUID, ...]:
        """Free the leases of processes that died and make their calendars due; returns those."""
        return free_dead_leases(self._connection, silent_s, settled_s, now)

    def window_of(self, calendar_id: UUID) -> WindowState | None:
        """Return what the stored occurrences span, and under which lease; null before the first sync."""
        row = self._connection.execute(
            select(_S.window_start, _S.window_end, _S.epoch).where(
                _S.calendar_id == calendar_id, _S.window_start.is_not(None)
            )
        ).first()
        return None if row is None else WindowState(Window(row.window_start, row.window_end), row.epoch)

    def pause(self, calendar_id: UUID, at: datetime | None) -> None:
        """Let a calendar rest as it is from ``at`` on; null ends that, and makes it due."""
        self._connection.execute(update(calendars).where(calendars.c.id == calendar_id).values(paused_at=at))
        if at is None:
            # Whoever wants it synced again does not wait for what came of earlier failures.
            self._connection.execute(update(sync_states).where(_S.calendar_id == calendar_id).values(failures=0))

    def claim_checks(self, now: datetime, retry_at: datetime, limit: int) -> tuple[UUID, ...]:
        """Claim calendars that are due to be compared with the provider's; due again at ``retry_at``."""
        return checks.claim_checks(self._connection, now, retry_at, limit)

    def checked(self, calendar_id: UUID, found: Differences, next_at: datetime, now: datetime) -> None:
        """Write down what a comparison has found, if anything; the next one is at ``next_at``."""
        checks.write_check(self._connection, calendar_id, found, next_at, now)

    def finish(
        self, run: SyncRun, owner: str, *, next_at: datetime, error: str | None, drop_cursor: bool, now: datetime
    ) -> bool:
        """Give the lease back; returns whether more was requested meanwhile (then it is due again at once)."""
        return SyncRuns(self._connection).finish(
            run, owner, next_at=next_at, error=error, drop_cursor=drop_cursor, now=now
        )

    def agenda(self, person_id: UUID, window: Window, limit: int) -> tuple[AgendaItem, ...]:
        """Return a person's occurrences in the window across accounts, in order of time."""
        return agenda.read_agenda(self._connection, person_id, window, limit)
