"""So many calls at a time for one account, over all threads and processes: locks of PostgreSQL that end with a process.

A lock needs no time limit that could be too short for a slow call, and nobody to tidy up after a killed one. All locks
of a process are held by one session, which must be a real one: a pooler in transaction mode would share it.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, text

from app.domain.errors import ProviderThrottled, StoreUnavailable
from app.store.engine import Limits, read_engine, typed_faults

RETRY_AFTER_S = 5.0
"""What somebody who waited in vain is told: whoever is first is done by then."""

LOOK_AGAIN_S = 0.1
"""What another process gives back is found by looking; what this one gives back is heard of at once."""

# One lock at most: the rows are looked at one by one, and no further than the first that is free.
_LOCK = text("SELECT key FROM unnest(CAST(:keys AS bigint[])) AS key WHERE pg_try_advisory_lock(key) LIMIT 1")
_UNLOCK = text("SELECT pg_advisory_unlock(:key)")


class PostgresCallSlots:
    """Implements ``ports.CallSlots``. Build one per process, after the fork; it connects when first used."""

    def __init__(self, url: str, most: int) -> None:
        """Let ``most`` calls for one account pass at a time."""
        self._engine = read_engine(url, Limits(read_pool_size=1))
        self._most = most
        self._session: Connection | None = None
        self._changed = threading.Condition()
        self._held: dict[str, dict[int, Connection]] = {}
        """Account to the keys that threads of this process hold, each with the session that locked it."""

    @contextmanager
    def hold(self, account: str, wait_s: float) -> Iterator[None]:
        """Be one of the few calls for ``account`` at a time; wait for that, ``wait_s`` seconds at most.

        Raises ``ProviderThrottled('too_many_at_a_time')``, ``StoreUnavailable``.
        """
        key = self._wait_for(account, wait_s)
        try:
            yield
        finally:
            self._give_back(account, key)

    def close(self) -> None:
        """Let go of the session and with it of all locks."""
        with self._changed:
            self._drop_session()
        self._engine.dispose()

    def _wait_for(self, account: str, wait_s: float) -> int:
        give_up_at = time.monotonic() + wait_s
        with self._changed:
            while True:
                key = self._take(account)
                if key is not None:
                    return key
                left_s = give_up_at - time.monotonic()
                if left_s <= 0:
                    raise ProviderThrottled("too_many_at_a_time", retry_after_s=RETRY_AFTER_S)
                self._changed.wait(min(left_s, LOOK_AGAIN_S))

    def _take(self, account: str) -> int | None:
        """Return the key of a slot that is now ours; null when all are taken."""
        held = self._held.get(account, {})
        # A session gets a lock it already has once more: what is held here must not be asked for.
        free = [key for key in self._keys(account) if key not in held]
        key = self._locked(free) if free else None
        if key is not None and self._session is not None:
            self._held.setdefault(account, {})[key] = self._session
        return key

    def _locked(self, keys: Sequence[int]) -> int | None:
        try:
            return self._ask(keys)
        except StoreUnavailable:
            # The session may have been cut long ago; a fresh one tells.
            return self._ask(keys)

    def _ask(self, keys: Sequence[int]) -> int | None:
        try:
            with typed_faults():
                if self._session is None:
                    self._session = self._engine.connect()
                return self._session.execute(_LOCK, {"keys": list(keys)}).scalar()
        except BaseException:
            self._drop_session()
            raise

    def _give_back(self, account: str, key: int) -> None:
        with self._changed:
            session = self._held[account].pop(key)
            if not self._held[account]:
                del self._held[account]
            # The locks of a session that was lost went with it.
            if session is self._session:
                self._unlock(session, key)
            self._changed.notify_all()

    def _unlock(self, session: Connection, key: int) -> None:
        try:
            with typed_faults():
                session.execute(_UNLOCK, {"key": key})
        except StoreUnavailable:
            self._drop_session()

    def _drop_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.invalidate()
            session.close()

    def _keys(self, account: str) -> list[int]:
        names = (f"call-slot/{account}/{slot}" for slot in range(self._most))
        return [int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True) for name in names]
