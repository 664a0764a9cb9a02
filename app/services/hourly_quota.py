"""Hourly limits of policies: an exact upper bound over all processes, without a statement per hand-out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from app.ports import Store

CHUNKS_PER_LIMIT = 100
"""A process takes one per cent of a limit at a time: what a dead process leaves unspent is at most that."""


_HALF_AN_HOUR_S = 1800.0


@dataclass(slots=True)
class Purse:
    """What this process holds of one limit in one hour; only ``HourlyQuota`` changes the first three."""

    left: int
    ends_at: float
    """Monotonic; computed from the database's clock as it was before the chunk came, so never too late."""
    is_last: bool
    """Whether the database has nothing more for this hour: it never takes anything back."""
    is_refusal_logged: bool = False
    """Whether this process wrote into the audit log that the limit was reached."""


class HourlyQuota:
    """Spends chunks that the database gave this process."""

    def __init__(self, store: Store, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._purses: dict[tuple[UUID, int], Purse] = {}

    def spend(self, policy_id: UUID, limit: int) -> tuple[Purse, float]:
        """Count one hand-out against a limit; returns the purse of the hour it was counted in, and 0.0.

        When nothing is left of the hour, nothing is counted and the second is the seconds until it is over. Raises
        ``StoreUnavailable`` when a chunk is needed and cannot be had.
        """
        # Under one lock, the statement too: two threads must not both find the purse empty and take twice.
        with self._lock:
            purse = self._purse(policy_id, limit)
            if purse.left == 0:
                return purse, max(1.0, purse.ends_at - self._monotonic())
            purse.left -= 1
            return purse, 0.0

    def give_back(self, purse: Purse) -> None:
        """Take back a count for a hand-out that did not happen; after the end of its hour this changes nothing."""
        with self._lock:
            purse.left += 1

    def is_spent(self, policy_id: UUID, limit: int) -> bool:
        """Return whether the next ``spend`` would find nothing, without spending."""
        with self._lock:
            purse = self._purses.get((policy_id, limit))
            if purse is not None and purse.left > 0 and self._monotonic() < purse.ends_at:
                return False
        with self._store.reading() as tx:
            return tx.policies.taken(policy_id) >= limit

    def _purse(self, policy_id: UUID, limit: int) -> Purse:
        """Return the purse of this hour, with something in it unless the hour is spent."""
        purse = self._purses.get((policy_id, limit))
        if purse is None or self._monotonic() >= purse.ends_at:
            purse = self._purses[policy_id, limit] = self._fill(policy_id, limit)
        elif purse.left == 0 and not purse.is_last:
            fresh = self._fill(policy_id, limit)
            if fresh.ends_at - purse.ends_at > _HALF_AN_HOUR_S:
                # The hour ended on the way to the database: what is given back late must not count in the new one.
                purse = self._purses[policy_id, limit] = fresh
            else:
                purse.left, purse.is_last = fresh.left, fresh.is_last
        return purse

    def _fill(self, policy_id: UUID, limit: int) -> Purse:
        asked_at = self._monotonic()
        with self._store.transaction() as tx:
            chunk = tx.policies.take_chunk(policy_id, max(1, limit // CHUNKS_PER_LIMIT), limit)
        return Purse(chunk.size, asked_at + chunk.ends_in_s, is_last=chunk.size == 0)
