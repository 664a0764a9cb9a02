"""Keep the sandbox's own time, which can run ahead of or faster than the machine's.

All expiries, ids of time and issued-at claims of the sandbox come from here, so that a test can let ninety days pass.
"""

import threading
import time
from datetime import UTC, datetime, timedelta


class Clock:
    """Tell the sandbox's time; start at the machine's time unless a start is given."""

    def __init__(self, start: datetime | None = None, speed: float = 1.0) -> None:
        """Start at `start` (aware) or now; `speed` is sandbox seconds per real second, 0 stops the clock."""
        self._lock = threading.Lock()
        self._base = (start or datetime.now(UTC)).astimezone(UTC)
        self._anchor_s = time.monotonic()
        self._speed = speed

    @property
    def speed(self) -> float:
        """Return how many sandbox seconds pass in a real second."""
        return self._speed

    def now(self) -> datetime:
        """Return the sandbox's time, aware UTC."""
        with self._lock:
            return self._read()

    def timestamp(self) -> int:
        """Return the sandbox's time as whole seconds since 1970, as JWT claims want it."""
        return int(self.now().timestamp())

    def advance(self, seconds: float) -> None:
        """Move the sandbox's time by `seconds`; negative values move it back."""
        with self._lock:
            self._rebase(self._read() + timedelta(seconds=seconds))

    def set_speed(self, speed: float) -> None:
        """Let time pass `speed` times as fast from this moment on.

        Raises ValueError for a negative speed.
        """
        if speed < 0:
            raise ValueError("speed must not be negative")
        with self._lock:
            self._rebase(self._read())
            self._speed = speed

    def set_offset(self, offset_s: float) -> None:
        """Place the sandbox's time `offset_s` seconds from the machine's."""
        with self._lock:
            self._rebase(datetime.now(UTC) + timedelta(seconds=offset_s))

    def offset_s(self) -> float:
        """Return how many seconds the sandbox's time is ahead of the machine's."""
        return (self.now() - datetime.now(UTC)).total_seconds()

    def _read(self) -> datetime:
        return self._base + timedelta(seconds=(time.monotonic() - self._anchor_s) * self._speed)

    def _rebase(self, moment: datetime) -> None:
        self._base = moment
        self._anchor_s = time.monotonic()
