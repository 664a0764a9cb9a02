"""The list of a connection's calendars, brought in line with the provider's and with the person's choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, ColumnElement, Connection, case, cast, func, literal, select, text, update
from sqlalchemy.dialects import postgresql

from app.domain.calendars import FREE_BUSY, CalendarListing, RemoteCalendar
from app.domain.connections import Status
from app.store.arrays import is_among
from app.store.calendar_purge import purge
from app.store.schema import calendars, changes, connections, sync_states
from app.store.storable import storable_text

_C = calendars.c
_REFRESHED = ("name", "time_zone", "access_role", "is_primary", "color", "removed_at")
_SHOWS_TIMES_ONLY = _C.access_role == FREE_BUSY


def read_cursor(connection: Connection, connection_id: UUID) -> str | None:
    """Return where the next reading of the list starts; null when the whole list is wanted."""
    return connection.scalars(
        select(connections.c.calendar_list_cursor).where(connections.c.id == connection_id)
    ).first()


def merge(
    connection: Connection, connection_id: UUID, listing: CalendarListing, read_from: str | None, now: datetime
) -> tuple[UUID, ...] | None:
    """Store what was read from ``read_from`` on; returns the calendars to sync for the first time.

    Null when somebody else read the list meanwhile, or the connection is none any more.
    """
    if not _take_turn(connection, connection_id, read_from, listing.cursor):
        return None
    wanted = {storable_text(remote.provider_id): remote for remote in listing.calendars}
    other = _showing_other_things(connection, connection_id, wanted)
    _store(connection, connection_id, wanted, now)
    gone = ~is_among(_C.provider_id, wanted) if listing.is_full else is_among(_C.provider_id, listing.removed)
    connection.execute(
        update(calendars).where(_C.connection_id == connection_id, gone, _C.removed_at.is_(None)).values(removed_at=now)
    )
    purge(connection, (*other, *_unwanted(connection, _C.connection_id == connection_id)), now)
    return _start_syncs(connection, _C.connection_id == connection_id, now)


def choose(connection: Connection, calendar_id: UUID, *, is_selected: bool, now: datetime) -> bool:
    """Store whether the person wants a calendar; returns whether it is to be synced for the first time."""
    connection.execute(update(calendars).where(_C.id == calendar_id).values(is_selected=is_selected))
    purge(connection, _unwanted(connection, _C.id == calendar_id), now)
    return bool(_start_syncs(connection, _C.id == calendar_id, now))


def _take_turn(connection: Connection, connection_id: UUID, read_from: str | None, cursor: str | None) -> bool:
    """Move the cursor if it is where the reading began; the row stays locked until all else is written."""
    return bool(
        connection.execute(
            update(connections)
            .where(
                connections.c.id == connection_id,
                connections.c.status != Status.DISCONNECTED,
                connections.c.calendar_list_cursor.is_not_distinct_from(read_from),
            )
            .values(calendar_list_cursor=cursor)
        ).rowcount
    )


def _showing_other_things(
    connection: Connection, connection_id: UUID, wanted: Mapping[str, RemoteCalendar]
) -> Sequence[UUID]:
    """Return the calendars that showed their events and now their times alone, or the other way round."""
    times_only = [provider_id for provider_id, remote in wanted.items() if remote.access_role == FREE_BUSY]
    details = [provider_id for provider_id, remote in wanted.items() if remote.access_role != FREE_BUSY]
    return connection.scalars(
        select(_C.id).where(
            _C.connection_id == connection_id,
            case((_SHOWS_TIMES_ONLY, is_among(_C.provider_id, details)), else_=is_among(_C.provider_id, times_only)),
        )
    ).all()


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


def _unwanted(connection: Connection, which: ColumnElement[bool]) -> Sequence[UUID]:
    """Return the synced calendars that are gone, or that the person does not want."""
    return connection.scalars(
        select(_C.id)
        .join(sync_states, sync_states.c.calendar_id == _C.id)
        .where(which, _C.removed_at.is_not(None) | ~_C.is_selected)
    ).all()


def _start_syncs(connection: Connection, which: ColumnElement[bool], now: datetime) -> tuple[UUID, ...]:
    """Give every wanted calendar that has none a sync state that is due now; returns them, the primary one first."""
    columns = ("calendar_id", "due_at", "channel_due_at", "requested", "change_seq", "epoch")
    last_seq = select(func.coalesce(func.max(changes.c.seq), 0)).where(changes.c.calendar_id == _C.id).scalar_subquery()
    at = literal(now, sync_states.c.due_at.type)
    unsynced = (
        select(
            _C.id,
            at,
            # Who may see no events cannot be told of them.
            case((_SHOWS_TIMES_ONLY, None), else_=at),
            text("1"),
            last_seq,
            # Above any epoch the calendar had before: a run from then must not take itself for one of now.
            cast(func.extract("epoch", at), BigInteger),
        )
        .outerjoin(sync_states, sync_states.c.calendar_id == _C.id)
        .where(which, _C.removed_at.is_(None), _C.is_selected, sync_states.c.calendar_id.is_(None))
    )
    begun = connection.scalars(
        postgresql.insert(sync_states).from_select(columns, unsynced).returning(sync_states.c.calendar_id)
    ).all()
    order = select(_C.id).where(_C.id.in_(begun)).order_by(_C.is_primary.desc(), _C.id)
    return tuple(connection.scalars(order)) if begun else ()
