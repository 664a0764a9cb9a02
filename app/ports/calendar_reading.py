"""What the use cases need from the store to answer services about calendars."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from app.domain.calendar_reading import Place, ShownCalendar, ShownOccurrence, ShownSeries
from app.domain.calendars import Window
from app.domain.connections import Connection
from app.ports.policies import Block, Standing


@dataclass(frozen=True, slots=True)
class PeopleStanding:
    """What a service may do in general, and everything of some people that a decision about them rests on."""

    standing: Standing
    """Without a block: those are each person's own."""
    blocks: Mapping[UUID, Block]
    zones: Mapping[UUID, str]
    """IANA names; a person who is missing does not exist."""
    connections: tuple[Connection, ...]
    """Not disconnected, oldest first."""


@dataclass(frozen=True, slots=True)
class Days:
    """One person's share of a look: which dates the window covers where they are."""

    person_id: UUID
    first: date
    last: date
    """Inclusive."""


@dataclass(frozen=True, slots=True)
class Look:
    """Whose time is looked at, and when."""

    days: tuple[Days, ...]
    calendar_ids: Collection[UUID]
    window: Window


@dataclass(frozen=True, slots=True)
class Origin:
    """Which database this is, and what is committed in it now."""

    database: bytes
    """Eight bytes. Another after a restore, a move or a fail-over: transactions are numbered anew then."""
    snapshot: str
    """A ``pg_snapshot`` as text."""


@dataclass(frozen=True, slots=True)
class Span:
    """What a reader of changes has, and up to where it reads now."""

    since: str | None
    """Snapshot of the last whole round; null before the first."""
    until: str
    """Snapshot of this round."""
    after: tuple[UUID, int] | None
    """Calendar and number of the last change read in this round; null at its start."""


@dataclass(frozen=True, slots=True)
class ChangedEvent:
    """The newest change of one event."""

    calendar_id: UUID
    event_id: str
    seq: int
    """Counts the calendar's changes."""
    is_removed: bool
    changed_at: datetime
    occurrences: int
    """How many are stored of it."""


class CalendarReadingStore(Protocol):
    """Calendars, events and changes as readers see them. Nothing here decides who may."""

    def people(self, service_id: UUID, person_ids: Collection[UUID]) -> PeopleStanding:
        """Return what decisions about these people rest on."""

    def calendars(self, connection_ids: Collection[UUID]) -> tuple[ShownCalendar, ...]:
        """Return the connections' calendars that are not removed, by person, the primary one first."""

    def calendar(self, calendar_id: UUID) -> ShownCalendar | None:
        """Return one calendar that is not removed; null otherwise."""

    def occurrences(self, look: Look, after: Place | None, limit: int) -> tuple[ShownOccurrence, ...]:
        """Return the first ``limit`` occurrences in the window after a place, in order of place. One statement."""

    def series(self, look: Look, after: tuple[UUID, str] | None, limit: int) -> tuple[ShownSeries, ...]:
        """Return the first ``limit`` events with an occurrence in the window, after a calendar and event id.

        In the order of both, without occurrences. Two statements: read in a ``snapshot``.
        """

    def contents(self, keys: Sequence[tuple[UUID, str]]) -> tuple[ShownSeries, ...]:
        """Return these events (calendar, event id) with all their occurrences, in the order of ``keys``.

        What is gone is left out. Two statements: read in a ``snapshot``.
        """

    def whole(self, calendar_id: UUID, limit: int) -> tuple[ShownSeries, ...] | None:
        """Return everything of a calendar with all occurrences; null when it has more than ``limit`` events."""

    def origin(self) -> Origin:
        """Return where a reader of changes stands now."""

    def changes(
        self, span: Span, calendar_ids: Collection[UUID], fresh: Collection[UUID], limit: int
    ) -> tuple[ChangedEvent, ...]:
        """Return the first ``limit`` changes of the span in these calendars, by calendar and number.

        Of ``fresh`` ones everything there is, whatever the reader had before.
        """
