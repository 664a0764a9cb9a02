"""Places for work of each kind in one process, so that one slow provider cannot take all its threads."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Places:
    """Counts work under way by kind. Safe between threads."""

    def __init__(self, most: int) -> None:
        """``most`` of one kind at a time."""
        self._most = most
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def taken(self, kind: str) -> Iterator[bool]:
        """Hold a place for the block; yields false, and holds none, when all are taken."""
        with self._lock:
            has_place = self._taken[kind] < self._most
            self._taken[kind] += has_place
        try:
            yield has_place
        finally:
            with self._lock:
                self._taken[kind] -= has_place
