"""Keep one call's time: a total that covers every attempt and every pause."""

from __future__ import annotations

import time
from dataclasses import dataclass

from latchkey_client.errors import TemporarilyUnavailable


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment at which a call gives up, on the monotonic clock."""

    at_s: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Return the moment `seconds` from now."""
        return cls(time.monotonic() + seconds)

    def left_s(self) -> float:
        """Return the seconds left; 0 when there are none."""
        return max(0.0, self.at_s - time.monotonic())

    def remaining_s(self) -> float:
        """Return the seconds left. Raises `TemporarilyUnavailable` when there are none."""
        left_s = self.left_s()
        if left_s == 0:
            raise TemporarilyUnavailable("deadline")
        return left_s
