"""Sync runs: the lease, the one transaction that applies a round, and the end."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, select, text, update

from app.domain.calendars import Window
from app.domain.connections import Status
from app.domain.sync_pace import MOST_OF_A_CONNECTION
from app.ports import SyncRound, SyncRun
from app.store.applying import write_round
from app.store.calendar_rows import SELECT_CALENDARS, read_calendar
from app.store.channel_news import take_news
from app.store.claims import is_free, lease_end
from app.store.schema import calendars, channels, connections, sync_states

_S = sync_states.c

IS_WANTED = and_(
    calendars.c.is_selected,
    calendars.c.paused_at.is_(None),
    calendars.c.removed_at.is_(None),
    connections.c.status == Status.ACTIVE,
)
"""Whether a calendar is synced at all; for statements that join both tables."""

_TAKE_TURNS = text(
    "SELECT pg_advisory_xact_lock(hashtextextended(connection_id::text, 4)) FROM calendars WHERE id = :calendar"
)
"""Of many who begin a run for one connection, each sees what the one before has begun."""


class SyncRuns:
    """The steps of one run, in the transaction of ``connection``."""

    def __init__(self, connection: Connection) -> None:
        """Work on ``connection``."""
        self._connection = connection

    def lease(self, calendar_id: UUID, owner: str, lease_s: float, *, due_by: datetime | None = None) -> SyncRun | None:
        """Take the sync lease by the database clock; null when held, gone, not wanted, or enough runs are under way.

        With ``due_by`` (the caller's clock, as due times are) also null when the calendar is not due by then.
        """
        self._connection.execute(_TAKE_TURNS, {"calendar": calendar_id})
        take_news(self._connection, calendar_id)
        is_due = () if due_by is None else (_S.due_at <= due_by,)
        is_wanted = exists().where(
            calendars.c.id == calendar_id, connections.c.id == calendars.c.connection_id, IS_WANTED
        )
        state = self._connection.execute(
            update(sync_states)
            .where(_S.calendar_id == calendar_id, is_free(_S.lease_until), is_wanted, _has_room(calendar_id), *is_due)
            .values(
                lease_owner=owner,
                lease_until=lease_end(lease_s),
                epoch=_S.epoch + 1,
                run_started_at=func.clock_timestamp(),
                run_is_full=None,
                run_pages=0,
                run_items=0,
            )
            .returning(*sync_states.c, _has_channel().label("has_channel"))
        ).first()
        row = self._connection.execute(SELECT_CALENDARS.where(calendars.c.id == calendar_id)).first()
        if state is None or row is None:
            self._look_again_soon(calendar_id)
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
            is_asked_for=state.requested > state.completed,
            last_change_at=state.last_change_at,
            has_channel=state.has_channel,
            expander_version=state.expander_version,
        )

    def put_off(self, run: SyncRun, owner: str, until: datetime) -> None:
        """Give the lease back unused; the calendar stays due and is not claimed before ``until``."""
        self._connection.execute(
            update(sync_states)
            .where(_is_ours(run, owner))
            .values(lease_owner=None, lease_until=None, claimed_until=until, run_started_at=None)
        )

    def progress(self, run: SyncRun, owner: str, lease_s: float, *, is_full: bool, pages: int, items: int) -> bool:
        """Say how far a run has come and prolong its lease; returns whether it is still ours."""
        return bool(
            self._connection.execute(
                update(sync_states)
                .where(_is_ours(run, owner))
                .values(lease_until=lease_end(lease_s), run_is_full=is_full, run_pages=pages, run_items=items)
            ).rowcount
        )

    def apply(self, run: SyncRun, owner: str, brought: SyncRound, now: datetime) -> int | None:
        """Write everything of a staged round and return how many changes readers see; null when that may not be.

        The sync state's row is locked at the very end, for the time of a commit: whoever wishes for a run meanwhile
        is not kept waiting. A run that was overtaken finds out there, and takes everything back.
        """
        # This lock lets everything pass but the end of the row: who takes a calendar away waits.
        last_seq = self._connection.scalars(
            select(_S.change_seq)
            .where(_is_ours(run, owner), _is_unmoved(run))
            .with_for_update(read=True, key_share=True)
        ).first()
        if last_seq is None:
            return None
        with self._connection.begin_nested() as writing:
            written = write_round(self._connection, run, brought, last_seq, now)
            if written is not None and self._advance(run, owner, brought, written.event_count, written.changes, now):
                return written.changes
            writing.rollback()
        return None

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
            "run_started_at": None,
            "last_error": error,
            "failures": 0 if error is None else _S.failures + 1,
            "due_at": again if error is None else next_at,
        }
        if drop_cursor:
            values |= {"cursor": None, "window_start": None, "window_end": None, "expander_version": None}
            values |= {"cursor_version": _S.cursor_version + 1}
        requested = self._connection.scalars(
            update(sync_states).where(_is_ours(run, owner)).values(values).returning(_S.requested)
        ).first()
        return error is None and requested is not None and requested > run.requested

    def _advance(
        self, run: SyncRun, owner: str, brought: SyncRound, event_count: ColumnElement[int], changes: int, now: datetime
    ) -> bool:
        """Move the cursor if it is where this run found it; from here to the commit the row is locked."""
        values: dict[str, object] = {
            "cursor": brought.cursor,
            "cursor_version": _S.cursor_version + 1,
            "window_start": brought.window.start,
            "window_end": brought.window.end,
            "expander_version": brought.expander_version,
            "generation": run.generation + brought.full,
            "completed": run.requested,
            "last_success_at": now,
            "last_error": None,
            "event_count": event_count,
            "check_due_at": func.coalesce(_S.check_due_at, brought.check_at),
        }
        if changes:
            values |= {"change_seq": _S.change_seq + changes, "last_change_at": now}
        return bool(
            self._connection.execute(
                update(sync_states).where(_is_ours(run, owner), _is_unmoved(run)).values(values)
            ).rowcount
        )

    def _look_again_soon(self, calendar_id: UUID) -> None:
        """Let a calendar that could not begin, although nobody is at it, be claimed again in a moment."""
        in_a_moment = func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, 2)
        self._connection.execute(
            update(sync_states)
            .where(_S.calendar_id == calendar_id, is_free(_S.lease_until), _S.claimed_until > in_a_moment)
            .values(claimed_until=in_a_moment)
        )


def _is_ours(run: SyncRun, owner: str) -> ColumnElement[bool]:
    return and_(_S.calendar_id == run.calendar.id, _S.epoch == run.epoch, _S.lease_owner == owner)


def _is_unmoved(run: SyncRun) -> ColumnElement[bool]:
    return _S.cursor_version == run.cursor_version


def _has_room(calendar_id: UUID) -> ColumnElement[bool]:
    """Return the condition that the connection of a calendar has no more runs under way than it may."""
    own, other = calendars.alias(), sync_states.alias()
    connection_id = select(own.c.connection_id).where(own.c.id == calendar_id).scalar_subquery()
    under_way = (
        select(func.count())
        .select_from(other)
        .join(calendars, calendars.c.id == other.c.calendar_id)
        .where(
            calendars.c.connection_id == connection_id,
            other.c.calendar_id != calendar_id,
            other.c.lease_until > func.clock_timestamp(),
        )
        .scalar_subquery()
    )
    return under_way < MOST_OF_A_CONNECTION


def _has_channel() -> ColumnElement[bool]:
    return exists().where(
        channels.c.calendar_id == _S.calendar_id,
        channels.c.state == "active",
        channels.c.expires_at > func.clock_timestamp(),
        # Nothing has proved yet that its notifications arrive.
        channels.c.last_seen_at.is_not(None),
    )
