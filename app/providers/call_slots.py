"""So many calls at a time for one account, within one process: where no other process makes any."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from app.domain.errors import ProviderThrottled

RETRY_AFTER_S = 5.0


class LocalCallSlots:
    """Implements ``ports.CallSlots`` for the threads of this process."""

    def __init__(self, most: int) -> None:
        """Let ``most`` calls for one account pass at a time."""
        self._most = most
        self._changed = threading.Condition()
        self._held: Counter[str] = Counter()

    @contextmanager
    def hold(self, account: str, wait_s: float) -> Iterator[None]:
        """Be one of the few calls for ``account``. Raises ``ProviderThrottled('too_many_at_a_time')``."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._held[account] < self._most, wait_s):
                raise ProviderThrottled("too_many_at_a_time", retry_after_s=RETRY_AFTER_S)
            self._held[account] += 1
        try:
            yield
        finally:
            with self._changed:
                self._held[account] -= 1
                if not self._held[account]:
                    del self._held[account]
                self._changed.notify_all()
