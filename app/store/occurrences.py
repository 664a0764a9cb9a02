"""Occurrence rows of one calendar: derived, so those of a series are replaced as a set, the equal ones left alone."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, text

_COLUMNS = (
    "series_id", "recurrence_id", "source_id", "all_day", "start_at", "end_at", "start_date", "end_date", "busy"
)  # fmt: skip
_IS_STAGED = f"""coalesce((
        -- A value, not EXISTS: that would become a join, and without statistics a join of everything with everything.
        SELECT true FROM staged_occurrences AS s
        WHERE s.calendar_id = :calendar AND s.epoch = :epoch
            AND s.series_id = o.series_id AND s.recurrence_id = o.recurrence_id
            AND {" AND ".join(f"s.{name} IS NOT DISTINCT FROM o.{name}" for name in _COLUMNS[2:])}
        LIMIT 1
    ), false)"""  # noqa: S608 - constants of this module

_DELETE_ALL = text(f"DELETE FROM occurrences AS o WHERE o.calendar_id = :calendar AND NOT {_IS_STAGED}")  # noqa: S608

_DELETE_REPLACED = text(
    f"""
    DELETE FROM occurrences AS o USING staged_items AS i
    WHERE i.calendar_id = :calendar AND i.epoch = :epoch
        AND (i.kind IN ('single', 'series') OR (i.kind IN ('removed', 'gone') AND i.event_id = i.provider_id))
        AND o.calendar_id = :calendar AND o.series_id = i.event_id AND NOT {_IS_STAGED}
    """  # noqa: S608 - constants of this module
)

_DELETE_OF_REMOVED = text(
    """
    DELETE FROM occurrences AS o USING staged_items AS i
    WHERE i.calendar_id = :calendar AND i.epoch = :epoch AND i.kind IN ('removed', 'gone')
        AND i.event_id <> i.provider_id
        AND o.calendar_id = :calendar AND o.series_id = i.event_id AND o.source_id = i.provider_id
    """
)

_INSERT = text(
    f"""
    INSERT INTO occurrences (calendar_id, person_id, {", ".join(_COLUMNS)})
    SELECT s.calendar_id, :person, {", ".join(f"s.{name}" for name in _COLUMNS)}
    FROM staged_occurrences AS s WHERE s.calendar_id = :calendar AND s.epoch = :epoch
    ON CONFLICT (calendar_id, series_id, recurrence_id) DO NOTHING
    """  # noqa: S608 - constants of this module
)


def write_occurrences(connection: Connection, values: Mapping[str, object], *, replaces_all: bool) -> None:
    """Replace the occurrences of what the round touched, or of the whole calendar, by the staged ones."""
    if replaces_all:
        connection.execute(_DELETE_ALL, values)
    else:
        connection.execute(_DELETE_OF_REMOVED, values)
        connection.execute(_DELETE_REPLACED, values)
    connection.execute(_INSERT, values)
