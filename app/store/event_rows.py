"""How an event becomes a row, and a row an event."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from sqlalchemy import Row

from app.domain.calendars import Busy, EventKind, EventStatus, RemoteEvent
from app.store.storable import storable, storable_text

BIGGEST = 2**63 - 1

_PLAIN = (
    "time_zone",
    "time_zone_raw",
    "event_type",
    "privacy",
    "self_response",
    "summary",
    "location",
    "description",
    "html_link",
    "conference_url",
    "ical_uid",
    "etag",
)
"""Text columns that are called what the field is called."""

_encode = json.JSONEncoder(default=str, sort_keys=True).encode
"""Made once: ``json.dumps`` with options makes an encoder for every value."""


def item_values(event: RemoteEvent) -> dict[str, object]:
    """Return the columns of ``event`` as COPY takes them, with the hash of its content.

    A ``problem`` is no content: it may be ours, found when the series was expanded.
    """
    values = _content(event)
    digest = hashlib.sha256(_encode([*values.values()]).encode()).digest()
    return {**values, "problem": storable_text(event.problem), "content_hash": digest}


def read_event(row: Row[*tuple[Any, ...]]) -> RemoteEvent:
    """Return the event in ``row``, which holds all columns of ``events``."""
    plain: dict[str, Any] = {name: getattr(row, name) for name in _PLAIN}
    return RemoteEvent(
        provider_id=row.provider_id,
        kind=EventKind(row.kind),
        status=EventStatus(row.status),
        series_id=row.series_id,
        recurrence_id=row.recurrence_id,
        all_day=row.all_day,
        start=row.start_date if row.all_day else row.start_at,
        end=row.end_date if row.all_day else row.end_at,
        rules=tuple(row.rules),
        rules_raw=row.rules_raw,
        busy=Busy(row.busy),
        is_organizer=row.is_organizer,
        organizer=row.organizer,
        unknown_values=row.unknown_values,
        attendees=tuple(row.attendees),
        attendees_omitted=row.attendees_omitted,
        sequence=row.sequence,
        updated_at=row.provider_updated_at,
        problem=row.problem,
        **plain,
    )


def span(start: datetime | date | None, end: datetime | date | None, *, all_day: bool) -> Mapping[str, object]:
    """Return the four columns of a span: two instants or two dates, the other two null."""
    return {
        "start_at": None if all_day else start,
        "end_at": None if all_day else end,
        "start_date": start if all_day else None,
        "end_date": end if all_day else None,
    }


def _content(event: RemoteEvent) -> dict[str, Any]:
    # Always in this order: the hash is over the values alone.
    sequence = event.sequence
    return {
        "provider_id": storable_text(event.provider_id),
        "kind": event.kind.value,
        "status": event.status.value,
        "series_id": storable_text(event.series_id),
        "recurrence_id": storable_text(event.recurrence_id),
        "all_day": event.all_day,
        **span(event.start, event.end, all_day=event.all_day),
        "rules": storable(event.rules),
        "rules_raw": _json(event.rules_raw),
        "busy": event.busy.value,
        "is_organizer": event.is_organizer,
        "organizer": _json(event.organizer),
        "unknown_values": _json(event.unknown_values),
        "attendees": _json(event.attendees),
        "attendees_omitted": event.attendees_omitted,
        "sequence": sequence if sequence is not None and abs(sequence) <= BIGGEST else None,
        "provider_updated_at": event.updated_at,
        **{name: storable_text(getattr(event, name)) for name in _PLAIN},
    }


def _json(value: object) -> str | None:
    return None if value is None else _encode(storable(value))
