"""The change feed, write side: what a round really changed gets the next numbers of its calendar.

The unit is one event: a single event, or a series with its exceptions, by the id of the event or master. It is there
for readers while its master (or the single event) is not cancelled; exceptions whose master was never seen stand for
their series while one of them is not cancelled. Else it is removed and leaves a tombstone. A cancelled event may well
be stored still: readers of changes need not tell that from a deleted one.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, text

_TOUCHED = """
    touched AS MATERIALIZED (
        SELECT DISTINCT event_id FROM staged_items WHERE calendar_id = :calendar AND epoch = :epoch
    ), items AS (
        SELECT t.event_id, e.kind, e.status, e.problem, e.provider_id, e.content_hash
        FROM touched AS t JOIN events AS e ON e.calendar_id = :calendar AND e.provider_id = t.event_id
        WHERE e.kind <> 'exception'
        UNION ALL
        SELECT t.event_id, e.kind, e.status, e.problem, e.provider_id, e.content_hash
        FROM touched AS t JOIN events AS e ON e.calendar_id = :calendar AND e.series_id = t.event_id
        WHERE e.kind = 'exception'
    ), instances AS (
        SELECT o.* FROM touched AS t JOIN occurrences AS o ON o.calendar_id = :calendar AND o.series_id = t.event_id
    )"""

_WHOLE = """
    items AS (
        SELECT CASE WHEN kind = 'exception' THEN series_id ELSE provider_id END AS event_id,
            kind, status, problem, provider_id, content_hash
        FROM events WHERE calendar_id = :calendar
    ), touched AS MATERIALIZED (
        SELECT event_id FROM items
        UNION
        SELECT event_id FROM changes WHERE calendar_id = :calendar AND NOT is_removed
    ), instances AS (
        SELECT * FROM occurrences WHERE calendar_id = :calendar
    )"""

# Materialized, so that each is made once: without statistics the planner would make it again for every event.
_REST = """
    , contents AS MATERIALIZED (
        SELECT event_id,
            coalesce(bool_or(status <> 'cancelled') FILTER (WHERE kind <> 'exception'),
                     bool_or(status <> 'cancelled')) AS is_there,
            string_agg(content_hash || convert_to(status || coalesce(problem, ''), 'UTF8'), '' ORDER BY provider_id)
                AS content
        FROM items GROUP BY event_id
    ), times AS MATERIALIZED (
        SELECT series_id AS event_id,
            string_agg(
                concat_ws(' ', recurrence_id, source_id, start_at, end_at, start_date, end_date, busy), chr(10)
                ORDER BY recurrence_id
            ) AS times
        FROM instances GROUP BY series_id
    ), present AS (
        SELECT t.event_id,
            CASE WHEN c.is_there THEN sha256(c.content || convert_to(coalesce(o.times, ''), 'UTF8')) END AS fingerprint
        FROM touched AS t LEFT JOIN contents AS c USING (event_id) LEFT JOIN times AS o USING (event_id)
    ), different AS (
        SELECT p.event_id, p.fingerprint
        FROM present AS p LEFT JOIN changes AS c ON c.calendar_id = :calendar AND c.event_id = p.event_id
        -- What was never told and is not there any more is no news.
        WHERE c.fingerprint IS DISTINCT FROM p.fingerprint
    )
    INSERT INTO changes AS c (calendar_id, event_id, seq, is_removed, fingerprint, changed_at)
    SELECT :calendar, event_id, :last_seq + row_number() OVER (ORDER BY event_id), fingerprint IS NULL,
        fingerprint, :now
    FROM different
    ON CONFLICT (calendar_id, event_id) DO UPDATE SET
        seq = excluded.seq, written_by = excluded.written_by, is_removed = excluded.is_removed,
        fingerprint = excluded.fingerprint, changed_at = excluded.changed_at
    """

_WRITE_TOUCHED = text(f"WITH {_TOUCHED} {_REST}")
_WRITE_WHOLE = text(f"WITH {_WHOLE} {_REST}")


def write_changes(connection: Connection, values: Mapping[str, object], *, whole: bool) -> int:
    """Write what differs from what was told last, numbered after ``last_seq``; returns how many changes there are.

    Looks at the events the staged round mentions, or at the ``whole`` calendar.
    """
    return connection.execute(_WRITE_WHOLE if whole else _WRITE_TOUCHED, values).rowcount
