"""Builders: everything a test of the store needs to have happened before."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

from app.domain.calendars import (
    CalendarListing,
    EventKind,
    EventStatus,
    Occurrence,
    RemoteCalendar,
    RemoteEvent,
    Window,
)
from app.domain.connections import Identity
from app.domain.features import Feature
from app.ports import NewGeneration, RoundKey, StagedPage, SyncRound

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HOLD = NOW + timedelta(seconds=30)
WINDOW = Window(NOW - timedelta(days=31), NOW + timedelta(days=396))
FEATURES = (Feature.IDENTITY, Feature.CALENDAR_READ)


def identity(subject="sub-1", email="ada@example.test", issuer="https://accounts.google.com"):
    return Identity(issuer, subject, None, email, "Ada Example")


def generation(connection_id, numbers, *, access=b"access", refresh=b"refresh", origin="consent", **changes):
    values = {
        "scopes": ("openid",),
        "issued_at": NOW,
        "access_expires_at": NOW + timedelta(hours=1),
        "refresh_due_at": NOW + timedelta(minutes=40),
        "refresh_expires_at": None,
    } | changes
    number, epoch, parent = numbers
    return NewGeneration(connection_id, number, epoch, parent, origin, access, refresh, **values)


def single(provider_id, start=NOW, length=timedelta(minutes=30), **changes):
    values = {"summary": f"Event {provider_id}"} | changes
    return RemoteEvent(
        provider_id, EventKind.SINGLE, EventStatus.CONFIRMED, None, None, start=start, end=start + length, **values
    )


def all_day(provider_id, first, days=1, **changes):
    return RemoteEvent(
        provider_id, EventKind.SINGLE, EventStatus.CONFIRMED, None, None,
        all_day=True, start=first, end=first + timedelta(days=days), **changes,
    )  # fmt: skip


def master(provider_id, **changes):
    values = {"start": NOW, "end": NOW + timedelta(hours=1), "rules": ("RRULE:FREQ=DAILY",)} | changes
    return RemoteEvent(provider_id, EventKind.MASTER, EventStatus.CONFIRMED, None, None, **values)


def exception(provider_id, series_id, recurrence_id="20261124T120000Z", **changes):
    values = {"status": EventStatus.CONFIRMED, "start": NOW, "end": NOW + timedelta(hours=1)} | changes
    return RemoteEvent(provider_id, EventKind.EXCEPTION, series_id=series_id, recurrence_id=recurrence_id, **values)


def occurrence(event, recurrence_id="", series_id=None, **changes):
    values = {"start": event.start, "end": event.end} | changes
    return Occurrence(
        series_id or event.provider_id, recurrence_id, event.provider_id, event.all_day, busy=event.busy, **values
    )


def changes(events=(), removed=(), series=None, cursor="cursor-1", *, full=False, window=WINDOW):
    """What a round brings; without ``series`` every single event occurs where it stands."""
    if series is None:
        series = tuple((e.provider_id, (occurrence(e),)) for e in events if e.kind is EventKind.SINGLE)
    return Brought(tuple(events), tuple(removed), tuple(series), cursor, window, full)


@dataclass(frozen=True)
class Brought:
    """What a round brings, before it is staged."""

    events: tuple[RemoteEvent, ...]
    removed: tuple[str, ...]
    series: tuple[tuple[str, tuple[Occurrence, ...]], ...]
    cursor: str
    window: Window
    full: bool
    expanded_by_provider: bool = False

    @property
    def page(self):
        """Return it as a page of a round."""
        return StagedPage(self.events, self.removed, dict(self.series), self.expanded_by_provider)

    def stage(self, tx, run):
        """Write it down as a run would; returns the round to apply."""
        key = RoundKey(run.calendar.id, run.epoch)
        tally = tx.staging.add(key, self.page, 0)
        tx.staging.name_series_of_removed(key)
        return SyncRound(self.cursor, self.window, tally, self.full, expanded_by_provider=self.expanded_by_provider)


def apply_round(store, run, owner, brought):
    """Stage and apply; returns the number of changes, or null when that was not to be."""
    with store.transaction() as tx:
        tx.staging.discard(RoundKey(run.calendar.id, run.epoch))
        staged = brought.stage(tx, run)
    with store.transaction() as tx:
        return tx.calendars.apply(run, owner, staged, NOW)


class Rows:
    """Puts rows in place through the store."""

    def __init__(self, store):
        self.store = store

    def person(self, subject="sub-1"):
        with self.store.transaction() as tx:
            return tx.people.sign_in("google", identity(subject), NOW)

    def connection(self, subject="sub-1", *, person=None, provider="google", tokens=True, **first):
        person = person or self.person(subject)
        connection_id = uuid4()
        with self.store.transaction() as tx:
            tx.connections.add(
                connection_id, person.id, provider, "google", identity(subject), FEATURES, b"wrapped", NOW
            )
            if tokens:
                tx.tokens.append(generation(connection_id, tx.tokens.reserve(connection_id), **first))
            return tx.connections.get(connection_id)

    def calendar(self, connection=None, provider_id="primary", **values):
        connection = connection or self.connection()
        remote = RemoteCalendar(provider_id, values.pop("name", "Work"), "Europe/Berlin", "owner", is_primary=True)
        with self.store.transaction() as tx:
            (calendar_id,) = tx.calendars.merge_list(connection.id, CalendarListing((remote,)), None, NOW)
            return tx.calendars.get(calendar_id)

    def synced(self, events=(), calendar=None, **values):
        """Apply one full pass and give the lease back; returns the calendar."""
        calendar = calendar or self.calendar()
        self.apply(calendar, changes(events, full=True, **values))
        return calendar

    def apply(self, calendar, brought):
        with self.store.transaction() as tx:
            run = tx.calendars.lease(calendar.id, "builder", 60)
        assert apply_round(self.store, run, "builder", brought) is not None
        with self.store.transaction() as tx:
            return tx.calendars.finish(
                run, "builder", next_at=NOW + timedelta(minutes=5), error=None, drop_cursor=False, now=NOW
            )

    def occurrences(self, person_id, window=WINDOW, limit=1000):
        with self.store.reading() as tx:
            return tx.calendars.agenda(person_id, window, limit)


class Session(threading.Thread):
    """A second session: runs ``work(tx)`` in a transaction of its own, in a thread of its own."""

    def __init__(self, store, work):
        super().__init__(daemon=True)
        self._store, self._work = store, work
        self._answer = self._error = None
        self.start()

    def run(self):
        try:
            with self._store.transaction() as tx:
                self._answer = self._work(tx)
        except Exception as error:  # noqa: BLE001 - handed to the test by ``answer``
            self._error = error

    def answer(self, timeout_s=20):
        self.join(timeout_s)
        assert not self.is_alive(), "the session still waits"
        if self._error is not None:
            raise self._error
        return self._answer

    def wait_until_blocked(self, peek, timeout_s=20):
        """Return when some session of this database waits for a lock of another."""
        end = time.monotonic() + timeout_s
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        while peek(query) == [(0,)]:
            assert self.is_alive(), "the session did not have to wait"
            assert time.monotonic() < end, "nobody waits for a lock"
            time.sleep(0.01)


TODAY = date(2026, 11, 23)
