"""A person's time line: occurrences of all accounts in a window, in order."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import Connection, Row, Select, func, select, text, union_all

from app.domain.calendars import Busy, EventStatus, Occurrence, Window
from app.ports import AgendaItem
from app.store.schema import calendars, connections, events, occurrences, people

_O = occurrences.c
LONG = timedelta(days=31)
"""Longer events have an index of their own, so that the others can be found by their start alone."""

_IS_LONG = text("NOT all_day AND end_at - start_at > interval '31 days'")
"""Word for word the condition of the index."""


def read_agenda(connection: Connection, person_id: UUID, window: Window, limit: int) -> tuple[AgendaItem, ...]:
    """Return the first ``limit`` occurrences that overlap ``window``.

    All-day items count by the dates the window covers in the person's own zone, and come before timed ones of
    the same day.
    """
    zone = _zone(connection, person_id)
    timed = connection.execute(_timed(person_id, window, limit))
    all_day = connection.execute(_all_day(person_id, window, zone, limit))
    items = [_item(row) for rows in (timed, all_day) for row in rows]
    return tuple(sorted(items, key=lambda item: _order(item, zone))[:limit])


def _timed(person_id: UUID, window: Window, limit: int) -> Select[*tuple[Any, ...]]:
    overlaps = (_O.person_id == person_id, _O.start_at < window.end, _O.end_at > window.start)
    keys = (_O.calendar_id, _O.series_id, _O.recurrence_id, _O.start_at)
    # Zero-length events at the window's first instant have no overlap, but they begin in it.
    begins = (_O.person_id == person_id, _O.start_at == window.start, _O.end_at == window.start)
    usual = select(*keys).where(text("NOT all_day"), *overlaps, _O.start_at > window.start - LONG)
    instant = select(*keys).where(text("NOT all_day"), *begins)
    long = select(*keys).where(_IS_LONG, *overlaps, _O.start_at <= window.start - LONG)
    found = union_all(usual, instant, long).order_by("start_at").limit(limit).cte("found")
    return (
        _content()
        .join(
            found,
            (found.c.calendar_id == _O.calendar_id)
            & (found.c.series_id == _O.series_id)
            & (found.c.recurrence_id == _O.recurrence_id),
        )
    )  # fmt: skip


def _all_day(person_id: UUID, window: Window, zone: ZoneInfo, limit: int) -> Select[*tuple[Any, ...]]:
    first = window.start.astimezone(zone).date()
    last = (window.end - timedelta(microseconds=1)).astimezone(zone).date()
    return (
        _content()
        .where(text("occurrences.all_day"), _O.person_id == person_id, _O.start_date <= last, _O.end_date > first)
        .order_by(_O.start_date)
        .limit(limit)
    )


def _content() -> Select[*tuple[Any, ...]]:
    return (
        select(
            *occurrences.c,
            events.c.summary,
            events.c.location,
            func.coalesce(events.c.status, EventStatus.CONFIRMED.value).label("status"),
            func.coalesce(events.c.privacy, "default").label("privacy"),
            events.c.html_link,
            calendars.c.name.label("calendar_name"),
            connections.c.provider,
            connections.c.email,
        )
        .join(calendars, calendars.c.id == _O.calendar_id)
        .join(connections, connections.c.id == calendars.c.connection_id)
        # An occurrence whose source is not stored is still time that is taken.
        .outerjoin(events, (events.c.calendar_id == _O.calendar_id) & (events.c.provider_id == _O.source_id))
    )


def _zone(connection: Connection, person_id: UUID) -> ZoneInfo:
    name = connection.scalars(select(people.c.time_zone).where(people.c.id == person_id)).first()
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def _item(row: Row[*tuple[Any, ...]]) -> AgendaItem:
    occurrence = Occurrence(
        series_id=row.series_id,
        recurrence_id=row.recurrence_id,
        source_id=row.source_id,
        all_day=row.all_day,
        start=row.start_date if row.all_day else row.start_at,
        end=row.end_date if row.all_day else row.end_at,
        busy=Busy(row.busy),
    )
    return AgendaItem(
        occurrence=occurrence,
        summary=row.summary,
        location=row.location,
        status=row.status,
        privacy=row.privacy,
        html_link=row.html_link,
        calendar_name=row.calendar_name,
        provider=row.provider,
        account_email=row.email,
        is_recurring=row.recurrence_id != "",
    )


def _order(item: AgendaItem, zone: ZoneInfo) -> tuple[datetime, bool, str, str]:
    start = item.occurrence.start
    moment = start if isinstance(start, datetime) else datetime.combine(start, time.min, zone)
    return moment.astimezone(UTC), not item.occurrence.all_day, item.calendar_name, item.occurrence.series_id
