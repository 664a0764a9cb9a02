"""Event rows of one calendar: written from a staged round when they changed, removed with what hangs on them.

Every statement works on the round as a set and finds its rows by an index, so that a small round costs the same in a
calendar of any size. Parameters are ``calendar`` and ``epoch``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

from sqlalchemy import Connection, select, text

from app.domain.calendars import EventKind, RemoteEvent, Series
from app.store.arrays import is_among
from app.store.event_rows import read_event
from app.store.round_comparison import IS_IN_VIEW
from app.store.schema import events
from app.store.staging import ITEM_COLUMNS

_E = events.c
_KEPT = {"provider_id", "series_id", "recurrence_id"}

_ROUND = "s.calendar_id = :calendar AND s.epoch = :epoch"
_LIVING = "s.kind IN ('single', 'master', 'exception')"

UPSERT = text(
    f"""
    INSERT INTO events AS e (calendar_id, {", ".join(ITEM_COLUMNS)}, generation, first_seen_at, changed_at)
    SELECT s.calendar_id, {", ".join(f"s.{name}" for name in ITEM_COLUMNS)}, :generation, :now, :now
    FROM staged_items AS s WHERE {_ROUND} AND {_LIVING}
    ON CONFLICT (calendar_id, provider_id) DO UPDATE SET
        {", ".join(f"{name} = excluded.{name}" for name in ITEM_COLUMNS if name not in _KEPT)},
        -- A bare tombstone may not say whose instance it was; what was known stays known.
        series_id = CASE WHEN excluded.kind = 'exception' THEN coalesce(excluded.series_id, e.series_id) END,
        recurrence_id = CASE
            WHEN excluded.kind = 'exception' THEN coalesce(excluded.recurrence_id, e.recurrence_id)
        END,
        generation = excluded.generation,
        changed_at = excluded.changed_at
    -- An unchanged row is left alone, on a full pass too.
    WHERE e.content_hash <> excluded.content_hash OR e.problem IS DISTINCT FROM excluded.problem
    """  # noqa: S608 - columns of the schema
)

CANCEL_EXCEPTIONS = text(
    f"""
    -- The empty hash matches no content: should the instance come back as it was, it is written again.
    UPDATE events AS e SET status = 'cancelled', content_hash = '', changed_at = :now
    FROM staged_items AS s
    WHERE {_ROUND} AND s.kind = 'removed'
        AND e.calendar_id = :calendar AND e.provider_id = s.provider_id AND e.kind = 'exception'
        AND e.content_hash <> ''
    """  # noqa: S608 - constants of this module
)

DELETE_REMOVED = text(
    f"""
    DELETE FROM events AS e USING staged_items AS s
    WHERE {_ROUND} AND s.kind IN ('removed', 'gone') AND e.calendar_id = :calendar AND e.provider_id = s.provider_id
        AND (s.kind = 'gone' OR e.kind <> 'exception')
    """  # noqa: S608 - constants of this module
)

DELETE_THEIR_EXCEPTIONS = text(
    f"""
    -- Also when only the exceptions of a removed master were ever known here.
    DELETE FROM events AS e USING staged_items AS s
    WHERE {_ROUND} AND s.kind IN ('removed', 'gone') AND e.calendar_id = :calendar AND e.series_id = s.provider_id
    """  # noqa: S608 - constants of this module
)

DELETE_OTHER_EXCEPTIONS = text(
    f"""
    -- Of events that recur no more, whoever expands. Where the provider does, of complete series too: an exception that
    -- became an ordinary instance again, or was deleted, is not named by it, it is only missing in the full set.
    DELETE FROM events AS e USING staged_items AS s
    WHERE {_ROUND} AND s.kind = ANY (:kinds) AND e.calendar_id = :calendar AND e.series_id = s.provider_id
        AND NOT EXISTS (
            SELECT FROM staged_items AS own
            WHERE own.calendar_id = :calendar AND own.epoch = :epoch AND own.event_id = e.series_id
                AND own.provider_id = e.provider_id AND own.kind = 'exception'
        )
    """  # noqa: S608 - constants of this module
)

SWEEP = text(
    f"""
    -- The one place where rows vanish without the provider naming them: whoever calls it has made sure that the pass
    -- was plausible. What was over before the window is not read again, and stays; but exceptions go with their master.
    WITH swept AS (
        DELETE FROM events AS e
        WHERE e.calendar_id = :calendar AND {IS_IN_VIEW} AND NOT EXISTS (
            SELECT FROM staged_items AS s
            WHERE {_ROUND} AND {_LIVING} AND s.provider_id = e.provider_id
        )
        RETURNING e.provider_id
    )
    DELETE FROM events AS e USING swept WHERE e.calendar_id = :calendar AND e.series_id = swept.provider_id
    """  # noqa: S608 - constants of this module
)

_COUNTED = "kind <> 'exception' AND status <> 'cancelled'"

COUNT_MENTIONED = text(
    f"""
    SELECT count(*) FROM events AS e
    WHERE e.calendar_id = :calendar AND e.{_COUNTED.replace(" AND ", " AND e.")} AND e.provider_id IN (
        SELECT s.provider_id FROM staged_items AS s WHERE {_ROUND} AND s.kind <> 'series'
    )
    """  # noqa: S608 - constants of this module
)
"""How many events a person would count (series once, nothing cancelled) among those the round mentions."""

COUNT_ALL = text(f"SELECT count(*) FROM events WHERE calendar_id = :calendar AND {_COUNTED}")  # noqa: S608


def write_events(connection: Connection, values: Mapping[str, object], *, sweeps: bool, expanded: bool) -> None:
    """Bring in what the round says of events; ``expanded`` when the provider expands series."""
    connection.execute(UPSERT, values)
    if sweeps:
        connection.execute(SWEEP, values)
        return
    connection.execute(CANCEL_EXCEPTIONS, values)
    connection.execute(DELETE_REMOVED, values)
    connection.execute(DELETE_THEIR_EXCEPTIONS, values)
    kinds = ["series", "single"] if expanded else ["single"]
    connection.execute(DELETE_OTHER_EXCEPTIONS, {**values, "kinds": kinds})


def read_series(connection: Connection, calendar_id: UUID, series_ids: Iterable[str]) -> tuple[Series, ...]:
    """Return what is stored of ``series_ids``: masters with all their exceptions, and exceptions without a master.

    What was a series once and is a single event now stands in the place of its master.
    """
    ids = list(series_ids)
    of_calendar = _E.calendar_id == calendar_id
    # Two looks, each by its index.
    found = connection.execute(
        select(events).where(of_calendar, is_among(_E.provider_id, ids), _E.kind != EventKind.EXCEPTION)
    ).all()
    hanging = connection.execute(
        select(events)
        .where(of_calendar, is_among(_E.series_id, ids), _E.kind == EventKind.EXCEPTION)
        .order_by(_E.provider_id)
    ).all()
    masters: dict[str, RemoteEvent] = {row.provider_id: read_event(row) for row in found}
    exceptions: dict[str, list[RemoteEvent]] = {}
    for row in hanging:
        exceptions.setdefault(row.series_id, []).append(read_event(row))
    return tuple(Series(masters.get(key), tuple(exceptions.get(key, ()))) for key in {**masters, **exceptions})
