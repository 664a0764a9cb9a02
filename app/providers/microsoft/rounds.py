"""Put one round of calendar view changes together: series, their exceptions and what Graph expanded.

Graph sends occurrences bare (no subject, not even whether they are all-day), masters with the times of their first
occurrence, nothing at all for a deleted occurrence. So a series can only be read as a whole, with its master at hand.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

from app.domain.calendars import (
    ChangePage,
    EventKind,
    EventStatus,
    Occurrence,
    RemoteEvent,
    SeriesOccurrences,
    Window,
    canonical_recurrence_id,
)
from app.domain.recurrence import standalone
from app.providers.fields import Item, child, text
from app.providers.microsoft.parse import ItemKind, kind_of, parse_event, parse_occurrence


class Times(NamedTuple):
    """What an occurrence says, in a fifth of the memory: a round may have hundreds of thousands."""

    start: str | None
    start_zone: str | None
    end: str | None
    end_zone: str | None

    @classmethod
    def of(cls, item: Item) -> Self:
        """Take them from an item; unreadable ones stay so."""
        start, end = child(item, "start"), child(item, "end")
        zones = (text(point, "timeZone") for point in (start, end))
        first, last = (None if zone is None else sys.intern(zone) for zone in zones)
        return cls(text(start, "dateTime"), first, text(end, "dateTime"), last)

    def item(self) -> Item:
        """Return them in Graph's form again."""
        return {
            "start": {"dateTime": self.start, "timeZone": self.start_zone},
            "end": {"dateTime": self.end, "timeZone": self.end_zone},
        }


@dataclass(frozen=True, slots=True)
class SeriesItems:
    """The instances of one series, by id: items come twice, the last one counts."""

    occurrences: dict[str, Times] = field(default_factory=dict)
    exceptions: dict[str, Item] = field(default_factory=dict)

    def take(self, item: Item, *, keeps_occurrences: bool = True) -> None:
        """Add an occurrence or exception; an occurrence that became an exception is not both."""
        item_id = text(item, "id") or ""
        self.drop(item_id)
        if kind_of(item) is ItemKind.EXCEPTION:
            self.exceptions[item_id] = item
        elif keeps_occurrences:
            self.occurrences[item_id] = Times.of(item)

    def drop(self, item_id: str) -> None:
        """Forget an item."""
        self.occurrences.pop(item_id, None)
        self.exceptions.pop(item_id, None)


@dataclass(slots=True)
class Round:
    """What the pages of one round have brought so far."""

    is_full: bool = True
    """Otherwise the occurrences of touched series are asked for anew, and those that come are not kept."""
    masters: dict[str, RemoteEvent] = field(default_factory=dict)
    series: dict[str, SeriesItems] = field(default_factory=dict)
    """Every series that any item of the round belongs to."""

    def take(self, items: Iterable[Item]) -> tuple[tuple[RemoteEvent, ...], tuple[str, ...]]:
        """Take a page in; returns what can be passed on at once: single events and masters, and removed ids."""
        events: dict[str, RemoteEvent] = {}
        removed: dict[str, None] = {}
        for item in items:
            item_id = text(item, "id")
            if item_id is None:
                continue
            match kind_of(item):
                case ItemKind.REMOVED:
                    events.pop(item_id, None)
                    removed[item_id] = None
                    self._forget(item_id)
                case ItemKind.SINGLE | ItemKind.MASTER:
                    removed.pop(item_id, None)
                    events[item_id] = self._event(item)
                case ItemKind.EXCEPTION | ItemKind.OCCURRENCE:
                    series = self._of(text(item, "seriesMasterId") or "")
                    series.take(item, keeps_occurrences=self.is_full)
        return tuple(events.values()), tuple(removed)

    def _event(self, item: Item) -> RemoteEvent:
        event = parse_event(item)
        if event.kind is EventKind.MASTER:
            self.masters[event.provider_id] = event
            self._of(event.provider_id)
        return event

    def _of(self, series_id: str) -> SeriesItems:
        return self.series.setdefault(series_id, SeriesItems())

    def _forget(self, item_id: str) -> None:
        self.masters.pop(item_id, None)
        self.series.pop(item_id, None)
        for items in self.series.values():
            items.drop(item_id)


def read_series(
    master: RemoteEvent, items: SeriesItems, window: Window
) -> tuple[tuple[RemoteEvent, ...], SeriesOccurrences]:
    """Return a series' exceptions and its full set of occurrences in the window; none when it was cancelled."""
    exceptions = tuple(parse_event(item, all_day_series=master.all_day) for item in items.exceptions.values())
    found: dict[str, Occurrence] = {}
    for times in items.occurrences.values():
        occurrence = parse_occurrence(times.item(), master)
        if occurrence is not None:
            found[occurrence.recurrence_id] = occurrence
    found |= _as_they_stand(exceptions, window)
    takes_place = master.status is not EventStatus.CANCELLED
    return exceptions, SeriesOccurrences(master.provider_id, tuple(found.values()) if takes_place else ())


def read_orphans(
    series_id: str, items: SeriesItems, window: Window
) -> tuple[tuple[RemoteEvent, ...], SeriesOccurrences]:
    """Return the exceptions of a series whose master cannot be read: they are full, and stand alone.

    So it is for somebody who was invited to one instance. Bare occurrences say too little to be kept.
    """
    exceptions = tuple(map(parse_event, items.exceptions.values()))
    return exceptions, SeriesOccurrences(series_id, tuple(_as_they_stand(exceptions, window).values()))


def _as_they_stand(exceptions: Iterable[RemoteEvent], window: Window) -> dict[str, Occurrence]:
    """Return the occurrences of exceptions by recurrence id."""
    found: dict[str, Occurrence] = {}
    for exception in exceptions:
        for occurrence in standalone(exception, window):
            # Without an original start nobody knows which instance it was; where it stands keeps it apart.
            identity = occurrence.recurrence_id or canonical_recurrence_id(occurrence.start)
            found[identity] = occurrence._replace(recurrence_id=identity)
    return found


def without_details(page: ChangePage) -> ChangePage:
    """Return a page that says when a calendar is busy and nothing else."""
    return replace(page, events=tuple(map(_times_of, page.events)))


def _times_of(event: RemoteEvent) -> RemoteEvent:
    # A new event, not a copy with fields taken out: what is added to events later stays out by itself.
    return RemoteEvent(
        provider_id=event.provider_id,
        kind=event.kind,
        status=event.status,
        series_id=event.series_id,
        recurrence_id=event.recurrence_id,
        all_day=event.all_day,
        start=event.start,
        end=event.end,
        time_zone=event.time_zone,
        time_zone_raw=event.time_zone_raw,
        rules=event.rules,
        rules_raw=event.rules_raw,
        busy=event.busy,
        privacy="private",
        problem=event.problem,
    )
