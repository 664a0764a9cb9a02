"""The watch of a process: says that it lives, takes in what the database missed, ends attempts of the dead.

No state of its own: whatever it finds stands in rows or files, and any number of watches may find it at once. Two
threads per process: a sign of life must not wait for work that waits for the database.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from app.domain.errors import LatchkeyError, UnknownProvider
from app.domain.tokens import RotationClass, retry_at
from app.ports import Clock, Nudge, OpenAttempt, Presence, Providers, Store
from app.services.refreshing import Refresher

PERIOD_S = 0.5

SILENT_S = 3.0
"""A process is dead when its lock is free and nothing was heard of it for this long. The lock alone would end
with a cut connection, the heartbeat alone with a pause; a killed process loses both."""

SETTLED_S = 30.0
"""A restart of the database drops every lock: for this long after it nobody is taken for dead."""

logger = logging.getLogger("latchkey.watch")


@dataclass(frozen=True)
class Watch:
    """Runs the rounds of the watch."""

    store: Store
    presence: Presence
    refresher: Refresher
    providers: Providers
    nudge: Nudge
    clock: Clock
    settled_s: float = SETTLED_S
    _stop: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Begin in threads that end with the process; call it once, after any fork.

        They are no daemons: a process that is told to stop waits for them, and they for the calls under way. A web
        server waits for its requests alone, and a caller who went away has none.
        """
        for name, work in (("presence", self.presence.beat), ("watch", self.look)):
            threading.Thread(target=self._repeat, args=(name, work), name=name).start()

    def stop(self) -> None:
        """End after the present round."""
        self._stop.set()

    def round(self) -> None:
        """Do everything once. Raises ``StoreUnavailable`` while the database is away."""
        self.presence.beat()
        self.look()

    def look(self) -> None:
        """Take in what the database missed and end attempts and runs of the dead. Raises ``StoreUnavailable``."""
        # Answers before verdicts: one may belong to an attempt that would be given up.
        self.refresher.settle()
        self.end_open_attempts()
        self.free_calendars()

    def end_open_attempts(self) -> None:
        """End the attempts of dead processes and make their connections due as their provider's class allows."""
        with self.store.transaction() as tx:
            found = tx.attempts.of_the_dead(SILENT_S, self.settled_s)
            taken = tuple(attempt for attempt in found if tx.attempts.take_over(attempt, self._again_at(attempt)))
            for attempt in taken:
                tx.audit.event(
                    "refresh_taken_over", self.clock(), person_id=attempt.person_id,
                    connection_id=attempt.connection_id, detail={"attempt": str(attempt.attempt_id)},
                )  # fmt: skip
        for attempt in taken:
            logger.warning("attempt %s: its process died; taken over", attempt.attempt_id)
            self.nudge.refresh(attempt.connection_id)

    def free_calendars(self) -> None:
        """Let calendars be synced whose runs died with their process. Nothing is lost with a run but its time."""
        with self.store.transaction() as tx:
            freed = tx.calendars.free_leases_of_the_dead(SILENT_S, self.settled_s, self.clock())
        for calendar_id in freed:
            logger.warning("calendar %s: the process of its run died; freed", calendar_id)
            self.nudge.sync_calendar(calendar_id)

    def _again_at(self, attempt: OpenAttempt) -> datetime:
        try:
            rotation = self.providers.get(attempt.provider).rotation
        except UnknownProvider:
            rotation = RotationClass.STRICT
        return retry_at(rotation, self.clock(), 0, attempt.access_expires_at)

    def _repeat(self, name: str, work: Callable[[], None]) -> None:
        main = threading.main_thread()
        while not self._stop.is_set() and (main.is_alive() or self.refresher.is_calling()):
            try:
                work()
            except LatchkeyError as error:
                logger.warning("%s: %s", name, error.code)
            except Exception:
                # The thread must outlive whatever this was: without it nobody here is known to live.
                logger.exception(name)
            self._stop.wait(PERIOD_S)
