"""Event rows of one calendar: written when they changed, removed with what hangs on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    case,
    delete,
    false,
    func,
    literal_column,
    not_,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql

from app.domain.calendars import EventKind, EventStatus, RemoteEvent, Series
from app.store.arrays import is_among
from app.store.event_rows import event_json, read_event
from app.store.schema import events, occurrences
from app.store.storable import storable_text

_E = events.c
ROWS_AT_ONCE = 1000
"""A few megabytes of JSON, a fraction of a second."""
_KEPT = {"calendar_id", "provider_id", "first_seen_at", "changed_at", "series_id", "recurrence_id"}


def _upsert() -> postgresql.Insert:
    """Return the statement that brings in ``:rows``, a JSON array of objects by column.

    One statement for a thousand rows: several times quicker than a thousand executions, and PostgreSQL knows how to
    read every column from its text.
    """
    names = [column.name for column in events.c]
    incoming = text("json_populate_recordset(NULL::events, CAST(:rows AS json)) AS incoming")
    columns: list[ColumnElement[Any]] = [literal_column(f"incoming.{name}") for name in names]
    statement = postgresql.insert(events).from_select(names, select(*columns).select_from(incoming))
    new = statement.excluded
    differs = _E.content_hash.is_distinct_from(new.content_hash)
    values = {column.name: new[column.name] for column in events.c if column.name not in _KEPT}
    return statement.on_conflict_do_update(
        index_elements=[_E.calendar_id, _E.provider_id],
        set_=values
        | {
            # A bare tombstone may not say whose instance it was; what was known stays known.
            "series_id": func.coalesce(new.series_id, _E.series_id),
            "recurrence_id": func.coalesce(new.recurrence_id, _E.recurrence_id),
            "changed_at": case((differs, new.changed_at), else_=_E.changed_at),
        },
        # An unchanged row is left alone, except on a full pass, which stamps everything it sees.
        where=differs | (_E.generation < new.generation),
    )


_UPSERT = _upsert()


def store_events(
    connection: Connection, calendar_id: UUID, found: Sequence[RemoteEvent], generation: int, now: datetime
) -> None:
    """Insert or update ``found``, stamped with ``generation``; the last of an id counts. Tens of thousands are fine."""
    common = {"calendar_id": calendar_id, "generation": generation, "first_seen_at": now, "changed_at": now}
    # Ids that differ in characters that cannot be stored are one id here, and a statement takes each once.
    unique = {storable_text(event.provider_id): event for event in found}
    for some in _batched(unique.values()):
        rows = ",".join(event_json(event, common) for event in some)
        connection.execute(_UPSERT, {"rows": f"[{rows}]"})


def remove_events(
    connection: Connection,
    calendar_id: UUID,
    provider_ids: Sequence[str],
    now: datetime,
    *,
    keep_exceptions: bool,
    lost: Sequence[str] = (),
) -> None:
    """Take away what the provider says is gone. Unknown ids are normal.

    A stored exception stays as a cancelled instance when ``keep_exceptions``: its master goes on without it; unless
    it is among ``lost``. A
    master takes its exceptions and occurrences along, also when only they were ever known here. Anything else is
    deleted.
    """
    ids = [storable_text(provider_id) for provider_id in provider_ids]
    if not ids:
        return
    is_lost = is_among(_E.provider_id, [storable_text(provider_id) for provider_id in lost])
    kept = (_E.kind == EventKind.EXCEPTION) & not_(is_lost) if keep_exceptions else false()
    connection.execute(
        update(events)
        .where(_E.calendar_id == calendar_id, is_among(_E.provider_id, ids), kept)
        # The empty hash matches no content: should the instance come back as it was, it is written again.
        .values(status=EventStatus.CANCELLED, content_hash=b"", changed_at=now)
    )
    connection.execute(
        delete(events).where(
            _E.calendar_id == calendar_id,
            (is_among(_E.provider_id, ids) & not_(kept)) | is_among(_E.series_id, ids),
        )
    )
    _remove_occurrences(connection, calendar_id, ids)


def drop_other_exceptions(
    connection: Connection, calendar_id: UUID, series_ids: Sequence[str], found: Sequence[RemoteEvent]
) -> None:
    """Delete the exceptions of ``series_ids`` that are not among ``found``, the full set as it is now.

    For providers that expand series: an exception that became an ordinary instance again, or was deleted, is not
    named by them; it is only missing.
    """
    present = [storable_text(event.provider_id) for event in found if event.kind is EventKind.EXCEPTION]
    connection.execute(
        delete(events).where(
            _E.calendar_id == calendar_id,
            is_among(_E.series_id, [storable_text(series_id) for series_id in series_ids]),
            not_(is_among(_E.provider_id, present)),
        )
    )


def sweep(connection: Connection, calendar_id: UUID, generation: int) -> None:
    """Delete every event that the full pass ``generation`` has not seen.

    The one place where rows vanish without the provider naming them: a check that the pass was plausible
    (not empty, not half of everything gone) belongs before this call.
    """
    connection.execute(delete(events).where(_E.calendar_id == calendar_id, _E.generation < generation))


def count_events(connection: Connection, calendar_id: UUID) -> int:
    """Return how many events a person would count: series once, nothing cancelled."""
    return connection.scalars(
        select(func.count()).where(
            _E.calendar_id == calendar_id, _E.kind != EventKind.EXCEPTION, _E.status != EventStatus.CANCELLED
        )
    ).one()


def read_series(connection: Connection, calendar_id: UUID, series_ids: Iterable[str]) -> tuple[Series, ...]:
    """Return what is stored of ``series_ids``: masters with all their exceptions, and exceptions without a master."""
    ids = list(series_ids)
    rows = connection.execute(
        select(events)
        .where(
            _E.calendar_id == calendar_id,
            ((is_among(_E.provider_id, ids)) & (_E.kind == EventKind.MASTER)) | (is_among(_E.series_id, ids)),
        )
        .order_by(_E.provider_id)
    )
    masters: dict[str, RemoteEvent] = {}
    exceptions: dict[str, list[RemoteEvent]] = {}
    for event in map(read_event, rows):
        if event.kind is EventKind.MASTER:
            masters[event.provider_id] = event
        elif event.series_id is not None:
            exceptions.setdefault(event.series_id, []).append(event)
    return tuple(Series(masters.get(key), tuple(exceptions.get(key, ()))) for key in {**masters, **exceptions})


def read_series_of(connection: Connection, calendar_id: UUID, provider_ids: Iterable[str]) -> Mapping[str, str]:
    """Return, for stored exceptions among ``provider_ids``, the id of their series."""
    rows = connection.execute(
        select(_E.provider_id, _E.series_id).where(
            _E.calendar_id == calendar_id, is_among(_E.provider_id, provider_ids), _E.series_id.is_not(None)
        )
    )
    return {row.provider_id: row.series_id for row in rows}


def _remove_occurrences(connection: Connection, calendar_id: UUID, ids: list[str]) -> None:
    connection.execute(
        delete(occurrences).where(
            occurrences.c.calendar_id == calendar_id,
            is_among(occurrences.c.series_id, ids) | is_among(occurrences.c.source_id, ids),
        )
    )


def _batched(found: Iterable[RemoteEvent]) -> Iterator[list[RemoteEvent]]:
    rest = iter(found)
    while some := list(islice(rest, ROWS_AT_ONCE)):
        yield some
