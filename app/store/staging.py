"""Staged rounds: what was fetched and expanded, written down page by page until one transaction applies it.

The tables are unlogged: a crash of the database empties them, so whoever applies a round counts its rows first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import count
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, exists, func, select, text, update

from app.domain.calendars import EventKind, RemoteEvent, Window
from app.ports import Differences, Losses, RoundKey, StagedPage, Tally
from app.store import round_comparison
from app.store.arrays import is_among
from app.store.copying import copy_rows
from app.store.event_rows import item_values, read_event, span
from app.store.schema import events, staged_items, staged_occurrences, sync_states
from app.store.storable import storable_text

SERIES = "series"
"""Kind of a row that says: the occurrences of this series are complete."""
REMOVED = "removed"
"""Kind of an id that is gone; exceptions of that id stay as cancelled instances."""
GONE = "gone"
"""Kind of an id that is gone altogether."""

_I = staged_items.c
_O = staged_occurrences.c
_E = events.c
_KEYS = ("calendar_id", "epoch", "ordinal", "event_id")
ITEM_COLUMNS = tuple(column.name for column in staged_items.c if column.name not in {*_KEYS, "staged_at"})
_OCCURRENCE_COLUMNS = tuple(column.name for column in staged_occurrences.c if column.name != "staged_at")


class PostgresStaging:
    """Implements ``ports.StagingStore``."""

    def __init__(self, connection: Connection) -> None:
        """Work on ``connection``."""
        self._connection = connection

    def add(self, key: RoundKey, page: StagedPage, ordinal: int) -> Tally:
        """Write a page down by COPY, in the order of ``ordinal``."""
        rows, ordinals = _item_rows(key, page, ordinal)
        items = copy_rows(self._connection, "staged_items", (*_KEYS, *ITEM_COLUMNS), rows) if rows else 0
        if not any(page.occurrences.values()):
            return Tally(items)
        found = _occurrence_rows(key, page, ordinals)
        return Tally(items, copy_rows(self._connection, "staged_occurrences", _OCCURRENCE_COLUMNS, found))

    def drop_superseded(self, key: RoundKey) -> Tally:
        """Keep the last word on every id; returns what was dropped."""
        values = {"calendar": key.calendar_id, "epoch": key.epoch}
        items = self._connection.execute(_DROP_SUPERSEDED, values).rowcount
        if not items:
            return Tally()
        return Tally(items, self._connection.execute(_DROP_THEIR_OCCURRENCES, values).rowcount)

    def name_series_of_removed(self, key: RoundKey) -> None:
        """Let removed ids that are stored exceptions count for their series."""
        self._connection.execute(
            update(staged_items)
            .where(
                _of(key),
                _I.kind.in_((REMOVED, GONE)),
                _E.calendar_id == key.calendar_id,
                _E.provider_id == _I.provider_id,
                _E.kind == EventKind.EXCEPTION,
            )
            .values(event_id=_E.series_id)
        )

    def series_ids(self, key: RoundKey, after: str, limit: int, *, stored_too: bool) -> tuple[str, ...]:
        """Return ids of series that the round touches, in order, beyond ``after``; all stored ones if wanted."""
        is_of_series = _I.kind.in_((EventKind.MASTER, EventKind.EXCEPTION)) | (
            _I.kind.in_((REMOVED, GONE)) & (_I.event_id != _I.provider_id)
        )
        staged = select(_I.event_id.label("id")).where(_of(key), is_of_series, _I.event_id > after)
        parts = [staged]
        if stored_too:
            of_calendar = _E.calendar_id == key.calendar_id
            parts.append(select(_E.provider_id).where(of_calendar, _E.kind == EventKind.MASTER, _E.provider_id > after))
            parts.append(select(_E.series_id).where(of_calendar, _E.kind == EventKind.EXCEPTION, _E.series_id > after))
        found: set[str] = set()
        for part in parts:
            # Each part is asked for its first ids alone: an index leads to them, however many there are.
            found |= set(self._connection.scalars(part.distinct().order_by(part.selected_columns[0]).limit(limit)))
        return tuple(sorted(found, key=str.encode)[:limit])

    def of_series(self, key: RoundKey, series_ids: Sequence[str]) -> tuple[dict[str, RemoteEvent], tuple[str, ...]]:
        """Return what was staged of some series: events by id, and ids that are gone."""
        rows = self._connection.execute(
            select(staged_items).where(_of(key), is_among(_I.event_id, series_ids), _I.kind != SERIES)
        )
        found: dict[str, RemoteEvent] = {}
        gone = []
        for row in rows:
            if row.kind in {REMOVED, GONE}:
                gone.append(row.provider_id)
            else:
                found[row.provider_id] = read_event(row)
        return found, tuple(gone)

    def other_singles(self, key: RoundKey, after: str, limit: int) -> tuple[RemoteEvent, ...]:
        """Return stored single events that the round does not mention, in order of id, beyond ``after``."""
        mentioned = exists().where(_of(key), _I.event_id == _E.provider_id)
        rows = self._connection.execute(
            select(events)
            .where(_E.calendar_id == key.calendar_id, _E.kind == EventKind.SINGLE, _E.provider_id > after, ~mentioned)
            .order_by(_E.provider_id)
            .limit(limit)
        )
        return tuple(map(read_event, rows))

    def forget(self, key: RoundKey, provider_ids: Sequence[str]) -> None:
        """Let removed exceptions be deleted, not kept as cancelled instances."""
        if provider_ids:
            self._connection.execute(
                update(staged_items)
                .where(_of(key), is_among(_I.provider_id, provider_ids), _I.kind == REMOVED)
                .values(kind=GONE)
            )

    def losses(self, key: RoundKey, window: Window, *, by_provider: bool) -> Losses:
        """Return what a full pass over ``window`` would take away."""
        view = round_comparison.view_of(window, by_provider=by_provider)
        return round_comparison.losses(self._connection, key, view)

    def compare(self, key: RoundKey, window: Window, began_at: datetime, *, by_provider: bool) -> Differences:
        """Compare with what is stored and was not changed since ``began_at``."""
        view = round_comparison.view_of(window, by_provider=by_provider)
        return round_comparison.compare(self._connection, key, view, began_at)

    def tally(self, key: RoundKey) -> Tally:
        """Count what is staged."""
        found = self._connection.execute(_TALLY, {"calendar": key.calendar_id, "epoch": key.epoch}).one()
        return Tally(found.items, found.occurrences)

    def discard(self, key: RoundKey) -> None:
        """Forget a round."""
        self._connection.execute(delete(staged_items).where(_of(key)))
        self._connection.execute(
            delete(staged_occurrences).where(_O.calendar_id == key.calendar_id, _O.epoch == key.epoch)
        )

    def discard_left_over(self, older_than_s: float) -> int:
        """Forget rounds that nobody goes on with; returns how many rows."""
        return sum(_deleted(self._connection, table, older_than_s) for table in (staged_items, staged_occurrences))


def _deleted(connection: Connection, table: Table, older_than_s: float) -> int:
    is_old = table.c.staged_at < func.clock_timestamp() - func.make_interval(0, 0, 0, 0, 0, 0, older_than_s)
    goes_on = exists().where(
        sync_states.c.calendar_id == table.c.calendar_id,
        sync_states.c.epoch == table.c.epoch,
        sync_states.c.lease_until > func.clock_timestamp(),
    )
    return connection.execute(delete(table).where(is_old, ~goes_on)).rowcount


def _of(key: RoundKey) -> ColumnElement[bool]:
    return and_(_I.calendar_id == key.calendar_id, _I.epoch == key.epoch)


def _item_rows(key: RoundKey, page: StagedPage, ordinal: int) -> tuple[list[tuple[object, ...]], dict[str, int]]:
    """Return the rows of a page, and the ordinal of every row that carries occurrences."""
    numbers = count(ordinal)
    rows, ordinals = [], {}
    for event in page.events:
        values = item_values(event)
        number = next(numbers)
        if event.kind is EventKind.SINGLE:
            ordinals[event.provider_id] = number
        event_id = values["series_id"] if event.kind is EventKind.EXCEPTION else None
        rows.append(_row(key, number, event_id or values["provider_id"], values))
    kind = GONE if page.forgets_exceptions else REMOVED
    names = [(kind, provider_id) for provider_id in page.removed]
    names += [(SERIES, series_id) for series_id in page.occurrences if series_id not in ordinals]
    for kind, name in names:
        number, stored_name = next(numbers), storable_text(name)
        if kind == SERIES:
            ordinals[name] = number
        rows.append(_row(key, number, stored_name, {"provider_id": stored_name, "kind": kind}))
    return rows, ordinals


def _row(key: RoundKey, ordinal: int, event_id: object, values: dict[str, Any]) -> tuple[object, ...]:
    return (key.calendar_id, key.epoch, ordinal, event_id, *map(values.get, ITEM_COLUMNS))


def _occurrence_rows(key: RoundKey, page: StagedPage, ordinals: dict[str, int]) -> Iterator[tuple[object, ...]]:
    for name, found in page.occurrences.items():
        series_id, ordinal = storable_text(name), ordinals[name]
        for one in {one.recurrence_id: one for one in found}.values():
            yield (
                key.calendar_id, key.epoch, ordinal, series_id, one.recurrence_id, storable_text(one.source_id),
                one.all_day, *span(one.start, one.end, all_day=one.all_day).values(), one.busy.value,
            )  # fmt: skip


_DROP_SUPERSEDED = text(
    """
    -- The ordinals are found once, in one reading: joined with itself, the planner takes a round for a single row.
    DELETE FROM staged_items
    WHERE calendar_id = :calendar AND epoch = :epoch AND ordinal = ANY (ARRAY(
        SELECT ordinal FROM (
            SELECT ordinal, lead(ordinal) OVER (PARTITION BY provider_id, kind = 'series' ORDER BY ordinal) AS later
            FROM staged_items WHERE calendar_id = :calendar AND epoch = :epoch
        ) AS item
        WHERE later IS NOT NULL
    ))
    """
)

_DROP_THEIR_OCCURRENCES = text(
    """
    DELETE FROM staged_occurrences AS old
    WHERE old.calendar_id = :calendar AND old.epoch = :epoch AND NOT EXISTS (
        SELECT FROM staged_items AS item
        WHERE item.calendar_id = :calendar AND item.epoch = :epoch AND item.ordinal = old.ordinal
    )
    """
)

_TALLY = text(
    """
    SELECT
        (SELECT count(*) FROM staged_items WHERE calendar_id = :calendar AND epoch = :epoch) AS items,
        (SELECT count(*) FROM staged_occurrences WHERE calendar_id = :calendar AND epoch = :epoch) AS occurrences
    """
)
