"""Occurrence rows of one calendar: derived, so a series is replaced as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import Connection, delete

from app.domain.calendars import Occurrence
from app.store.arrays import is_among
from app.store.event_rows import span
from app.store.schema import occurrences
from app.store.storable import storable_text

_O = occurrences.c
_COLUMNS = (
    "calendar_id",
    "person_id",
    "series_id",
    "recurrence_id",
    "source_id",
    "all_day",
    "start_at",
    "end_at",
    "start_date",
    "end_date",
    "busy",
)


def replace_series(
    connection: Connection, calendar_id: UUID, person_id: UUID, series: Sequence[tuple[str, Sequence[Occurrence]]]
) -> None:
    """Replace the occurrences of each named series by the given full set, which may be empty."""
    ids = [storable_text(series_id) for series_id, _ in series]
    if ids:
        connection.execute(delete(occurrences).where(_O.calendar_id == calendar_id, is_among(_O.series_id, ids)))
        _copy(connection, calendar_id, person_id, series)


def replace_all(
    connection: Connection, calendar_id: UUID, person_id: UUID, series: Sequence[tuple[str, Sequence[Occurrence]]]
) -> None:
    """Replace every occurrence of the calendar: the end of a full pass."""
    connection.execute(delete(occurrences).where(_O.calendar_id == calendar_id))
    _copy(connection, calendar_id, person_id, series)


def _copy(
    connection: Connection, calendar_id: UUID, person_id: UUID, series: Sequence[tuple[str, Sequence[Occurrence]]]
) -> None:
    """Insert by COPY: a daily series over a year is hundreds of rows, and COPY is the quickest way in."""
    unique = {
        (storable_text(series_id), one.recurrence_id): one for series_id, found in series for one in found
    }  # fmt: skip
    driver = connection.connection.driver_connection
    if not unique or driver is None:
        return
    with driver.cursor() as cursor, cursor.copy(f"COPY occurrences ({', '.join(_COLUMNS)}) FROM STDIN") as copy:
        for row in _rows(calendar_id, person_id, unique.items()):
            copy.write_row(row)


def _rows(
    calendar_id: UUID, person_id: UUID, unique: Iterable[tuple[tuple[str, str], Occurrence]]
) -> Iterable[tuple[object, ...]]:
    for (series_id, recurrence_id), one in unique:
        times = span(one.start, one.end, all_day=one.all_day)
        yield (
            calendar_id,
            person_id,
            series_id,
            recurrence_id,
            storable_text(one.source_id),
            one.all_day,
            times["start_at"],
            times["end_at"],
            times["start_date"],
            times["end_date"],
            one.busy.value,
        )
