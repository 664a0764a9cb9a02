"""A whole calendar as one thing, for a service or for its owner."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from uuid import UUID

from app.domain.calendar_reading import ShownCalendar, ShownSeries
from app.domain.errors import UnknownCalendar
from app.domain.people import Service
from app.domain.reading_errors import CalendarsUnread, CalendarTooLarge
from app.domain.subjects import Subject, SubjectMode
from app.ports import Transaction
from app.services.calendar_access import Asked
from app.services.calendar_reading import Account, CalendarReading, shown_series, unreadable

MOST_EVENTS = 5_000
"""In one file; made in memory, at about a millisecond each."""


@dataclass(frozen=True, slots=True)
class WholeCalendar:
    """A calendar with everything that is stored of it."""

    calendar: ShownCalendar
    series: tuple[ShownSeries, ...]


@dataclass(frozen=True)
class CalendarExport:
    """Reads whole calendars."""

    reading: CalendarReading

    def for_service(
        self, service: Service, calendar_id: UUID, purpose: str | None, present: Subject | None
    ) -> WholeCalendar:
        """Return a calendar whose details the service may see; raises as ``CalendarReading.calendars``.

        Raises ``UnknownCalendar`` also for one the service may not know of, and ``CalendarTooLarge``. ``present`` is
        whose token was shown; null when the service names the calendar alone.
        """
        self.reading.access.slow_down(service, Asked(()))
        with self.reading.store.snapshot() as tx:
            calendar = tx.calendar_reading.calendar(calendar_id)
            if calendar is None or not calendar.is_selected:
                raise UnknownCalendar
            subject = present or Subject(SubjectMode.ABSENT, person_id=calendar.person_id)
            asked = Asked((subject,), purpose, needs_details=True)
            with Account(self.reading, service, asked, "export") as account:
                access = account.open(tx)
                views = self.reading.views(tx, access)
                view = next((one for one in views if one.calendar.id == calendar_id), None)
                if view is None:
                    raise unreadable(tx, access, calendar_id)
                if calendar.synced_at is None:
                    raise CalendarsUnread
                whole = _whole(tx, view.calendar)
                account.settle(Counter({view.connection.id: len(whole.series)}), (), only_read=True)
        return WholeCalendar(calendar, tuple(shown_series(one, view) for one in whole.series))

    def for_owner(self, person_id: UUID, calendar_id: UUID) -> WholeCalendar:
        """Return a person's own calendar, private events and all; a stranger's raises ``UnknownCalendar``."""
        with self.reading.store.snapshot() as tx:
            calendar = tx.calendar_reading.calendar(calendar_id)
            if calendar is None or calendar.person_id != person_id:
                raise UnknownCalendar
            return _whole(tx, calendar)


def _whole(tx: Transaction, calendar: ShownCalendar) -> WholeCalendar:
    series = tx.calendar_reading.whole(calendar.id, MOST_EVENTS)
    if series is None:
        raise CalendarTooLarge
    return WholeCalendar(calendar, series)
