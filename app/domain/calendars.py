"""Calendars, events and occurrences in one form for all providers, after JSCalendar (RFC 8984).

Times: a timed event has aware UTC ``start``/``end``; an all-day event has two dates, the second exclusive.
Recurrence ids are canonical text: ``20250326T130000Z`` for timed, ``20250326`` for all-day: the instant or
date the instance was *first* meant for, never where it stands now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import NamedTuple


class EventKind(StrEnum):
    """What a provider's item is."""

    SINGLE = "single"
    MASTER = "master"
    EXCEPTION = "exception"


class EventStatus(StrEnum):
    """RFC 5545 STATUS."""

    CONFIRMED = "confirmed"
    TENTATIVE = "tentative"
    CANCELLED = "cancelled"


class Busy(StrEnum):
    """How an event counts when somebody looks for free time."""

    FREE = "free"
    TENTATIVE = "tentative"
    BUSY = "busy"
    OUT_OF_OFFICE = "out_of_office"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True)
class Window:
    """Half-open span of time, aware UTC, that sync keeps occurrences for."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class RemoteCalendar:
    """One entry of a provider's calendar list."""

    provider_id: str
    name: str
    time_zone: str | None
    """IANA name; null when the provider does not say or the name is unknown."""
    access_role: str
    """``free_busy``, ``reader``, ``writer`` or ``owner``."""
    is_primary: bool
    color: str | None = None


FREE_BUSY = "free_busy"
"""The access role of a calendar that shows when it is busy and nothing else."""


@dataclass(frozen=True, slots=True)
class CalendarListing:
    """What one reading of a calendar list brought."""

    calendars: tuple[RemoteCalendar, ...]
    """All there are when ``is_full``, else those that changed."""
    removed: tuple[str, ...] = ()
    """Provider ids that left the list since the cursor; unknown ids are normal."""
    cursor: str | None = None
    """Where the next reading starts; null when only whole lists are to be had."""
    is_full: bool = True


@dataclass(frozen=True, slots=True)
class RemoteEvent:
    """One provider item: a single event, a series master, or an exception of a series.

    A cancelled exception is kept for the life of its master and may carry nothing but its identity.
    """

    provider_id: str
    kind: EventKind
    status: EventStatus
    series_id: str | None
    """Provider id of the master, for exceptions; otherwise null."""
    recurrence_id: str | None
    """Canonical, for exceptions; null when unknown (a bare tombstone) and for the other kinds."""
    all_day: bool = False
    start: datetime | date | None = None
    """Aware UTC instant, or date when ``all_day``; null for cancelled items that came bare."""
    end: datetime | date | None = None
    """Exclusive."""
    time_zone: str | None = None
    """IANA zone the event lives in; null when unknown."""
    time_zone_raw: str | None = None
    rules: tuple[str, ...] = ()
    """RFC 5545 lines (RRULE, RDATE, EXDATE) after repair; only on masters."""
    rules_raw: object = None
    """The provider's own form, JSON-serialisable; null when there is none."""
    busy: Busy = Busy.BUSY
    event_type: str = "default"
    """The provider's own word."""
    unknown_values: Mapping[str, str] | None = None
    """What the provider said in words nobody knows yet, by its own names; read as what hides and blocks most."""
    privacy: str = "default"
    """``default``, ``public`` or ``private``."""
    self_response: str | None = None
    """``accepted``, ``declined``, ``tentative``, ``needs_action``, ``organizer`` or null."""
    is_organizer: bool = False
    organizer: Mapping[str, str] | None = None
    """``name`` and ``email``, whichever are known."""
    attendees: tuple[Mapping[str, str], ...] = ()
    """``name``, ``email``, ``response`` per attendee."""
    attendees_omitted: bool = False
    summary: str | None = None
    location: str | None = None
    description: str | None = None
    html_link: str | None = None
    conference_url: str | None = None
    ical_uid: str | None = None
    etag: str | None = None
    sequence: int | None = None
    updated_at: datetime | None = None
    problem: str | None = None
    """Why the item cannot be represented, a stable code; such an item is stored and has no occurrences."""


class Occurrence(NamedTuple):
    """One instance on the time line.

    A tuple because there are a hundred for each event, and a frozen dataclass takes five times as long to make.
    """

    series_id: str
    """Provider id of the master, or of the single event itself."""
    recurrence_id: str
    """Canonical; empty for single events."""
    source_id: str
    """Provider id of the item that supplies the content: master, exception or single."""
    all_day: bool
    start: datetime | date
    end: datetime | date
    busy: Busy = Busy.BUSY


@dataclass(frozen=True, slots=True)
class SeriesOccurrences:
    """All occurrences a provider expanded for one series inside the window (Graph); replaces what was stored."""

    series_id: str
    occurrences: tuple[Occurrence, ...]


@dataclass(frozen=True, slots=True)
class ChangePage:
    """One page of changes. Items of later pages win over earlier ones with the same id."""

    events: tuple[RemoteEvent, ...] = ()
    removed: tuple[str, ...] = ()
    """Provider ids that are gone from the view: deleted, or moved outside it. Unknown ids are normal."""
    series: tuple[SeriesOccurrences, ...] = ()
    cursor: str | None = None
    """Set on the last page only: where the next round starts."""
    is_full: bool = False
    """Whether this page is all there is, although a cursor was given: what it does not name is gone."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A provider's push subscription as the provider described it."""

    provider_channel_id: str
    """Google: our channel id; Microsoft: the subscription id."""
    resource_id: str | None
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Series:
    """A stored series for expansion: the master and all its stored exceptions."""

    master: RemoteEvent | None
    """Null when only exceptions are known, as for somebody invited to one instance."""
    exceptions: tuple[RemoteEvent, ...] = field(default=())


def canonical_recurrence_id(moment: datetime | date) -> str:
    """Return the canonical recurrence id of an original start."""
    # Not strftime: it is slow, and leaves out the zeros before a year such as 0987.
    if not isinstance(moment, datetime):
        return f"{moment.year:04}{moment.month:02}{moment.day:02}"
    utc = moment.astimezone(UTC)
    return f"{utc.year:04}{utc.month:02}{utc.day:02}T{utc.hour:02}{utc.minute:02}{utc.second:02}Z"
