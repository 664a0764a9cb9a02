"""Sync one calendar: lease, fetch pages with no transaction open, apply everything in one transaction.

The dirty counter decides: ``requested`` is raised by notifications, timers and people, a run stores the value
it saw as ``completed``. Duplicate tasks are harmless, a lost one costs a poll interval.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from app.domain.calendars import ChangePage, EventKind, Occurrence, RemoteEvent, Series, Window
from app.domain.errors import (
    AccessTokenRejected,
    CalendarGone,
    CursorExpired,
    LatchkeyError,
    ProviderRejected,
    ProviderThrottled,
    ScopesMissing,
    UnknownCalendar,
    Unrepresentable,
)
from app.domain.rounds import TouchedSeries, merge_pages, occurrences_of, touched_ids, touched_series
from app.domain.tokens import retry_delay_s
from app.ports import AppliedChanges, CalendarProvider, CalendarRow, Clock, Providers, Spread, Store, SyncRun
from app.services.access_tokens import AccessTokens

LEASE_S = 150.0
"""Above the deadline of a page, and prolonged while pages come: a crash costs this much time, a long read nothing."""

FIRST_RETRY = 3
"""Exponent of the first wait after a failure: about six seconds, then twice as long each time."""

LONGEST_WAIT_S = 900.0
"""Between attempts at something that keeps failing."""

WINDOW_SLACK = timedelta(days=30)
"""The window rolls by a full pass when its far end has come this much too near."""

CLOCK_SLACK = timedelta(hours=1)
"""Clocks of two machines may differ."""

FEW_EVENTS = 20
"""Calendars up to this size may lose most of their events without anybody wondering."""


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """How far and how often."""

    past: timedelta = timedelta(days=31)
    future: timedelta = timedelta(days=396)
    poll_interval: timedelta = timedelta(minutes=5)
    """Push makes changes visible sooner; polling closes every gap."""


@dataclass(frozen=True, slots=True)
class SyncOutcome:
    """What one run did."""

    events: int
    removed: int
    occurrences: int
    full: bool
    again: bool
    """More was requested meanwhile: run once more."""


@dataclass(frozen=True)
class CalendarSync:
    """Keeps stored calendars equal to the provider's."""

    store: Store
    providers: Providers
    access_tokens: AccessTokens
    clock: Clock
    spread: Spread
    settings: SyncSettings
    owner: Callable[[], str] = lambda: f"{socket.gethostname()}:{os.getpid()}"

    def sync(self, calendar_id: UUID, *, only_due: bool = False) -> SyncOutcome | None:
        """Run one sync; null when somebody else is at it, or it is nobody's any more.

        ``only_due``: null also when it is not due (any more), so that a hint that comes twice makes no second run.
        Raises leaves of ``ProviderError`` after the state has been written down: the next attempt is a row.
        """
        due_by = self.clock() if only_due else None
        with self.store.transaction() as tx:
            run = tx.calendars.lease(calendar_id, self.owner(), LEASE_S, due_by=due_by)
        if run is None:
            return None
        outcome, fault = None, LatchkeyError("unexpected")
        try:
            outcome = self._run(run)
        except LatchkeyError as error:
            fault = error
            raise
        finally:
            # Whatever ended the run, a bug included: the lease goes back and the next attempt is a row.
            again = self._finish(run, None if outcome is not None else fault)
        return replace(outcome, again=again)

    def request(self, calendar_id: UUID) -> None:
        """Mark a calendar dirty and due now."""
        with self.store.transaction() as tx:
            tx.calendars.request_sync(calendar_id, self.clock())

    def _run(self, run: SyncRun) -> SyncOutcome:
        calendars = self.providers.get(run.calendar.provider).calendars
        if calendars is None:
            raise UnknownCalendar
        window, full = self._window(run)
        pages = self._fetch(run, calendars, None if full else run.cursor, window)
        if full and not run.calendar.is_times_only and is_suspicious(pages, run.calendar.event_count):
            # Rows are about to be swept because they were not seen: a second read decides.
            pages = self._fetch(run, calendars, None, window)
        full = full or any(page.is_full for page in pages)
        changes = self._changes(run.calendar, calendars, pages, window, full=full)
        now = self.clock()
        with self.store.transaction() as tx:
            applied = tx.calendars.apply(run, self.owner(), changes, now)
        if not applied:
            raise CursorExpired("another run was quicker")
        occurrences = sum(len(found) for _, found in changes.series)
        return SyncOutcome(len(changes.events), len(changes.removed), occurrences, full, again=False)

    def _window(self, run: SyncRun) -> tuple[Window, bool]:
        """Return the window to sync, and whether a full pass is needed for it."""
        now = self.clock()
        wanted = Window(now - self.settings.past, now + self.settings.future)
        if run.cursor is None or run.window is None or not serves(run.window, wanted):
            return wanted, True
        return run.window, False

    def _fetch(
        self, run: SyncRun, calendars: CalendarProvider, cursor: str | None, window: Window
    ) -> tuple[ChangePage, ...]:
        """Fetch all pages; a rejected token is renewed once and the round starts over."""
        connection_id = run.calendar.connection_id
        calendar_id, times_only = run.calendar.provider_id, run.calendar.is_times_only
        token = self.access_tokens.get(connection_id).token
        try:
            return self._pages(run, calendars.changes(token, calendar_id, cursor, window, times_only=times_only))
        except AccessTokenRejected:
            fresh = self.access_tokens.get(connection_id, rejected_sha256=token.sha256()).token
            return self._pages(run, calendars.changes(fresh, calendar_id, cursor, window, times_only=times_only))

    def _pages(self, run: SyncRun, pages: Iterator[ChangePage]) -> tuple[ChangePage, ...]:
        """Collect the pages, prolonging the lease on the way: a long first read must not be overtaken."""
        found, prolonged_at = [], time.monotonic()
        for page in pages:
            found.append(page)
            if time.monotonic() - prolonged_at > LEASE_S / 3:
                prolonged_at = time.monotonic()
                with self.store.transaction() as tx:
                    if not tx.calendars.extend(run, self.owner(), LEASE_S):
                        raise CursorExpired("another run was quicker")
        return tuple(found)

    def _changes(
        self,
        calendar: CalendarRow,
        calendars: CalendarProvider,
        pages: tuple[ChangePage, ...],
        window: Window,
        *,
        full: bool,
    ) -> AppliedChanges:
        cursor = pages[-1].cursor if pages else None
        if cursor is None:
            raise CursorExpired("the last page had no cursor")
        events, removed = merge_pages(pages)
        touched = self._touched(calendar, calendars, events, removed, full=full)
        series: dict[str, tuple[Occurrence, ...]] = {}
        for key, found in touched.series.items():
            series[key], problem = expanded(found, window)
            if problem is not None and found.master is not None:
                events[key] = replace(found.master, problem=problem)
        for page in pages:
            series.update({one.series_id: one.occurrences for one in page.series})
        return AppliedChanges(
            tuple(events.values()), removed, tuple(series.items()), cursor, window, full, calendars.expands_series,
            touched.lost,
        )  # fmt: skip

    def _touched(
        self,
        calendar: CalendarRow,
        calendars: CalendarProvider,
        events: dict[str, RemoteEvent],
        removed: tuple[str, ...],
        *,
        full: bool,
    ) -> TouchedSeries:
        """Return everything this round touched that is ours to expand; a single event is a series of one."""
        singles = {key: Series(event) for key, event in events.items() if event.kind is EventKind.SINGLE}
        if calendars.expands_series:
            return TouchedSeries(singles, ())
        touched = touched_ids(events)
        stored: tuple[Series, ...] = ()
        if not full:
            with self.store.reading() as tx:
                touched |= set(tx.calendars.series_of(calendar.id, removed).values())
                stored = tx.calendars.series(calendar.id, tuple(touched))
        found = touched_series(touched, stored, events, removed)
        return TouchedSeries({**singles, **found.series}, found.lost)

    def _finish(self, run: SyncRun, error: LatchkeyError | None) -> bool:
        now = self.clock()
        with self.store.transaction() as tx:
            if isinstance(error, CalendarGone):
                # Only the whole list tells a calendar that is gone from one that shows less than before.
                tx.connections.due_calendar_list(run.calendar.connection_id, now)
            return tx.calendars.finish(
                run, self.owner(), next_at=now + self._delay(run, error), error=error.code if error else None,
                drop_cursor=isinstance(error, CursorExpired), now=now,
            )  # fmt: skip

    def _delay(self, run: SyncRun, error: LatchkeyError | None) -> timedelta:
        """Return the time to the next run: the poll interval after a good one, ever longer after failures."""
        poll = self.settings.poll_interval * (0.75 + 0.5 * self.spread())
        if error is None:
            return poll
        if isinstance(error, CursorExpired) and run.failures == 0:
            # A forgotten cursor is mended by a full pass at once; one that is forgotten again waits like any failure.
            return timedelta(seconds=retry_delay_s(0, self.spread()))
        wait = timedelta(seconds=retry_delay_s(FIRST_RETRY + run.failures, self.spread(), longest_s=LONGEST_WAIT_S))
        if isinstance(error, ProviderThrottled) and error.retry_after_s is not None:
            wait = max(wait, timedelta(seconds=error.retry_after_s))
        # Nothing but the person or the operator changes these: asking often changes nothing.
        return max(wait, poll) if isinstance(error, CalendarGone | ScopesMissing | ProviderRejected) else wait


def serves(window: Window, wanted: Window) -> bool:
    """Return whether ``window`` need not be replaced by ``wanted``: it is a little behind, as time passes.

    Larger differences, and any in the other direction, come of changed settings.
    """
    behind = (wanted.start - window.start, wanted.end - window.end)
    return all(-CLOCK_SLACK <= span <= WINDOW_SLACK for span in behind)


def is_suspicious(pages: Sequence[ChangePage], known: int) -> bool:
    """Return whether a full pass has lost so much of ``known`` events that it should be read twice."""
    found = sum(event.kind is not EventKind.EXCEPTION for page in pages for event in page.events)
    return known > FEW_EVENTS and found < known / 2


def expanded(series: Series, window: Window) -> tuple[tuple[Occurrence, ...], str | None]:
    """Return all occurrences of a series, or none and the reason why it cannot be expanded."""
    try:
        return occurrences_of(series, window), None
    except Unrepresentable as error:
        return (), error.detail or error.code
