"""How often something may happen in one process: token buckets, filled by a clock that is passed in."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from uuid import UUID

from app.domain.subjects import Subject

MOST_BUCKETS = 20_000
"""Bounds memory. When it is reached everything is forgotten: better to let some through than to refuse the innocent."""

SUBJECTS_AT_ONCE = 10
"""A service may ask this many times as often for all subjects together as for one: enough for work that goes through
many people, and a bound for walking through ids, each of which would have a bucket of its own."""


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

    def larger(self, times: float) -> TokenBuckets:
        """Return new buckets with so many times the rate and the burst, by the same clock."""
        return TokenBuckets(self._per_s * times, self._burst * times, self._monotonic)

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

    def put_back(self, key: Hashable) -> None:
        """Undo a ``take`` that let something through which then did not happen."""
        now = self._monotonic()
        level = self._level(key, now) + 1.0
        if level < self._burst:
            self._buckets[key] = (level, now)
        else:
            # A full bucket is one that nobody has taken from.
            self._buckets.pop(key, None)

    def wait_s(self, key: Hashable) -> float:
        """Return what ``take`` would, without taking."""
        if key not in self._buckets:
            return 0.0
        level = self._level(key, self._monotonic())
        return 0.0 if level >= 1.0 else (1.0 - level) / self._per_s

    def _level(self, key: Hashable, now: float) -> float:
        level, at = self._buckets.get(key, (self._burst, now))
        return min(self._burst, level + (now - at) * self._per_s)


class HandOutRates:
    """How often a service may ask for tokens: for one subject, and for all of them together."""

    __slots__ = ("_services", "_subjects")

    def __init__(self, subjects: TokenBuckets) -> None:
        """Let through for one subject what ``subjects`` does, which may hold other keys as well."""
        self._subjects = subjects
        self._services = subjects.larger(SUBJECTS_AT_ONCE)

    def take(self, service_id: UUID, subject: Subject) -> float:
        """Count a request; returns 0.0, or the seconds until one may pass. What is refused is not counted.

        People who were never here have no id: they would share one bucket, so they count for the service alone.
        """
        if not subject.names_somebody:
            return self._services.take(service_id)
        key = (service_id, subject)
        wait_s = self._subjects.take(key)
        if wait_s:
            return wait_s
        wait_s = self._services.take(service_id)
        if wait_s:
            self._subjects.put_back(key)
        return wait_s

    def wait_s(self, service_id: UUID, subject: Subject) -> float:
        """Return what ``take`` would, without taking."""
        of_all = self._services.wait_s(service_id)
        return max(of_all, self._subjects.wait_s((service_id, subject))) if subject.names_somebody else of_all
