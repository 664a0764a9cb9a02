"""Hand-out decisions, written before the answer leaves; callers that wait together share one commit."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from app.domain.errors import LatchkeyError, StoreUnavailable
from app.ports import HandOut, Store


@dataclass
class _Batch:
    entries: list[HandOut] = field(default_factory=list)
    is_done: bool = False
    error: LatchkeyError | None = None


class HandOutLog:
    """Commits in groups: while one commit is under way, the next group fills; its first member commits it.

    No thread of its own and no waiting time: a lone caller commits at once.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._filling = threading.Lock()
        self._committing = threading.Lock()
        self._batch = _Batch()

    def write(self, entry: HandOut) -> None:
        """Return when ``entry`` is committed; raises what the store raised for its group."""
        with self._filling:
            batch = self._batch
            batch.entries.append(entry)
        with self._committing:
            if not batch.is_done:
                self._commit(batch)
        if batch.error is not None:
            raise batch.error

    def _commit(self, batch: _Batch) -> None:
        with self._filling:
            self._batch = _Batch()
        # Until the write has succeeded the whole group has failed, whatever ends it.
        batch.error = StoreUnavailable("hand-out log")
        batch.is_done = True
        try:
            self._store.write_hand_outs(batch.entries)
        except LatchkeyError as error:
            batch.error = error
        else:
            batch.error = None
