"""Let go of everything that was copied from a calendar, in a way that readers of its changes hear of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, ScalarSelect, delete, func, select, text, update

from app.store.schema import changes, channels, events, occurrences, staged_items, staged_occurrences, sync_states

_X = changes.c


def purge(connection: Connection, calendar_ids: Sequence[UUID], now: datetime) -> None:
    """Delete sync state, events and occurrences of calendars, end their channels, leave tombstones in their changes.

    A run under way finds no sync state and applies nothing: the state goes first, and waits for an apply in progress.
    """
    if not calendar_ids:
        return
    for table in (sync_states, occurrences, events, staged_items, staged_occurrences):
        connection.execute(delete(table).where(table.c.calendar_id.in_(calendar_ids)))
    of_these = channels.c.calendar_id.in_(calendar_ids)
    # What is being asked for has no name yet by which it could be stopped.
    connection.execute(delete(channels).where(of_these, channels.c.state == "creating"))
    connection.execute(update(channels).where(of_these).values(state="stopping"))
    for calendar_id in calendar_ids:
        _bury(connection, calendar_id, now)


def _bury(connection: Connection, calendar_id: UUID, now: datetime) -> None:
    """Make every event of the calendar's changes a tombstone, numbered after the last change there was."""
    living = (
        select(_X.event_id, func.row_number().over(order_by=_X.seq).label("place"))
        .where(_X.calendar_id == calendar_id, ~_X.is_removed)
        .subquery()
    )
    connection.execute(
        update(changes)
        .where(_X.calendar_id == calendar_id, _X.event_id == living.c.event_id)
        .values(
            seq=_last_seq(calendar_id) + living.c.place,
            written_by=text("pg_current_xact_id()::text::bigint"),
            is_removed=True,
            fingerprint=None,
            changed_at=now,
        )
    )


def _last_seq(calendar_id: UUID) -> ScalarSelect[int]:
    others = changes.alias()
    return select(func.max(others.c.seq)).where(others.c.calendar_id == calendar_id).scalar_subquery()
