"""Answers of the database kept for less than a second, per process.

On the hand-out path the same few rows are read thousands of times a second. A revocation or a change of policy
must take effect within a second everywhere; keeping an answer for less than that is what the promise allows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from app.domain.errors import StoreUnavailable
from app.services.shared_look import SharedLook

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

KEPT_S = 0.8
"""Below the promised second, with room for the commit on one side and the answer on the other."""

MOST_ENTRIES = 10_000
"""Bounds memory. When it is reached everything goes: it would not have lived a second anyway."""

PATIENCE_S = 5.0
"""A database that is restarted, or connections that are cut, cost callers this much time and no error."""

ASK_AGAIN_S = 0.1


class BriefCache(Generic[K, V]):
    """Keeps what ``load`` returned for ``KEPT_S`` seconds; errors are not kept.

    Waits for a database that has just gone away, counted from the first time it was missed: threads must not be held
    up by one that stays away. Safe between threads: single dictionary operations are atomic, and of many threads that
    miss at once one loads.
    """

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        *,
        is_patient: bool = True,
    ) -> None:
        """Keep answers; not ``is_patient``: whoever asks has something better to do than to wait."""
        self._patience_s = PATIENCE_S if is_patient else 0.0
        self._monotonic = monotonic
        self._sleep = sleep
        self._missed_since: float | None = None
        self._entries: dict[K, tuple[float, V]] = {}
        self._looks: SharedLook[K, V] = SharedLook()

    def get(self, key: K, load: Callable[[], V]) -> V:
        """Return the kept answer for ``key``, or load and keep it."""
        entry = self._entries.get(key)
        if entry is not None and self._monotonic() < entry[0]:
            return entry[1]
        return self._looks.at(key, lambda: self._load(key, load))

    def _load(self, key: K, load: Callable[[], V]) -> V:
        now, value = self._patiently(load)
        if len(self._entries) >= MOST_ENTRIES:
            self._entries.clear()
        self._entries[key] = (now + KEPT_S, value)
        return value

    def _patiently(self, load: Callable[[], V]) -> tuple[float, V]:
        """Return what ``load`` returned and when it was asked: an answer is as old as that."""
        while True:
            now = self._monotonic()
            try:
                value = load()
            except StoreUnavailable:
                since = self._missed_since
                # Read once: another thread that reached it in between forgets when it was missed.
                self._missed_since = since = now if since is None else since
                if self._monotonic() - since >= self._patience_s:
                    raise
                self._sleep(ASK_AGAIN_S)
            else:
                self._missed_since = None
                return now, value

    def forget(self, key: K) -> None:
        """Drop one answer, for a caller that knows better."""
        self._entries.pop(key, None)
