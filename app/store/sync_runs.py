"""Sync runs: the lease, the one transaction that applies a round, and the end."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, case, exists, update

from app.domain.calendars import Window
from app.domain.connections import Status
from app.ports import AppliedChanges, SyncRun
from app.store.calendar_rows import SELECT_CALENDARS, read_calendar
from app.store.channel_news import take_news
from app.store.claims import is_free, lease_end
from app.store.events import count_events, drop_other_exceptions, remove_events, store_events, sweep
from app.store.occurrences import replace_all, replace_series
from app.store.schema import calendars, connections, sync_states

_S = sync_states.c


class SyncRuns:
    """The steps of one run, in the transaction of ``connection``."""

    def __init__(self, connection: Connection) -> None:
        """Work on ``connection``."""
        self._connection = connection

    def lease(self, calendar_id: UUID, owner: str, lease_s: float, *, due_by: datetime | None = None) -> SyncRun | None:
        """Take the sync lease by the database clock; null when held, gone, or the connection is not active.

        With ``due_by`` (the caller's clock, as due times are) also null when the calendar is not due by then.
        """
        take_news(self._connection, calendar_id)
        is_due = () if due_by is None else (_S.due_at <= due_by,)
        is_active = exists().where(
            calendars.c.id == calendar_id,
            connections.c.id == calendars.c.connection_id,
            connections.c.status == Status.ACTIVE,
        )
        state = self._connection.execute(
            update(sync_states)
            .where(_S.calendar_id == calendar_id, is_free(_S.lease_until), is_active, *is_due)
            .values(lease_owner=owner, lease_until=lease_end(lease_s), epoch=_S.epoch + 1)
            .returning(*sync_states.c)
        ).first()
        row = self._connection.execute(SELECT_CALENDARS.where(calendars.c.id == calendar_id)).first()
        if state is None or row is None:
            return None
        return SyncRun(
            calendar=read_calendar(row),
            cursor=state.cursor,
            cursor_version=state.cursor_version,
            window=None if state.cursor is None else Window(state.window_start, state.window_end),
            generation=state.generation,
            requested=state.requested,
            epoch=state.epoch,
            failures=state.failures,
        )

    def extend(self, run: SyncRun, owner: str, lease_s: float) -> bool:
        """Prolong the lease of a run that is getting on; returns whether it is still ours."""
        return bool(
            self._connection.execute(
                update(sync_states).where(_is_ours(run, owner)).values(lease_until=lease_end(lease_s))
            ).rowcount
        )

    def apply(self, run: SyncRun, owner: str, changes: AppliedChanges, now: datetime) -> bool:
        """Write everything of one round if cursor version and lease are still ours; returns whether they were."""
        calendar_id, person_id = run.calendar.id, run.calendar.person_id
        generation = run.generation + 1 if changes.full else run.generation
        if not self._advance(run, owner, changes, generation, now):
            return False
        store_events(self._connection, calendar_id, changes.events, generation, now)
        remove_events(
            self._connection, calendar_id, changes.removed, now,
            keep_exceptions=not changes.expanded_by_provider, lost=changes.lost_exceptions,
        )  # fmt: skip
        if changes.full:
            sweep(self._connection, calendar_id, generation)
            replace_all(self._connection, calendar_id, person_id, changes.series)
        else:
            if changes.expanded_by_provider:
                series_ids = [series_id for series_id, _ in changes.series]
                drop_other_exceptions(self._connection, calendar_id, series_ids, changes.events)
            replace_series(self._connection, calendar_id, person_id, changes.series)
        self._connection.execute(
            update(sync_states)
            .where(_S.calendar_id == calendar_id)
            .values(event_count=count_events(self._connection, calendar_id))
        )
        return True

    def finish(
        self, run: SyncRun, owner: str, *, next_at: datetime, error: str | None, drop_cursor: bool, now: datetime
    ) -> bool:
        """Give the lease back; returns whether more was requested meanwhile (then it is due again at once).

        After an ``error`` it is due at ``next_at`` in any case: a failing provider is not hurried.
        """
        take_news(self._connection, run.calendar.id)
        again = case((_S.requested > run.requested, now), else_=next_at)
        values: dict[str, object] = {
            "lease_owner": None,
            "lease_until": None,
            "claimed_until": None,
            "last_error": error,
            "failures": 0 if error is None else _S.failures + 1,
            "due_at": again if error is None else next_at,
        }
        if drop_cursor:
            values |= {"cursor": None, "window_start": None, "window_end": None}
            values |= {"cursor_version": _S.cursor_version + 1}
        requested = self._connection.scalars(
            update(sync_states).where(_is_ours(run, owner)).values(values).returning(_S.requested)
        ).first()
        return error is None and requested is not None and requested > run.requested

    def _advance(self, run: SyncRun, owner: str, changes: AppliedChanges, generation: int, now: datetime) -> bool:
        """Move the cursor if it is where this run found it. The row stays locked until all else is written."""
        return bool(
            self._connection.execute(
                update(sync_states)
                .where(_is_ours(run, owner), _S.cursor_version == run.cursor_version)
                .values(
                    cursor=changes.cursor,
                    cursor_version=_S.cursor_version + 1,
                    window_start=changes.window.start,
                    window_end=changes.window.end,
                    generation=generation,
                    completed=run.requested,
                    last_success_at=now,
                    last_error=None,
                )
            ).rowcount
        )


def _is_ours(run: SyncRun, owner: str) -> ColumnElement[bool]:
    return and_(_S.calendar_id == run.calendar.id, _S.epoch == run.epoch, _S.lease_owner == owner)
