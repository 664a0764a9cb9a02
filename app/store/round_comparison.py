"""Compare a staged reading of a whole calendar with what is stored."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, text

from app.domain.calendars import Window
from app.ports import Differences, Losses, RoundKey

SAMPLES = 5
"""Ids of each kind in a report: enough to look at, too few to fill a log."""

_IS_IN_VIEW = "(e.kind = 'master' OR coalesce(e.end_at, e.end_date::timestamptz) >= :window_start)"
"""What was over before the window is stored as long as it happens to be, and not read again."""

_LOSSES = text(
    f"""
    SELECT
        (SELECT count(*) FROM staged_items
         WHERE calendar_id = :calendar AND epoch = :epoch AND kind IN ('single', 'master')
             AND status <> 'cancelled') AS found,
        count(*) AS stored,
        count(*) FILTER (WHERE NOT EXISTS (
            SELECT FROM staged_items AS s
            WHERE s.calendar_id = :calendar AND s.epoch = :epoch AND s.event_id = e.provider_id
                AND s.kind IN ('single', 'master') AND s.status <> 'cancelled'
        )) AS missing
    FROM events AS e
    WHERE e.calendar_id = :calendar AND e.kind <> 'exception' AND e.status <> 'cancelled' AND {_IS_IN_VIEW}
    """  # noqa: S608 - constants of this module
)

_COMPARE = text(
    f"""
    WITH here AS (
        SELECT e.provider_id, e.content_hash, e.changed_at FROM events AS e
        WHERE e.calendar_id = :calendar AND e.status <> 'cancelled' AND {_IS_IN_VIEW}
    ), there AS (
        SELECT provider_id, content_hash FROM staged_items
        WHERE calendar_id = :calendar AND epoch = :epoch AND kind IN ('single', 'master', 'exception')
            AND status <> 'cancelled'
    ), found AS (
        SELECT coalesce(here.provider_id, there.provider_id) AS id,
            CASE
                WHEN here.provider_id IS NULL THEN 'missing'
                WHEN there.provider_id IS NULL THEN 'surplus'
                WHEN here.content_hash <> there.content_hash THEN 'different'
            END AS how
        FROM here FULL JOIN there USING (provider_id)
        WHERE here.changed_at IS NULL OR here.changed_at < :began_at
    )
    SELECT how, count(*) AS number, (array_agg(id ORDER BY id))[1:{SAMPLES}] AS ids
    FROM found
    WHERE how IS DISTINCT FROM 'missing' OR NOT EXISTS (
        -- Over before the window, or changed or gone while the reading lasted.
        SELECT FROM events AS e
        WHERE e.calendar_id = :calendar AND e.provider_id = found.id
            AND (e.status <> 'cancelled' OR e.changed_at >= :began_at)
        UNION ALL
        SELECT FROM changes AS c
        WHERE c.calendar_id = :calendar AND c.event_id = found.id AND c.is_removed AND c.changed_at >= :began_at
    )
    GROUP BY how
    """  # noqa: S608 - constants of this module
)


def losses(connection: Connection, key: RoundKey, window: Window) -> Losses:
    """Return what a full pass over ``window`` would take away."""
    row = connection.execute(
        _LOSSES, {"calendar": key.calendar_id, "epoch": key.epoch, "window_start": window.start}
    ).one()
    return Losses(row.stored, row.missing, row.found)


def compare(connection: Connection, key: RoundKey, window: Window, began_at: datetime) -> Differences:
    """Compare with what is stored and was not changed since ``began_at``."""
    rows = connection.execute(
        _COMPARE,
        {
            "calendar": key.calendar_id, "epoch": key.epoch, "window_start": window.start, "began_at": began_at,
        },
    ).all()  # fmt: skip
    number = {row.how: row.number for row in rows}
    samples = {row.how: list(row.ids) for row in rows if row.how is not None}
    return Differences(
        sum(number.values()), number.get("missing", 0), number.get("surplus", 0), number.get("different", 0), samples
    )
