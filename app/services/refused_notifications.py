"""Say that notifications were refused, seldom: whoever sends a thousand a second must not fill the log."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

SAY_EVERY_S = 60.0


class RefusedNotifications:
    """Counts refused notifications of this process; one line a minute at most. Safe between threads."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing counted."""
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._count = 0
        self._said_at: float | None = None

    def note(self, kind: str, count: int = 1) -> None:
        """Count ``count`` refused notifications that came in the name of a provider of ``kind``."""
        with self._lock:
            self._count += count
            now = self._monotonic()
            if self._said_at is not None and now - self._said_at < SAY_EVERY_S:
                return
            said, self._count, self._said_at = self._count, 0, now
        logger.warning("refused notifications since the last such line: %d, the last one for %s", said, kind)
