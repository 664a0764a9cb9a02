"""The list of a connection's calendars, brought in line with the provider's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import postgresql

from app.domain.calendars import RemoteCalendar
from app.domain.connections import Status
from app.store.arrays import is_among
from app.store.schema import calendars, channels, connections, events, occurrences, sync_states
from app.store.storable import storable_text

FREE_BUSY = "free_busy"
_C = calendars.c
_REFRESHED = ("name", "time_zone", "access_role", "is_primary", "color", "removed_at")


def merge(
    connection: Connection, connection_id: UUID, listed: Sequence[RemoteCalendar], now: datetime
) -> tuple[UUID, ...]:
    """Store the provider's whole list; returns the calendars that are to be synced for the first time."""
    status = connection.scalars(
        # Two readers of one list take turns.
        select(connections.c.status).where(connections.c.id == connection_id).with_for_update()
    ).first()
    if status in (None, Status.DISCONNECTED):
        return ()
    wanted = {storable_text(remote.provider_id): remote for remote in listed if not remote.is_removed}
    _store(connection, connection_id, wanted, now)
    connection.execute(
        update(calendars)
        .where(_C.connection_id == connection_id, ~is_among(_C.provider_id, wanted), _C.removed_at.is_(None))
        .values(removed_at=now)
    )
    _clear_unreadable(connection, connection_id)
    return _start_syncs(connection, connection_id, now)


def _store(connection: Connection, connection_id: UUID, wanted: Mapping[str, RemoteCalendar], now: datetime) -> None:
    rows = [
        {
            "id": uuid4(),
            "connection_id": connection_id,
            "provider_id": provider_id,
            "name": storable_text(remote.name),
            "time_zone": storable_text(remote.time_zone),
            "access_role": remote.access_role,
            "is_primary": remote.is_primary,
            "color": storable_text(remote.color),
            "created_at": now,
            "removed_at": None,
        }
        for provider_id, remote in wanted.items()
    ]
    if rows:
        statement = postgresql.insert(calendars)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[_C.connection_id, _C.provider_id],
                set_={name: statement.excluded[name] for name in _REFRESHED},
            ),
            rows,
        )


def _clear_unreadable(connection: Connection, connection_id: UUID) -> None:
    """Delete what we hold of calendars that are gone or whose details we may no longer see; end their channels."""
    unreadable = connection.scalars(
        select(_C.id)
        .join(sync_states, sync_states.c.calendar_id == _C.id)
        .where(_C.connection_id == connection_id, _C.removed_at.is_not(None) | (_C.access_role == FREE_BUSY))
    ).all()
    if not unreadable:
        return
    for table in (sync_states, occurrences, events):
        connection.execute(delete(table).where(table.c.calendar_id.in_(unreadable)))
    of_these = channels.c.calendar_id.in_(unreadable)
    connection.execute(delete(channels).where(of_these, channels.c.state == "creating"))
    connection.execute(update(channels).where(of_these).values(state="stopping"))


def _start_syncs(connection: Connection, connection_id: UUID, now: datetime) -> tuple[UUID, ...]:
    unsynced = connection.scalars(
        select(_C.id)
        .outerjoin(sync_states, sync_states.c.calendar_id == _C.id)
        .where(
            _C.connection_id == connection_id,
            _C.removed_at.is_(None),
            _C.access_role != FREE_BUSY,
            sync_states.c.calendar_id.is_(None),
        )
        .order_by(_C.is_primary.desc(), _C.id)
    ).all()
    if unsynced:
        connection.execute(
            postgresql.insert(sync_states),
            [
                {"calendar_id": calendar_id, "due_at": now, "channel_due_at": now, "requested": 1}
                for calendar_id in unsynced
            ],
        )
    return tuple(unsynced)
