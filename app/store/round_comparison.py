"""Compare a staged reading of a whole calendar with what is stored."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, text

from app.domain.calendars import Window, canonical_recurrence_id
from app.ports import Differences, Losses, RoundKey

SAMPLES = 5
"""Ids of each kind in a report: enough to look at, too few to fill a log."""

_ENDS_IN_VIEW = "coalesce({0}.end_at, ({0}.end_date - 1)::timestamptz) >= :window_start"
IS_IN_VIEW = f"""(CASE e.kind
    -- Where we expand, masters are read however old they are; else those that have an instance in view.
    WHEN 'master' THEN NOT :by_provider OR EXISTS (
        SELECT FROM occurrences AS o
        WHERE o.calendar_id = e.calendar_id AND o.series_id = e.provider_id AND {_ENDS_IN_VIEW.format("o")}
    )
    WHEN 'exception' THEN coalesce(e.recurrence_id >= :window_start_id, true) OR {_ENDS_IN_VIEW.format("e")}
    ELSE coalesce({_ENDS_IN_VIEW.format("e")}, true)
END)"""
"""Whether a pass over a window reads an event; parameters as of ``view_of``. What was over before it is not read."""

_SPAN = "series_id, recurrence_id, source_id, start_at, end_at, start_date, end_date, busy"
_STAGED = f"SELECT {_SPAN} FROM staged_occurrences WHERE calendar_id = :calendar AND epoch = :epoch"  # noqa: S608 - constants
_STORED = f"""
    SELECT {_SPAN} FROM occurrences WHERE calendar_id = :calendar AND series_id IN (
        SELECT provider_id FROM staged_items WHERE calendar_id = :calendar AND epoch = :epoch AND kind = 'series'
    )
"""  # noqa: S608 - constants of this module
_COMPARE_OCCURRENCES = text(
    f"""
    SELECT DISTINCT series_id FROM (
        ({_STAGED} EXCEPT {_STORED}) UNION ALL ({_STORED} EXCEPT {_STAGED})
    ) AS apart
    WHERE NOT EXISTS (
        SELECT FROM changes AS c
        WHERE c.calendar_id = :calendar AND c.event_id = apart.series_id AND c.changed_at >= :began_at
    )
    """  # noqa: S608 - constants of this module
)
"""Series whose occurrences the provider now gives otherwise than it did; only providers that expand give any."""


def view_of(window: Window, *, by_provider: bool) -> dict[str, object]:
    """Return the parameters of ``IS_IN_VIEW``; ``by_provider`` when it is the provider who expands series."""
    first = canonical_recurrence_id(window.start.date())
    return {"window_start": window.start, "window_start_id": first, "by_provider": by_provider}


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
    WHERE e.calendar_id = :calendar AND e.kind <> 'exception' AND e.status <> 'cancelled' AND {IS_IN_VIEW}
    """  # noqa: S608 - constants of this module
)

_COMPARE = text(
    f"""
    WITH here AS (
        SELECT e.provider_id, e.content_hash, e.changed_at FROM events AS e
        WHERE e.calendar_id = :calendar AND e.status <> 'cancelled' AND {IS_IN_VIEW}
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


def losses(connection: Connection, key: RoundKey, view: Mapping[str, object]) -> Losses:
    """Return what a full pass over a view would take away."""
    row = connection.execute(_LOSSES, {"calendar": key.calendar_id, "epoch": key.epoch, **view}).one()
    return Losses(row.stored, row.missing, row.found)


def compare(connection: Connection, key: RoundKey, view: Mapping[str, object], began_at: datetime) -> Differences:
    """Compare with what is stored and was not changed since ``began_at``."""
    rows = connection.execute(
        _COMPARE, {"calendar": key.calendar_id, "epoch": key.epoch, "began_at": began_at, **view}
    ).all()
    number = {row.how: row.number for row in rows}
    samples = {row.how: list(row.ids) for row in rows if row.how is not None}
    series = connection.scalars(
        _COMPARE_OCCURRENCES, {"calendar": key.calendar_id, "epoch": key.epoch, "began_at": began_at}
    )
    differing = set(series)
    if differing:
        samples["occurrences"] = sorted(differing)[:SAMPLES]
    return Differences(
        sum(number.values()),
        number.get("missing", 0),
        number.get("surplus", 0),
        number.get("different", 0) + len(differing),
        samples,
    )
