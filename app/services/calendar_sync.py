"""Sync one calendar: lease, stage pages with no transaction open, apply everything in one transaction.

The dirty counter decides: ``requested`` is raised by notifications, timers and people, a run stores the value
it saw as ``completed``. Duplicate tasks are harmless, a lost one costs a poll interval.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

from app.domain.calendars import ChangePage, Window
from app.domain.errors import (
    AccessTokenRejected,
    CalendarGone,
    CursorExpired,
    LatchkeyError,
    ProviderRejected,
    ProviderThrottled,
    ScopesMissing,
    UnknownCalendar,
)
from app.domain.recurrence import expander_version
from app.domain.sync_pace import look_again_after, poll_after
from app.domain.tokens import retry_delay_s
from app.ports import CalendarProvider, CalendarRow, Clock, Losses, Providers, Spread, Store, SyncRound, SyncRun
from app.services.access_tokens import AccessTokens
from app.services.call_pace import CallPace
from app.services.places import Places
from app.services.sync_rounds import LEASE_S, StagedRound

FIRST_RETRY = 3
"""Exponent of the first wait after a failure: about six seconds, then twice as long each time."""

LONGEST_WAIT_S = 900.0
"""Between attempts at something that keeps failing."""

LONGEST_WISH_S = 6 * 3600.0
"""A provider that wants to be left alone for longer is not believed: one garbled header must not park a calendar."""

WINDOW_SLACK = timedelta(days=30)
"""The window rolls when its far end has come this much too near, for some calendars up to half of that sooner."""

CLOCK_SLACK = timedelta(hours=1)
"""Clocks of two machines may differ."""

FEW_EVENTS = 20
"""A calendar may lose this many events without anybody wondering."""

CHECK_INTERVAL = timedelta(days=1)
"""Between comparisons of a whole calendar with the provider's."""

NO_PLACE = timedelta(seconds=2)
"""When to try again while a provider has all the threads it may have."""


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """How far and how often."""

    past: timedelta = timedelta(days=31)
    future: timedelta = timedelta(days=396)
    poll_interval: timedelta = timedelta(minutes=5)
    """Push makes changes visible sooner; polling closes every gap. See ``domain.sync_pace`` for what it comes to."""


@dataclass(frozen=True, slots=True)
class SyncOutcome:
    """What one run did."""

    events: int
    removed: int
    occurrences: int
    full: bool
    again: bool
    """More was requested meanwhile: run once more."""
    changes: int = 0
    """Events and series that readers see changed."""


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
    places: Places = field(default_factory=lambda: Places(21))
    """Of this process, by provider."""
    pace: CallPace = field(default_factory=CallPace)

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
        with self.places.taken(run.calendar.provider) as has_place:
            if has_place:
                return self._attempt(run)
        with self.store.transaction() as tx:
            tx.calendars.put_off(run, self.owner(), self.clock() + NO_PLACE)
        return None

    def request(self, calendar_id: UUID) -> None:
        """Mark a calendar dirty and due now."""
        with self.store.transaction() as tx:
            tx.calendars.request_sync(calendar_id, self.clock())

    def pause(self, calendar_id: UUID) -> None:
        """Keep a calendar as it is, without syncing it; a run under way is still applied."""
        with self.store.transaction() as tx:
            tx.calendars.pause(calendar_id, self.clock())

    def resume(self, calendar_id: UUID) -> None:
        """Sync a calendar again, and at once."""
        with self.store.transaction() as tx:
            tx.calendars.pause(calendar_id, None)
            tx.calendars.request_sync(calendar_id, self.clock())

    def _attempt(self, run: SyncRun) -> SyncOutcome:
        outcome, fault = None, LatchkeyError("unexpected")
        try:
            outcome = self._run(run)
        except LatchkeyError as error:
            fault = error
            raise
        finally:
            # Whatever ended the run, a bug included: the lease goes back and the next attempt is a row.
            again = self._finish(run, outcome, None if outcome is not None else fault)
        return replace(outcome, again=again)

    def _run(self, run: SyncRun) -> SyncOutcome:
        calendars = self.providers.get(run.calendar.provider).calendars
        if calendars is None:
            raise UnknownCalendar
        staged = self._begin(run, calendars)
        try:
            self._fetch(staged, calendars)
            staged.settle()
            changes = self._apply(staged, calendars)
        finally:
            staged.discard()
        return SyncOutcome(
            staged.events, staged.removed, staged.staged.occurrences, staged.full, again=False, changes=changes
        )

    def _begin(self, run: SyncRun, calendars: CalendarProvider) -> StagedRound:
        """Return an empty round for the window that is wanted, with what is needed to get there."""
        now = self.clock()
        wanted = Window(now - self.settings.past, now + self.settings.future)
        of_wanted = StagedRound(self.store, run, self.owner(), wanted, not calendars.expands_series, full=True)
        if run.cursor is None or run.window is None:
            return of_wanted
        is_expanded_here = run.expander_version is not None
        is_current = not is_expanded_here or run.expander_version == expander_version()
        # Where a new window takes a full pass, and that keeps failing, every other attempt follows the old one.
        is_second_best = not is_expanded_here and run.failures % 2 == 1
        if is_current and (is_second_best or serves(run.window, wanted, slack_of(run.calendar.id))):
            return replace(of_wanted, window=run.window, full=False)
        # Where we expand, all that lies ahead is stored: nothing is read anew for another window, or other zones.
        grows = is_expanded_here and wanted.start >= run.window.start - CLOCK_SLACK
        return replace(of_wanted, full=False, whole_window=True) if grows else of_wanted

    def _fetch(self, staged: StagedRound, calendars: CalendarProvider) -> None:
        """Stage what the provider says; a full pass that would take most of a calendar away is read twice."""
        run = staged.run
        self._read(staged, calendars, None if staged.full else run.cursor)
        if staged.full and not is_read_in_blocks(run.calendar, calendars) and run.calendar.event_count:
            with self.store.reading() as tx:
                losses = tx.staging.losses(staged.key, staged.window, by_provider=calendars.expands_series)
            if is_suspicious(losses):
                staged.restart()
                self._read(staged, calendars, None)

    def _read(self, staged: StagedRound, calendars: CalendarProvider, cursor: str | None) -> None:
        """Stage all pages; a rejected token is renewed once and the round starts over."""
        calendar = staged.run.calendar
        token = self.access_tokens.get(calendar.connection_id).token

        def pages() -> Iterator[ChangePage]:
            found = calendars.changes(
                token, calendar.provider_id, cursor, staged.window, times_only=calendar.is_times_only
            )
            return self.pace.spaced(self.providers.get(calendar.provider), calendar.connection_id, found)

        try:
            staged.take(pages())
        except AccessTokenRejected:
            staged.restart()
            token = self.access_tokens.get(calendar.connection_id, rejected_sha256=token.sha256()).token
            staged.take(pages())

    def _apply(self, staged: StagedRound, calendars: CalendarProvider) -> int:
        now = self.clock()
        brought = SyncRound(
            staged.cursor or "", staged.window, staged.staged, staged.full, staged.whole_window,
            calendars.expands_series, now + CHECK_INTERVAL * (0.5 + self.spread()),
            expander_version() if staged.expands and not staged.run.calendar.is_times_only else None,
        )  # fmt: skip
        with self.store.transaction() as tx:
            changes = tx.calendars.apply(staged.run, staged.owner, brought, now)
        if changes is None:
            raise CursorExpired("another run was quicker")
        return changes

    def _finish(self, run: SyncRun, outcome: SyncOutcome | None, error: LatchkeyError | None) -> bool:
        now = self.clock()
        with self.store.transaction() as tx:
            if isinstance(error, CalendarGone):
                # Only the whole list tells a calendar that is gone from one that shows less than before.
                tx.connections.due_calendar_list(run.calendar.connection_id, now)
            return tx.calendars.finish(
                run, self.owner(), next_at=now + self._delay(run, outcome, error),
                error=error.code if error else None, drop_cursor=isinstance(error, CursorExpired), now=now,
            )  # fmt: skip

    def _delay(self, run: SyncRun, outcome: SyncOutcome | None, error: LatchkeyError | None) -> timedelta:
        """Return the time to the next run: by the calendar's habits after a good one, ever longer after failures."""
        now, interval = self.clock(), self.settings.poll_interval
        changed_at = now if outcome is not None and outcome.changes else run.last_change_at
        poll = poll_after(interval, now, changed_at, is_pushed=run.has_channel, spread=self.spread())
        if error is None:
            showed_nothing = outcome is not None and not outcome.full and not outcome.changes
            return look_again_after(self.spread()) if run.is_asked_for and showed_nothing else poll
        if isinstance(error, CursorExpired) and run.failures == 0:
            # A forgotten cursor is mended by a full pass at once; one that is forgotten again waits like any failure.
            return timedelta(seconds=retry_delay_s(0, self.spread()))
        wait = timedelta(seconds=retry_delay_s(FIRST_RETRY + run.failures, self.spread(), longest_s=LONGEST_WAIT_S))
        if isinstance(error, ProviderThrottled) and error.retry_after_s is not None:
            wait = max(wait, timedelta(seconds=min(error.retry_after_s, LONGEST_WISH_S)))
        # Nothing but the person or the operator changes these: asking often changes nothing.
        return max(wait, interval) if isinstance(error, CalendarGone | ScopesMissing | ProviderRejected) else wait


def is_read_in_blocks(calendar: CalendarRow, calendars: CalendarProvider) -> bool:
    """Return whether a calendar is read as a whole each time, as blocks of time: others have other ids next time."""
    return calendar.is_times_only and not calendars.expands_series


def slack_of(calendar_id: UUID) -> timedelta:
    """Return how far behind a calendar's window may be: not the same for all, so that they do not roll together."""
    return WINDOW_SLACK * (0.5 + calendar_id.int % 1000 / 2000)


def serves(window: Window, wanted: Window, slack: timedelta = WINDOW_SLACK) -> bool:
    """Return whether ``window`` need not be replaced by ``wanted``: it is a little behind, as time passes.

    Larger differences, and any in the other direction, come of changed settings.
    """
    behind = (wanted.start - window.start, wanted.end - window.end)
    return all(-CLOCK_SLACK <= span <= slack for span in behind)


def is_suspicious(losses: Losses) -> bool:
    """Return whether a full pass takes so much away that it should be read twice: most of it, or all there is."""
    takes_most = losses.missing > FEW_EVENTS and losses.missing > losses.stored / 2
    return takes_most or (losses.stored > 0 and losses.found == 0)
