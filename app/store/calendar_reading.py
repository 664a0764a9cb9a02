"""Calendars, events and changes as readers see them: few statements, whatever the number of people."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BindParameter, Row, Uuid, and_, any_, bindparam, func, select, text
from sqlalchemy import Connection as Database

from app.domain.calendar_reading import Place, ShownCalendar, ShownOccurrence, ShownSeries
from app.domain.calendars import Busy, EventKind, Occurrence, RemoteEvent, Window
from app.domain.connections import Status
from app.ports.calendar_reading import ChangedEvent, Look, Origin, PeopleStanding, Span
from app.ports.policies import Block
from app.store import change_reading
from app.store.connection_rows import CONNECTION_COLUMNS, read_connection
from app.store.event_rows import read_event
from app.store.occurrence_pages import EVENT_KEYS, OCCURRENCES
from app.store.policies import PostgresPolicies
from app.store.schema import calendars, connections, people, service_blocks, sync_states

_C, _S = calendars.c, sync_states.c
_NOBODY = UUID(int=0)

# Built once: putting a statement together costs as much as reading a few of its rows.
_ASKED_PEOPLE: BindParameter[UUID] = bindparam("people", expanding=True)
_PEOPLE = (
    select(people.c.id, people.c.time_zone, service_blocks.c.since, service_blocks.c.until)
    .outerjoin(
        service_blocks,
        and_(service_blocks.c.person_id == people.c.id, service_blocks.c.service_id == bindparam("service")),
    )
    .where(people.c.id.in_(_ASKED_PEOPLE))
)
_HELD = (
    select(*CONNECTION_COLUMNS)
    .where(connections.c.person_id.in_(_ASKED_PEOPLE), connections.c.status != Status.DISCONNECTED)
    .order_by(connections.c.created_at, connections.c.id)
)
_SELECT_CALENDARS = (
    select(
        calendars,
        connections.c.person_id,
        _S.last_success_at,
        _S.last_error,
        _S.window_start,
        _S.window_end,
        func.coalesce(_S.event_count, 0).label("event_count"),
    )
    .join(connections, connections.c.id == _C.connection_id)
    .outerjoin(sync_states, _S.calendar_id == _C.id)
    .where(_C.removed_at.is_(None), connections.c.status != Status.DISCONNECTED)
)
_CALENDARS = _SELECT_CALENDARS.where(_C.connection_id == any_(bindparam("connections", type_=ARRAY(Uuid)))).order_by(
    connections.c.person_id, _C.connection_id, _C.is_primary.desc(), _C.name, _C.id
)

_BY_KEY = "JOIN unnest(CAST(:calendars AS uuid[]), CAST(:ids AS text[])) AS asked(calendar_id, event_id)"
_EVENTS = text(
    f"""
    SELECT events.*, asked.event_id AS asked_id FROM events {_BY_KEY}
    ON events.calendar_id = asked.calendar_id AND events.provider_id = asked.event_id COLLATE "C"
    WHERE events.kind <> 'exception'
    UNION ALL
    SELECT events.*, asked.event_id AS asked_id FROM events {_BY_KEY}
    ON events.calendar_id = asked.calendar_id AND events.series_id = asked.event_id COLLATE "C"
    WHERE events.kind = 'exception'
    ORDER BY provider_id
    """  # noqa: S608  # the part is the constant above
)
_OCCURRENCES = text(
    f"""
    SELECT occurrences.* FROM occurrences {_BY_KEY}
    ON occurrences.calendar_id = asked.calendar_id AND occurrences.series_id = asked.event_id COLLATE "C"
    ORDER BY coalesce(start_at, start_date::timestamp AT TIME ZONE 'UTC'), recurrence_id
    """  # noqa: S608  # the part is the constant above
)
_KEYS_OF_CALENDAR = text(
    """
    SELECT DISTINCT coalesce(series_id, provider_id) AS event_id FROM events WHERE calendar_id = :calendar
    UNION SELECT series_id FROM occurrences WHERE calendar_id = :calendar
    ORDER BY event_id LIMIT :limit
    """
)


class PostgresCalendarReading:
    """Implements ``ports.CalendarReadingStore``."""

    def __init__(self, connection: Database) -> None:
        """Work on ``connection``."""
        self._connection = connection

    def people(self, service_id: UUID, person_ids: Collection[UUID]) -> PeopleStanding:
        """Return what decisions about these people rest on."""
        standing = PostgresPolicies(self._connection).standing(service_id, person_id=_NOBODY)
        named = list(person_ids)
        rows = self._connection.execute(_PEOPLE, {"service": service_id, "people": named}).all()
        held = self._connection.execute(_HELD, {"people": named})
        return PeopleStanding(
            standing,
            {row.id: Block(service_id, row.since, row.until) for row in rows if row.since is not None},
            {row.id: row.time_zone for row in rows},
            tuple(map(read_connection, held)),
        )

    def calendars(self, connection_ids: Collection[UUID]) -> tuple[ShownCalendar, ...]:
        """Return the connections' calendars that are not removed, by person, the primary one first."""
        return tuple(map(_calendar, self._connection.execute(_CALENDARS, {"connections": list(connection_ids)})))

    def calendar(self, calendar_id: UUID) -> ShownCalendar | None:
        """Return one calendar that is not removed; null otherwise."""
        row = self._connection.execute(_SELECT_CALENDARS.where(_C.id == calendar_id)).first()
        return None if row is None else _calendar(row)

    def occurrences(self, look: Look, after: Place | None, limit: int) -> tuple[ShownOccurrence, ...]:
        """Return the first ``limit`` occurrences in the window after a place, in order of place. One statement."""
        place = {
            "begins": "-infinity" if after is None else after.begins.isoformat(),
            "calendar": _NOBODY if after is None else after.calendar_id,
            "series": "" if after is None else after.series_id,
            "recurrence": "" if after is None else after.recurrence_id,
        }
        rows = self._connection.execute(OCCURRENCES, {**_looked_at(look), **place, "limit": limit})
        return tuple(map(_shown, rows))

    def series(self, look: Look, after: tuple[UUID, str] | None, limit: int) -> tuple[ShownSeries, ...]:
        """Return the first ``limit`` events with an occurrence in the window, after a calendar and event id."""
        calendar_id, event_id = (_NOBODY, "") if after is None else after
        place = {"calendar": calendar_id, "series": event_id, "limit": limit}
        rows = self._connection.execute(EVENT_KEYS, {**_looked_at(look), **place})
        return self._contents([(row.calendar_id, row.series_id) for row in rows], {})

    def contents(self, keys: Sequence[tuple[UUID, str]]) -> tuple[ShownSeries, ...]:
        """Return these events (calendar, event id) with all their occurrences, in the order of ``keys``."""
        found: dict[tuple[UUID, str], list[Occurrence]] = {}
        for row in self._connection.execute(_OCCURRENCES, _keys(keys)):
            found.setdefault((row.calendar_id, row.series_id), []).append(_occurrence(row))
        return self._contents(keys, found)

    def whole(self, calendar_id: UUID, limit: int) -> tuple[ShownSeries, ...] | None:
        """Return everything of a calendar with all occurrences; null when it has more than ``limit`` events."""
        rows = self._connection.execute(_KEYS_OF_CALENDAR, {"calendar": calendar_id, "limit": limit + 1}).all()
        return None if len(rows) > limit else self.contents([(calendar_id, row.event_id) for row in rows])

    def origin(self) -> Origin:
        """Return where a reader of changes stands now."""
        return change_reading.origin(self._connection)

    def changes(
        self, span: Span, calendar_ids: Collection[UUID], fresh: Collection[UUID], limit: int
    ) -> tuple[ChangedEvent, ...]:
        """Return the first ``limit`` changes of the span in these calendars, by calendar and number."""
        return change_reading.changes(self._connection, span, calendar_ids, fresh, limit)

    def _contents(
        self, keys: Sequence[tuple[UUID, str]], found: Mapping[tuple[UUID, str], Sequence[Occurrence]]
    ) -> tuple[ShownSeries, ...]:
        own: dict[tuple[UUID, str], RemoteEvent] = {}
        exceptions: dict[tuple[UUID, str], list[RemoteEvent]] = {}
        for row in self._connection.execute(_EVENTS, _keys(keys)):
            key, event = (row.calendar_id, row.asked_id), read_event(row)
            if event.kind is EventKind.EXCEPTION:
                exceptions.setdefault(key, []).append(event)
            else:
                own[key] = event
        return tuple(
            ShownSeries(*key, own.get(key), tuple(exceptions.get(key, ())), tuple(found.get(key, ())))
            for key in keys
            if key in own or key in exceptions or key in found
        )


def _calendar(row: Row[*tuple[Any, ...]]) -> ShownCalendar:
    return ShownCalendar(
        id=row.id,
        connection_id=row.connection_id,
        person_id=row.person_id,
        name=row.name,
        time_zone=row.time_zone,
        access_role=row.access_role,
        is_primary=row.is_primary,
        is_selected=row.is_selected,
        is_paused=row.paused_at is not None,
        synced_at=row.last_success_at,
        error=row.last_error,
        window=None if row.window_start is None else Window(row.window_start, row.window_end),
        event_count=row.event_count,
    )


def _looked_at(look: Look) -> dict[str, object]:
    return {
        "people": [one.person_id for one in look.days],
        "firsts": [one.first for one in look.days],
        "lasts": [one.last for one in look.days],
        "calendars": list(look.calendar_ids),
        "from": look.window.start,
        "to": look.window.end,
    }


def _keys(keys: Sequence[tuple[UUID, str]]) -> dict[str, object]:
    return {"calendars": [calendar_id for calendar_id, _ in keys], "ids": [event_id for _, event_id in keys]}


def _shown(row: Row[*tuple[Any, ...]]) -> ShownOccurrence:
    event = None if row.provider_id is None else read_event(row)
    return ShownOccurrence(row.o_calendar_id, _occurrence(row, "o_"), event)


def _occurrence(row: Row[*tuple[Any, ...]], prefix: str = "") -> Occurrence:
    values = row._mapping  # noqa: SLF001  # SQLAlchemy's documented name for it
    all_day = values[f"{prefix}all_day"]
    return Occurrence(
        series_id=values[f"{prefix}series_id"],
        recurrence_id=values[f"{prefix}recurrence_id"],
        source_id=values[f"{prefix}source_id"],
        all_day=all_day,
        start=values[f"{prefix}start_date" if all_day else f"{prefix}start_at"],
        end=values[f"{prefix}end_date" if all_day else f"{prefix}end_at"],
        busy=Busy(values[f"{prefix}busy"]),
    )
