"""Apply a staged round: events, occurrences and changes, set by set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, literal, text

from app.domain.calendars import Window
from app.ports import RoundKey, SyncRound, SyncRun
from app.store.changes import write_changes
from app.store.events import COUNT_ALL, COUNT_MENTIONED, write_events
from app.store.occurrences import write_occurrences
from app.store.round_comparison import view_of
from app.store.schema import sync_states
from app.store.staging import PostgresStaging

MANY = 1000
"""Items from which on a round is joined with the calendar as a whole, not looked up row by row.

The planner cannot know: a round was staged a moment ago, and no statistics speak of it. Left alone it takes every
round for a single row."""

_EVER = datetime(1, 1, 1, tzinfo=UTC)

_FOR_MANY = text(
    """
    SELECT set_config('enable_nestloop', 'off', true), set_config('work_mem', '64MB', true),
        set_config('statement_timeout', '10min', true)
    """
)


@dataclass(frozen=True, slots=True)
class Written:
    """What a round did to a calendar."""

    event_count: ColumnElement[int]
    """The calendar's count of events from now on."""
    changes: int


def write_round(
    connection: Connection, run: SyncRun, brought: SyncRound, last_seq: int, now: datetime
) -> Written | None:
    """Write a staged round; null when rows of it got lost, as after a crash of the database."""
    counted = sync_states.c.event_count
    if brought.is_empty:
        return Written(counted, 0)
    values = {
        "calendar": run.calendar.id,
        "person": run.calendar.person_id,
        "epoch": run.epoch,
        "generation": run.generation + brought.full,
        "last_seq": last_seq,
        "now": now,
        **_view(run, brought),
    }
    found = PostgresStaging(connection).tally(RoundKey(run.calendar.id, run.epoch))
    if found != brought.staged:
        return None
    if brought.replaces_all or found.items > MANY:
        connection.execute(_FOR_MANY)
    before = 0 if brought.full else _mentioned(connection, values)
    write_events(connection, values, sweeps=brought.full, expanded=brought.expanded_by_provider)
    write_occurrences(connection, values, replaces_all=brought.replaces_all)
    changes = write_changes(connection, values, whole=brought.replaces_all)
    if brought.full:
        return Written(literal(connection.execute(COUNT_ALL, values).scalar_one()), changes)
    return Written(counted + (_mentioned(connection, values) - before), changes)


def _view(run: SyncRun, brought: SyncRound) -> dict[str, object]:
    """Return what a full pass has read: of a calendar that comes as blocks of time everything, however old it is."""
    comes_in_blocks = run.calendar.is_times_only and not brought.expanded_by_provider
    window = Window(_EVER, brought.window.end) if comes_in_blocks else brought.window
    return view_of(window, by_provider=brought.expanded_by_provider)


def _mentioned(connection: Connection, values: Mapping[str, object]) -> int:
    return int(connection.execute(COUNT_MENTIONED, values).scalar_one())
