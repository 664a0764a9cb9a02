"""The feed of changes, read: what was committed since a reader last looked, though commits come in any order.

A reader keeps a snapshot, not a number: a transaction that took its number early and committed late is in the next
page, because the snapshot says that it was not there yet (PostgreSQL manual, section 9.28.10). Within a calendar
numbers grow in the order of commits.

A restored database is another one: the cursors of before are refused. Restored rows are older than any new reader.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from uuid import UUID

from sqlalchemy import Connection, text

from app.ports.calendar_reading import ChangedEvent, Origin, Span

_ORIGIN = text(
    """
    SELECT pg_current_snapshot()::text AS snapshot,
           concat_ws('.', (SELECT system_identifier FROM pg_control_system()),
                          (SELECT timeline_id FROM pg_control_checkpoint()),
                          (SELECT oid FROM pg_database WHERE datname = current_database()),
                          'changes'::regclass::oid) AS database
    """
)
_COLUMNS = """
    c.calendar_id, c.event_id, c.seq, c.is_removed, c.changed_at,
    (SELECT count(*) FROM occurrences o WHERE o.calendar_id = c.calendar_id AND o.series_id = c.event_id) AS occurrences
"""
# A row that is here although its transaction is not: it came with a dump, from where transactions count otherwise.
_IS_FOREIGN = "c.written_by >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
_IN_SPAN = f"""
    (c.calendar_id, c.seq) > (CAST(:calendar AS uuid), CAST(:seq AS bigint))
    AND (pg_visible_in_snapshot(c.written_by::text::xid8, CAST(:until AS pg_snapshot)) OR {_IS_FOREIGN})
"""
# The first condition follows from the second; it is what the index on written_by can use.
_IS_NEW = f"""
    c.written_by >= pg_snapshot_xmin(CAST(:since AS pg_snapshot))::text::bigint
    AND NOT pg_visible_in_snapshot(c.written_by::text::xid8, CAST(:since AS pg_snapshot)) AND NOT {_IS_FOREIGN}
"""
_CHANGES = text(
    f"""
    SELECT {_COLUMNS} FROM (
        (SELECT * FROM changes c WHERE c.calendar_id = ANY(CAST(:known AS uuid[])) AND {_IS_NEW} AND {_IN_SPAN}
         ORDER BY calendar_id, seq LIMIT :limit)
        UNION ALL
        (SELECT * FROM changes c WHERE c.calendar_id = ANY(CAST(:fresh AS uuid[])) AND {_IN_SPAN}
         ORDER BY calendar_id, seq LIMIT :limit)
    ) AS c
    ORDER BY calendar_id, seq LIMIT :limit
    """  # noqa: S608  # the parts are constants above
)
_NOTHING_YET = "1:1:"
"""A snapshot in which nothing is visible."""


def origin(connection: Connection) -> Origin:
    """Return which database this is and what is committed in it now, as this transaction sees it."""
    row = connection.execute(_ORIGIN).one()
    return Origin(hashlib.sha256(row.database.encode()).digest()[:8], row.snapshot)


def changes(
    connection: Connection, span: Span, calendar_ids: Collection[UUID], fresh: Collection[UUID], limit: int
) -> tuple[ChangedEvent, ...]:
    """Return the first ``limit`` changes of the span in these calendars, by calendar and number.

    Rows that were written again after ``span.until`` are left to the next round.
    """
    calendar_id, seq = span.after or (UUID(int=0), 0)
    if span.since is None:
        fresh = calendar_ids
    rows = connection.execute(
        _CHANGES,
        {
            "known": [one for one in calendar_ids if one not in fresh],
            "fresh": list(fresh),
            "since": span.since or _NOTHING_YET,
            "until": span.until,
            "calendar": calendar_id,
            "seq": seq,
            "limit": limit,
        },
    )
    return tuple(
        ChangedEvent(row.calendar_id, row.event_id, row.seq, row.is_removed, row.changed_at, row.occurrences)
        for row in rows
    )
