"""Put one round of changes together: the last word on every item, and every touched series as it is afterwards.

Pages may say several things about one id, exceptions come before, after or without their master, and a tombstone may
name nothing but an id. Source: Calendar API v3, events: list and guide on recurring events; RFC 5545 section 3.8.4.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from app.domain.calendars import ChangePage, EventKind, EventStatus, Occurrence, RemoteEvent, Series, Window
from app.domain.errors import Unrepresentable
from app.domain.recurrence import expand, single_occurrence

LEAST_CAP = 10_000
MOST_A_DAY = 2
"""A series may have this many instances for each day of a long window: a daily one fits into any, an hourly one for
ever is no calendar."""
_ANYWHERE = timedelta(days=2)
"""Around a date this much holds it in every zone."""


def merge_pages(pages: Sequence[ChangePage]) -> tuple[dict[str, RemoteEvent], tuple[str, ...]]:
    """Return the last word on every id: events by provider id, and ids that are gone."""
    events: dict[str, RemoteEvent] = {}
    removed: dict[str, None] = {}
    for page in pages:
        for provider_id in page.removed:
            events.pop(provider_id, None)
            removed[provider_id] = None
        for event in page.events:
            removed.pop(event.provider_id, None)
            events[event.provider_id] = event
    return events, tuple(removed)


def touched_ids(events: Mapping[str, RemoteEvent]) -> set[str]:
    """Return the ids of all series that ``events`` belong to."""
    return {event.series_id or key for key, event in events.items() if event.kind is not EventKind.SINGLE}


@dataclass(frozen=True, slots=True)
class TouchedSeries:
    """What a round made of the series it touched."""

    series: Mapping[str, Series]
    """By series id, as they are now."""
    lost: tuple[str, ...]
    """Ids of stored exceptions that were removed and whose instance is none any more: nothing of them is to be kept.

    Any other removed exception is a cancelled instance, which is kept for the life of its master."""


def touched_series(
    touched: set[str], stored: Sequence[Series], events: Mapping[str, RemoteEvent], removed: Sequence[str]
) -> TouchedSeries:
    """Return every touched series as it is after this round.

    The incoming items win over the ``stored`` ones. A removed master takes its series along; one that recurs no more
    is no series.
    """
    gone = set(removed)
    over = gone | {key for key, event in events.items() if event.kind is EventKind.SINGLE}
    masters = {s.master.provider_id: s.master for s in stored if s.master is not None}
    masters |= {key: event for key, event in events.items() if event.kind is EventKind.MASTER}
    exceptions = {event.provider_id: event for s in stored for event in s.exceptions}
    exceptions |= {key: event for key, event in events.items() if event.kind is EventKind.EXCEPTION}
    by_series: dict[str, list[RemoteEvent]] = {series_id: [] for series_id in touched - over}
    lost = []
    for key, exception in exceptions.items():
        own = by_series.get(exception.series_id or "")
        if key not in gone:
            if own is not None:
                own.append(exception)
        elif own is not None and is_instance(masters.get(exception.series_id or ""), exception.recurrence_id):
            own.append(replace(exception, status=EventStatus.CANCELLED))
        else:
            lost.append(key)
    series = {series_id: Series(masters.get(series_id), tuple(own)) for series_id, own in by_series.items()}
    return TouchedSeries(series, tuple(lost))


def is_instance(master: RemoteEvent | None, recurrence_id: str | None) -> bool:
    """Return whether the rules of ``master`` give the instance; true where that cannot be known."""
    if master is None or recurrence_id is None:
        return True
    try:
        found = expand(Series(master), _around(recurrence_id))
    except (Unrepresentable, ValueError, OverflowError):
        return True
    return any(occurrence.recurrence_id == recurrence_id for occurrence in found)


def occurrences_of(series: Series, window: Window) -> tuple[Occurrence, ...]:
    """Return the occurrences of a series; a single event is one too. Raises ``Unrepresentable``."""
    master = series.master
    if master is not None and master.kind is EventKind.SINGLE:
        return single_occurrence(master, window)
    return expand(series, window, max(LEAST_CAP, MOST_A_DAY * (window.end - window.start).days))


def _around(recurrence_id: str) -> Window:
    form = "%Y%m%dT%H%M%SZ" if "T" in recurrence_id else "%Y%m%d"
    moment = datetime.strptime(recurrence_id, form).replace(tzinfo=UTC)
    return Window(moment - _ANYWHERE, moment + _ANYWHERE)
