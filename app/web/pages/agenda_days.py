"""A person's occurrences grouped by day in their zone, ready for the agenda page. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Protocol

from app.domain.calendars import Busy, Occurrence, Window
from app.web import texts
from app.web.times import clock_time, day_name, start_of_day

LONGEST_DAYS = 31


class PlannedItem(Protocol):
    """What the agenda reads of one occurrence with its event and account."""

    @property
    def occurrence(self) -> Occurrence:
        """Return when it is."""

    @property
    def summary(self) -> str | None:
        """Return the title; null when there is none or it is not shared."""

    @property
    def location(self) -> str | None:
        """Return the place."""

    @property
    def status(self) -> str:
        """Return RFC 5545 STATUS in small letters."""

    @property
    def privacy(self) -> str:
        """Return ``default``, ``public`` or ``private``."""

    @property
    def html_link(self) -> str | None:
        """Return where the provider shows it."""

    @property
    def calendar_name(self) -> str:
        """Return the calendar it is in."""

    @property
    def account_email(self) -> str | None:
        """Return the account's address; null when unknown."""

    @property
    def is_recurring(self) -> bool:
        """Return whether it is one of a series."""


@dataclass(frozen=True, slots=True)
class Span:
    """The days a page shows."""

    first: date
    days: int
    zone: tzinfo

    @property
    def end(self) -> date:
        """Return the day after the last one."""
        return self.first + timedelta(days=self.days)

    def dates(self) -> tuple[date, ...]:
        """Return the days in order."""
        return tuple(self.first + timedelta(days=offset) for offset in range(self.days))

    def window(self) -> Window:
        """Return the span as instants: from the first midnight to the last, in the zone."""
        return Window(start_of_day(self.first, self.zone), start_of_day(self.end, self.zone))

    def query(self, days: int = 0) -> str:
        """Return the query of this span moved by ``days``."""
        return f"from={self.first + timedelta(days=days)}&days={self.days}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a day."""

    time: str
    title: str
    is_all_day: bool
    is_cancelled: bool
    location: str | None
    marks: tuple[str, ...]
    """Short remarks: private, not confirmed, repeats."""
    source: str
    """Calendar and account."""
    link: str | None


@dataclass(frozen=True, slots=True)
class Day:
    """One day with its entries, those without a time first."""

    date: date
    name: str
    is_today: bool
    entries: tuple[Entry, ...]


def span_of(from_text: str, days_text: str, today: date, zone: tzinfo) -> Span:
    """Return the span a query asks for; what cannot be read falls back to seven days from today."""
    try:
        first = date.fromisoformat(from_text)
    except ValueError:
        first = today
    # Beyond these years the calendar arithmetic of a neighbouring page would overflow.
    first = first if 1970 <= first.year <= 2200 else today
    days = int(days_text) if days_text.isascii() and days_text.isdigit() and len(days_text) < 4 else 7
    return Span(first, min(max(days, 1), LONGEST_DAYS), zone)


def days_of(items: Iterable[PlannedItem], span: Span, today: date) -> tuple[Day, ...]:
    """Return every day of ``span`` with what falls on it; an item of several days stands on each."""
    found = tuple(items)
    return tuple(Day(day, day_name(day, today), day == today, _entries(found, day, span.zone)) for day in span.dates())


def _entries(items: tuple[PlannedItem, ...], day: date, zone: tzinfo) -> tuple[Entry, ...]:
    on_day = [item for item in items if _falls_on(item, day, zone)]
    on_day.sort(key=lambda item: _order(item, day, zone))
    return tuple(_entry(item, day, zone) for item in on_day)


def _falls_on(item: PlannedItem, day: date, zone: tzinfo) -> bool:
    first, last = _local_days(item, zone)
    return first <= day <= last


def _local_days(item: PlannedItem, zone: tzinfo) -> tuple[date, date]:
    """Return first and last day, both included. An end at midnight does not touch the new day."""
    start, end = item.occurrence.start, item.occurrence.end
    if isinstance(start, datetime) and isinstance(end, datetime):
        first = start.astimezone(zone)
        last = max(first, (end.astimezone(zone) - timedelta(microseconds=1)) if end > start else first)
        return first.date(), last.date()
    first_day = start.date() if isinstance(start, datetime) else start
    end_day = end.date() if isinstance(end, datetime) else end
    return first_day, max(first_day, end_day - timedelta(days=1))


def _order(item: PlannedItem, day: date, zone: tzinfo) -> tuple[int, str, str]:
    start = item.occurrence.start
    if not isinstance(start, datetime):
        return 0, "", item.summary or ""
    local = start.astimezone(zone)
    return 1, "" if local.date() < day else local.isoformat(), item.summary or ""


def _entry(item: PlannedItem, day: date, zone: tzinfo) -> Entry:
    all_day = not isinstance(item.occurrence.start, datetime)
    return Entry(
        time=_time(item, day, zone),
        title=_title(item),
        is_all_day=all_day,
        is_cancelled=item.status == "cancelled",
        location=item.location,
        marks=_marks(item),
        source=_source(item),
        link=item.html_link if (item.html_link or "").startswith("https://") else None,
    )


def _time(item: PlannedItem, day: date, zone: tzinfo) -> str:
    start, end = item.occurrence.start, item.occurrence.end
    if not isinstance(start, datetime) or not isinstance(end, datetime):
        return texts.AGENDA_ALL_DAY
    first, last = _local_days(item, zone)
    from_time, to_time = clock_time(start, zone), clock_time(end, zone)
    if first == last:
        return f"{from_time}\N{EN DASH}{to_time}"
    if day == first:
        return texts.AGENDA_CONTINUES.format(start=from_time)
    return texts.AGENDA_FROM_BEFORE.format(end=to_time) if day == last else texts.AGENDA_ALL_DAY


def _source(item: PlannedItem) -> str:
    """Return calendar and account; Google names the main calendar after the account, which is said once."""
    names = dict.fromkeys(name for name in (item.calendar_name, item.account_email) if name)
    return " · ".join(names)


def _title(item: PlannedItem) -> str:
    if item.summary:
        return item.summary
    return texts.AGENDA_PRIVATE_UNTITLED if item.privacy == "private" else texts.AGENDA_UNTITLED


def _marks(item: PlannedItem) -> tuple[str, ...]:
    marks = (
        (item.status == "cancelled", texts.AGENDA_CANCELLED),
        (item.status == "tentative", texts.AGENDA_TENTATIVE),
        (item.privacy == "private" and bool(item.summary), texts.AGENDA_PRIVATE),
        (item.is_recurring, texts.AGENDA_REPEATS),
        (item.occurrence.busy is Busy.FREE, texts.AGENDA_FREE),
    )
    return tuple(text for applies, text in marks if applies)
