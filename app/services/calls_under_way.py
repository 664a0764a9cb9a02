"""Which token calls this process has under way, so that one hanging provider cannot take all its threads."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from uuid import UUID

FORGOTTEN_AFTER_S = 180.0
"""Longer than a lease. Whoever never came back must not keep a place for ever."""


class CallsUnderWay:
    """Counts connections with a call under way, per provider. Safe between threads."""

    def __init__(self, most: int, monotonic: Callable[[], float]) -> None:
        """``most`` connections of one provider at a time."""
        self._most = most
        self._monotonic = monotonic
        self._entered: dict[str, dict[UUID, list[float]]] = defaultdict(dict)
        self._lock = threading.Lock()

    def enter(self, provider: str, connection_id: UUID) -> bool:
        """Return whether there was a place; a connection that is inside already needs none."""
        now = self._monotonic()
        with self._lock:
            inside = self._entered[provider]
            self._forget_old(inside, now)
            if connection_id not in inside and len(inside) >= self._most:
                return False
            inside.setdefault(connection_id, []).append(now)
            return True

    def is_joined(self, provider: str, connection_id: UUID) -> bool:
        """Return whether the connection was inside before its last entry."""
        with self._lock:
            return len(self._entered[provider].get(connection_id, ())) > 1

    def leave(self, provider: str, connection_id: UUID) -> bool:
        """Take one entry back; returns whether it was the connection's last."""
        with self._lock:
            inside = self._entered[provider]
            entries = inside.get(connection_id, [])
            if entries:
                entries.pop()
            if not entries:
                inside.pop(connection_id, None)
            return not entries

    @staticmethod
    def _forget_old(inside: dict[UUID, list[float]], now: float) -> None:
        for connection_id, entries in list(inside.items()):
            if entries[-1] < now - FORGOTTEN_AFTER_S:
                del inside[connection_id]
