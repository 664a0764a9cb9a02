"""The two statements that find what some people have in a window, a page at a time.

Pages go by key, never by number: what is added or removed between two pages moves nothing else. For each person three
indexes answer: usual events by their start, those longer than 31 days, and dates.
"""

from __future__ import annotations

from sqlalchemy import text

_ASKED = (
    "unnest(CAST(:people AS uuid[]), CAST(:firsts AS date[]), CAST(:lasts AS date[]))"
    " AS asked(person_id, first_date, last_date)"
)
# Calendars as a filter only: an index would be asked for all that a calendar ever had.
_OURS = "o.person_id = asked.person_id AND (o.calendar_id = ANY(CAST(:calendars AS uuid[]))) IS TRUE"
_TOUCHES = "o.start_at < :to AND (o.end_at > :from OR o.start_at = :from)"
# Word for word the condition of the index.
_IS_LONG = "NOT all_day AND end_at - start_at > interval '31 days'"
_USUAL = f"NOT o.all_day AND {_OURS} AND {_TOUCHES} AND o.start_at > :from - interval '31 days'"
_LONG = f"{_IS_LONG} AND {_OURS} AND {_TOUCHES} AND o.start_at <= :from - interval '31 days'"
_DATES = f"o.all_day AND {_OURS} AND o.start_date <= asked.last_date AND o.end_date > asked.first_date"
_MIDNIGHT = "o.start_date::timestamp AT TIME ZONE 'UTC'"

_PLACE = "(CAST(:begins AS timestamptz), CAST(:calendar AS uuid), CAST(:series AS text), CAST(:recurrence AS text))"
_KEY = "o.calendar_id, o.series_id, o.recurrence_id"


def _branch(begins: str, condition: str) -> str:
    # The first comparison is implied by the second; it is what an index can use.
    return f"""(
        SELECT {begins} AS begins, o.calendar_id AS o_calendar_id, o.series_id AS o_series_id,
               o.recurrence_id AS o_recurrence_id, o.source_id AS o_source_id, o.all_day AS o_all_day,
               o.start_at AS o_start_at, o.end_at AS o_end_at, o.start_date AS o_start_date, o.end_date AS o_end_date,
               o.busy AS o_busy
        FROM occurrences o
        WHERE {condition} AND {begins} >= CAST(:begins AS timestamptz) AND ({begins}, {_KEY}) > {_PLACE}
        ORDER BY {begins}, {_KEY} LIMIT :limit
    )"""  # noqa: S608  # the parts are constants of this module


OCCURRENCES = text(
    f"""
    WITH found AS (
        SELECT one.* FROM {_ASKED} CROSS JOIN LATERAL (
            {_branch("o.start_at", _USUAL)}
            UNION ALL {_branch("o.start_at", _LONG)}
            UNION ALL {_branch(_MIDNIGHT, _DATES)}
        ) AS one
        ORDER BY begins, o_calendar_id, o_series_id, o_recurrence_id LIMIT :limit
    )
    SELECT found.*, events.* FROM found
    LEFT JOIN events ON events.calendar_id = o_calendar_id AND events.provider_id = o_source_id
    ORDER BY begins, o_calendar_id, o_series_id, o_recurrence_id
    """  # noqa: S608  # the parts are constants above
)
"""Occurrences after a place, with the item that supplies the content of each; columns of occurrences begin ``o_``."""


def _keys(condition: str) -> str:
    return f"""
        SELECT o.calendar_id, o.series_id FROM {_ASKED} JOIN occurrences o ON {condition}
        WHERE (o.calendar_id, o.series_id) > (CAST(:calendar AS uuid), CAST(:series AS text))
    """  # noqa: S608  # as above


EVENT_KEYS = text(
    f"""
    {_keys(_USUAL)} UNION {_keys(_LONG)} UNION {_keys(_DATES)}
    ORDER BY calendar_id, series_id LIMIT :limit
    """
)
"""Events with an occurrence in the window, by calendar and id. Every page looks at the whole window."""
