"""How often something may happen in one process: token buckets, filled by a clock that is passed in."""

from __future__ import annotations

from collections.abc import Callable, Hashable

MOST_BUCKETS = 20_000
"""Bounds memory. When it is reached everything is forgotten: better to let some through than to refuse the innocent."""


class TokenBuckets:
    """A bucket of ``burst`` tokens per key, refilled with ``per_s`` tokens a second.

    Safe between threads without a lock: each bucket is one dictionary entry that is replaced whole. Two threads that
    take at the same instant may pay for one; a limit that stops a loop need not be exact.
    """

    __slots__ = ("_buckets", "_burst", "_monotonic", "_per_s")

    def __init__(self, per_s: float, burst: float, monotonic: Callable[[], float]) -> None:
        """Let ``burst`` through at once and ``per_s`` in the long run."""
        self._per_s = per_s
        self._burst = burst
        self._monotonic = monotonic
        self._buckets: dict[Hashable, tuple[float, float]] = {}

    def __len__(self) -> int:
        """Return how many keys have taken anything."""
        return len(self._buckets)

    def take(self, key: Hashable) -> float:
        """Take a token; returns 0.0, or the seconds until one will be there."""
        now = self._monotonic()
        level = self._level(key, now)
        if level < 1.0:
            return (1.0 - level) / self._per_s
        if len(self._buckets) >= MOST_BUCKETS:
            self._buckets.clear()
        self._buckets[key] = (level - 1.0, now)
        return 0.0

    def wait_s(self, key: Hashable) -> float:
        """Return what ``take`` would, without taking."""
        if key not in self._buckets:
            return 0.0
        level = self._level(key, self._monotonic())
        return 0.0 if level >= 1.0 else (1.0 - level) / self._per_s

    def _level(self, key: Hashable, now: float) -> float:
        level, at = self._buckets.get(key, (self._burst, now))
        return min(self._burst, level + (now - at) * self._per_s)
