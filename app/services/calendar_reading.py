"""What services read of people's calendars: decided, counted, written down, then answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta, tzinfo
from typing import Self
from uuid import UUID, uuid4

from app.domain.audit import AuditEntry
from app.domain.calendar_reading import Place, Reach, ShownCalendar, ShownOccurrence, ShownSeries, shown_to
from app.domain.calendars import RemoteEvent, Window
from app.domain.connections import Connection
from app.domain.errors import LatchkeyError, UnknownCalendar
from app.domain.people import Service
from app.domain.zones import find_zone
from app.ports import Clock, Days, Look, Store, Transaction
from app.services.calendar_access import Access, Asked, CalendarAccess, Readable, ReadRefused, Refused
from app.services.hand_out_log import HandOutLog


@dataclass(frozen=True, slots=True)
class CalendarView:
    """A calendar with how much of it the reader sees, and whether it is up to date."""

    calendar: ShownCalendar
    connection: Connection
    reach: Reach
    is_stale: bool
    """Whether it was not synced for so long that the provider may know better."""


@dataclass(frozen=True, slots=True)
class CalendarList:
    """Calendars, and who is refused."""

    calendars: tuple[CalendarView, ...]
    refused: tuple[Refused, ...]


@dataclass(frozen=True, slots=True)
class OccurrencePage:
    """Occurrences in order of their places."""

    calendars: tuple[CalendarView, ...]
    """Those that were looked at."""
    refused: tuple[Refused, ...]
    occurrences: tuple[ShownOccurrence, ...]
    after: Place | None
    """Where the next page begins; null on the last one."""


@dataclass(frozen=True, slots=True)
class SeriesPage:
    """Events without their occurrences, in order of calendar and id."""

    calendars: tuple[CalendarView, ...]
    refused: tuple[Refused, ...]
    series: tuple[ShownSeries, ...]
    after: tuple[UUID, str] | None
    """Where the next page begins; null on the last one."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Which events are wanted."""

    window: Window
    zone: tzinfo | None = None
    """Where the window's dates are taken, for all-day events; null: where each person is."""
    calendar_ids: tuple[UUID, ...] = ()
    """Empty: all of these people."""


@dataclass(frozen=True)
class CalendarReading:
    """Reads for services."""

    store: Store
    access: CalendarAccess
    log: HandOutLog
    clock: Clock
    stale_after: timedelta

    def calendars(self, service: Service, asked: Asked) -> CalendarList:
        """Return the calendars of these people.

        Raises ``RateLimited``, ``ClientFrozen``, ``StoreUnavailable``; and ``ReadRefused`` when one person was asked
        for and nothing of theirs can be read. Several are answered one by one.
        """
        self.access.slow_down(service, asked)
        with self.store.reading() as tx, Account(self, service, asked, "calendars") as account:
            access = account.open(tx)
            views = self.views(tx, access)
            account.settle(Counter(view.connection.id for view in views), access.refused)
        return CalendarList(views, access.refused)

    def occurrences(
        self, service: Service, asked: Asked, wish: Wish, after: Place | None, limit: int
    ) -> OccurrencePage:
        """Return a page of occurrences; raises as ``calendars``, and ``UnknownCalendar`` for one that is not theirs."""
        self.access.slow_down(service, asked)
        with self.store.reading() as tx, Account(self, service, asked, "occurrences") as account:
            access = account.open(tx)
            views = _chosen(tx, access, self.views(tx, access), wish)
            found = tx.calendar_reading.occurrences(_look(access, views, wish), after, limit + 1)
            page = tuple(_shown_occurrence(one, views) for one in found[:limit])
            account.settle(Counter(views[one.calendar_id].connection.id for one in page), access.refused)
        rest = page[-1].place if len(found) > limit else None
        return OccurrencePage(tuple(views.values()), access.refused, page, rest)

    def series(
        self, service: Service, asked: Asked, wish: Wish, after: tuple[UUID, str] | None, limit: int
    ) -> SeriesPage:
        """Return a page of events that happen in the window; raises as ``occurrences``."""
        self.access.slow_down(service, asked)
        with self.store.snapshot() as tx, Account(self, service, asked, "events") as account:
            access = account.open(tx)
            views = _chosen(tx, access, self.views(tx, access), wish)
            found = tx.calendar_reading.series(_look(access, views, wish), after, limit + 1)
            page = tuple(shown_series(one, views[one.calendar_id]) for one in found[:limit])
            account.settle(Counter(views[one.calendar_id].connection.id for one in page), access.refused)
        rest = (page[-1].calendar_id, page[-1].event_id) if len(found) > limit else None
        return SeriesPage(tuple(views.values()), access.refused, page, rest)

    def views(self, tx: Transaction, access: Access) -> tuple[CalendarView, ...]:
        """Return the calendars that may be read."""
        readable = {one.connection.id: one for one in access.readable}
        if not readable:
            return ()
        return tuple(
            CalendarView(
                calendar,
                readable[calendar.connection_id].connection,
                readable[calendar.connection_id].reach,
                self.is_stale(calendar),
            )
            for calendar in tx.calendar_reading.calendars(readable)
        )

    def is_stale(self, calendar: ShownCalendar) -> bool:
        """Return whether a calendar was not synced for too long."""
        return calendar.synced_at is None or self.clock() - calendar.synced_at > self.stale_after


class Account:
    """One read, counted against policies and written into the audit log before its answer leaves.

    A context manager: what was counted is given back when the read fails, and a refusal is written down.
    """

    def __init__(self, reading: CalendarReading, service: Service, asked: Asked, kind: str) -> None:
        self._access, self._log, self._clock = reading.access, reading.log, reading.clock
        self._service, self._asked, self._kind = service, asked, kind
        self._decided: Access | None = None

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Write down who was refused."""
        if isinstance(error, ReadRefused):
            self._refuse(error.cause, error.connection)

    def open(self, tx: Transaction) -> Access:
        """Decide; raises as ``CalendarAccess.decide``."""
        self._decided = self._access.decide(tx, self._service, self._asked)
        return self._decided

    def settle(self, read: Mapping[UUID, int], refused: Iterable[Refused], *, only_read: bool = False) -> None:
        """Count and write down what leaves: connection to number of items, and who is refused in the same answer.

        A connection without any items counts too, unless ``only_read``. Raises ``RateLimited`` and
        ``StoreUnavailable``; then the answer must not leave.
        """
        assert self._decided is not None  # noqa: S101  # nothing is read before it is decided
        left = [one for one in self._decided.readable if not only_read or one.connection.id in read]
        charged = self._access.charge(self._decided, left)
        try:
            for one in left:
                self._write(one, read.get(one.connection.id, 0))
            for one_refused in refused:
                self._refuse(one_refused.error, one_refused.connection)
        except LatchkeyError:
            self._access.give_back(charged)
            raise

    def _write(self, one: Readable, count: int) -> None:
        detail = {"count": count, "purpose": one.question.purpose, "reach": one.reach.value, "what": self._kind}
        self._log.write_entry(
            AuditEntry(
                uuid4(), "calendar_read.released", self._clock(), self._service.id, one.connection.person_id,
                one.connection.id, detail,
            )
        )  # fmt: skip

    def _refuse(self, error: LatchkeyError, connection: Connection | None) -> None:
        """Write a refusal down. What was asked about and is not known of stays out of the log."""
        person_id = None if connection is None else connection.person_id
        connection_id = None if connection is None else connection.id
        detail = {"purpose": self._asked.purpose, "reason": error.code, "what": self._kind}
        self._log.write_entry(
            AuditEntry(
                uuid4(), "calendar_read.denied", self._clock(), self._service.id, person_id, connection_id, detail
            )
        )


def shown_series(found: ShownSeries, view: CalendarView) -> ShownSeries:
    """Return what of an event the reader of ``view`` may see."""
    role = view.calendar.access_role

    def shown(event: RemoteEvent) -> RemoteEvent:
        return shown_to(view.reach, role, event)

    own = None if found.event is None else shown(found.event)
    return ShownSeries(
        found.calendar_id, found.event_id, own, tuple(map(shown, found.exceptions)), found.occurrences
    )  # fmt: skip


def _shown_occurrence(found: ShownOccurrence, views: Mapping[UUID, CalendarView]) -> ShownOccurrence:
    if found.event is None:
        return found
    view = views[found.calendar_id]
    event = shown_to(view.reach, view.calendar.access_role, found.event)
    return ShownOccurrence(found.calendar_id, found.occurrence, event)


def unreadable(tx: Transaction, access: Access, calendar_id: UUID) -> LatchkeyError:
    """Return why a calendar is not among those that may be read: what its account is refused for, if it has one."""
    calendar = tx.calendar_reading.calendar(calendar_id)
    refused = {one.connection.id: one for one in access.refused if one.connection is not None}
    if calendar is None or calendar.connection_id not in refused:
        return UnknownCalendar()
    return ReadRefused(refused[calendar.connection_id])


def _chosen(tx: Transaction, access: Access, views: Iterable[CalendarView], wish: Wish) -> dict[UUID, CalendarView]:
    """Return the calendars that were asked for and are kept here; raises ``UnknownCalendar`` and ``ReadRefused``."""
    kept = {view.calendar.id: view for view in views if view.calendar.is_selected}
    for calendar_id in wish.calendar_ids:
        if calendar_id not in kept:
            raise unreadable(tx, access, calendar_id)
    return {calendar_id: kept[calendar_id] for calendar_id in wish.calendar_ids} if wish.calendar_ids else kept


def _look(access: Access, views: Mapping[UUID, CalendarView], wish: Wish) -> Look:
    zones = access.people.zones
    people = {view.calendar.person_id for view in views.values()}
    last = wish.window.end - timedelta(microseconds=1)

    def days(person_id: UUID) -> Days:
        zone = wish.zone or find_zone(zones.get(person_id)) or UTC
        return Days(person_id, wish.window.start.astimezone(zone).date(), last.astimezone(zone).date())

    return Look(tuple(map(days, sorted(people))), tuple(views), wish.window)
