"""Compare whole calendars with the provider's now and then, and mend what differs: trust in increments, verified.

A comparison reads everything once more, beside what is stored and without touching it, between two ordinary runs:
what changed while it read is known by the second one and left out. It reports and lets a full pass mend.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.domain.calendars import Window
from app.domain.errors import LatchkeyError, UnknownCalendar
from app.domain.rounds import merge_pages
from app.ports import (
    CalendarProvider,
    CalendarRow,
    Clock,
    Differences,
    Providers,
    RoundKey,
    Spread,
    StagedPage,
    Store,
    Tally,
)
from app.services.access_tokens import AccessTokens
from app.services.calendar_sync import CHECK_INTERVAL, CalendarSync, is_read_in_blocks
from app.services.call_pace import CallPace

RETRY_AFTER = timedelta(hours=1)
"""When a comparison that failed, or died, is due again."""

A_TICK = 10
"""Comparisons that one tick makes, one after the other."""

EVENTS_A_DAY = 10_000
"""What a comparison may cost: a calendar of ten times as many events has its turn every ten days."""

LEFT_OVER_S = 3600.0
"""Staged rows of this age belong to a run that died, unless it still holds its lease."""

logger = logging.getLogger("latchkey.checks")


@dataclass(frozen=True)
class CalendarChecks:
    """Finds stored calendars that are not as the provider's."""

    store: Store
    providers: Providers
    access_tokens: AccessTokens
    sync: CalendarSync
    pace: CallPace
    clock: Clock
    spread: Spread

    def check_due(self) -> int:
        """Compare calendars whose time has come; returns how many. A failure is one calendar's own."""
        now = self.clock()
        with self.store.transaction() as tx:
            claimed = tx.calendars.claim_checks(now, now + RETRY_AFTER, A_TICK)
        for calendar_id in claimed:
            try:
                self.check(calendar_id)
            except LatchkeyError as error:
                logger.info("calendar %s not compared: %s", calendar_id, error.code)
        return len(claimed)

    def check(self, calendar_id: UUID) -> Differences | None:
        """Compare one calendar and write down what was found; null when a run of somebody else is in the way.

        Raises what ``CalendarSync.sync`` and the provider raise.
        """
        if self.sync.sync(calendar_id) is None:
            return None
        with self.store.reading() as tx:
            calendar, state = tx.calendars.get(calendar_id), tx.calendars.window_of(calendar_id)
        if calendar is None or state is None:
            raise UnknownCalendar
        began_at, window = self.clock(), state.window
        key, calendars = RoundKey(calendar_id, -state.epoch), self._calendars_of(calendar)
        try:
            staged = None if is_read_in_blocks(calendar, calendars) else self._read(calendar, calendars, key, window)
            found = self._compare(key, staged, window, began_at, by_provider=calendars.expands_series)
        finally:
            with self.store.transaction() as tx:
                tx.staging.discard(key)
        if found is not None:
            self._write(calendar, found)
        return found

    def _calendars_of(self, calendar: CalendarRow) -> CalendarProvider:
        calendars = self.providers.get(calendar.provider).calendars
        if calendars is None:
            raise UnknownCalendar
        return calendars

    def _read(self, calendar: CalendarRow, calendars: CalendarProvider, key: RoundKey, window: Window) -> Tally:
        """Stage everything the provider has, beside what is stored."""
        token = self.access_tokens.get(calendar.connection_id).token
        staged, ordinal = Tally(), 0
        pages = calendars.changes(token, calendar.provider_id, None, window, times_only=calendar.is_times_only)
        for page in self.pace.spaced(self.providers.get(calendar.provider), calendar.connection_id, pages):
            events, removed = merge_pages((page,))
            series = {one.series_id: one.occurrences for one in page.series}
            with self.store.transaction() as tx:
                added = tx.staging.add(key, StagedPage(tuple(events.values()), removed, series), ordinal)
            staged, ordinal = staged + added, ordinal + added.items
        with self.store.transaction() as tx:
            return staged - tx.staging.drop_superseded(key)

    def _compare(
        self, key: RoundKey, staged: Tally | None, window: Window, began_at: datetime, *, by_provider: bool
    ) -> Differences | None:
        """Return what differs; null when nothing can be said: a run was in the way, or staged rows got lost."""
        if staged is None:
            return Differences(0, 0, 0, 0, {})
        if self.sync.sync(key.calendar_id) is None:
            return None
        with self.store.reading() as tx:
            if tx.staging.tally(key) != staged:
                return None
            return tx.staging.compare(key, window, began_at, by_provider=by_provider)

    def _write(self, calendar: CalendarRow, found: Differences) -> None:
        now, turns = self.clock(), max(1.0, calendar.event_count / EVENTS_A_DAY)
        next_at = now + CHECK_INTERVAL * turns * (0.5 + self.spread())
        with self.store.transaction() as tx:
            tx.calendars.checked(calendar.id, found, next_at, now)
        if found.total:
            logger.warning(
                "calendar %s differs: %d missing, %d surplus, %d different of %d; a full pass follows",
                calendar.id, found.missing, found.surplus, found.different, found.compared,
            )  # fmt: skip

    def discard_left_over(self) -> int:
        """Delete what died runs have staged; returns how many rows."""
        with self.store.transaction() as tx:
            return tx.staging.discard_left_over(LEFT_OVER_S)
