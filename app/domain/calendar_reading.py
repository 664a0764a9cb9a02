"""What of a stored calendar may be shown to whom, and in which order. Pure.

A service sees details or times. Times are all that is left of an event that its owner marked as private, and of a
calendar the account itself sees as free and busy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from enum import StrEnum
from uuid import UUID

from app.domain.calendars import Occurrence, RemoteEvent, Window
from app.domain.features import Feature
from app.domain.policies import Allowed, Denied, Policy, Question, decide

FREE_BUSY = "free_busy"
"""The access role of calendars that show no more than when somebody is busy."""


class Reach(StrEnum):
    """How much of an event a reader may see."""

    DETAILS = "details"
    TIMES = "times"
    """When, and how it counts; never what, where and with whom."""


_FEATURES = (
    (Feature.CALENDAR_READ, Reach.DETAILS),
    (Feature.CALENDAR_WRITE, Reach.DETAILS),
    (Feature.CALENDAR_FREEBUSY, Reach.TIMES),
)
"""Whoever may write may read."""


@dataclass(frozen=True, slots=True)
class ShownCalendar:
    """A stored calendar with what a reader must know of its state."""

    id: UUID
    connection_id: UUID
    person_id: UUID
    name: str
    time_zone: str | None
    access_role: str
    is_primary: bool
    is_selected: bool
    is_paused: bool
    synced_at: datetime | None
    """Null until the first sync has been committed."""
    error: str | None
    """Code of the last failure; null when the last run was good."""
    window: Window | None
    """What occurrences are complete for; null before the first sync."""
    event_count: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of occurrences ends: the key of its last one. Keys do not move when others come and go."""

    begins: datetime
    calendar_id: UUID
    series_id: str
    recurrence_id: str


@dataclass(frozen=True, slots=True)
class ShownOccurrence:
    """One occurrence with the item that supplies its content."""

    calendar_id: UUID
    occurrence: Occurrence
    event: RemoteEvent | None
    """Null when the store has the time alone, as on free/busy calendars."""

    @property
    def place(self) -> Place:
        """Return its place in the order of all."""
        one = self.occurrence
        return Place(begins(one.start), self.calendar_id, one.series_id, one.recurrence_id)


@dataclass(frozen=True, slots=True)
class ShownSeries:
    """One event as it is stored now: a single one, or a series with everything that deviates from it."""

    calendar_id: UUID
    event_id: str
    event: RemoteEvent | None
    """The single event or the master; null when only exceptions are known here."""
    exceptions: tuple[RemoteEvent, ...]
    """In order of their ids; cancelled ones are among them."""
    occurrences: tuple[Occurrence, ...] = ()
    """All in the stored window, when they were asked for."""


def begins(start: datetime | date) -> datetime:
    """Return where a start stands in the order: dates at midnight UTC."""
    return start if isinstance(start, datetime) else datetime.combine(start, time(), UTC)


def reach_allowed(policies: Sequence[Policy], question: Question) -> tuple[Allowed | Denied, Reach | None]:
    """Return the verdict for the most that ``policies`` let the service read, and how much that is; null when denied.

    Its ``granted_scopes`` must be empty: no token leaves, so what else the person granted does not matter.
    """
    verdicts = [(decide(policies, replace(question, features=(feature,))), reach) for feature, reach in _FEATURES]
    for verdict, reach in verdicts:
        if isinstance(verdict, Allowed):
            return verdict, reach
    return verdicts[0][0], None


def shown_to(reach: Reach, access_role: str, event: RemoteEvent) -> RemoteEvent:
    """Return what of ``event`` may be shown; never more than its times when it is private."""
    if reach is Reach.DETAILS and access_role != FREE_BUSY and event.privacy != "private":
        return event
    return replace(
        event,
        organizer=None,
        attendees=(),
        attendees_omitted=True,
        self_response=None,
        is_organizer=False,
        event_type="default",
        summary=None,
        location=None,
        description=None,
        html_link=None,
        conference_url=None,
        ical_uid=None,
        etag=None,
        rules_raw=None,
    )
