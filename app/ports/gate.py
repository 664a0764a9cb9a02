"""The gate in front of a provider application: whether a token call may be made now, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from app.domain.breaker import Cause, Health
from app.domain.errors import LatchkeyError


class ProviderGate(Protocol):
    """Asked before every token call. Answers at once, and keeps answering without Redis or PostgreSQL."""

    def admit(self, provider: str, connection_id: UUID) -> None:
        """Let one token call pass.

        Raises ``BreakerOpen`` (calls to the application are paused) or ``ProviderThrottled`` (``budget``: too many
        calls lately; ``in_flight``: too many under way), both with ``retry_after_s``. Neither says anything about
        the connection: no attempt was made, so nothing is to be counted against it.
        """

    def note(self, provider: str, connection_id: UUID, error: LatchkeyError | None) -> None:
        """Take in how a call that was admitted ended; ``error`` null is a success. Never raises.

        While the provider is among ``open_providers`` afterwards, an ``InvalidGrant`` proves nothing.
        """

    def withdraw(self, provider: str, connection_id: UUID) -> None:
        """Take back an admission that was not used: no call was made. Never raises."""

    def open_providers(self) -> tuple[str, ...]:
        """Return the keys of the providers whose calls are paused: their due connections are not to be claimed.

        Empty when the database does not answer.
        """


@dataclass(frozen=True, slots=True)
class Draw:
    """What one call takes out of one bucket."""

    bucket: str
    """Name of the bucket; the same name is the same bucket in every process."""
    rate_per_s: float
    """How fast the bucket fills."""
    burst: float
    """How much it holds at most."""
    calls: float = 1.0
    """0 only asks whether there is room for one; negative gives back."""


class CallBudget(Protocol):
    """Token buckets shared by all processes. Best effort: without their server each process keeps a share of them."""

    def draw(self, draws: Sequence[Draw]) -> float:
        """Take from all buckets when each has room for a call, else from none.

        Returns 0, or the seconds after which it is worth asking again.
        """

    def charge(self, draw: Draw) -> None:
        """Take from (or give back to) one bucket, whatever is in it. Never raises."""


class ProviderHealthStore(Protocol):
    """One row per provider application that ever was in trouble. All times by the database's clock."""

    def all(self) -> tuple[Health, ...]:
        """Return the state of all of them."""

    def open(self, provider: str, cause: Cause, code: str, spread: float, wish_s: float) -> bool:
        """Open a closed breaker; returns whether this did it."""

    def claim_probe(self, provider: str, probe_s: float) -> bool:
        """Take the one probe of a breaker whose cool-down is over; returns whether it is ours."""

    def reopen(self, provider: str, cause: Cause, code: str, spread: float, wish_s: float) -> None:
        """End a probe that failed: the next cool-down is longer."""

    def close(self, provider: str) -> float:
        """End the trouble; calls resume at a spread rate, which is returned in calls per second."""

    def release_probe(self, provider: str) -> None:
        """End a probe that told nothing."""

    def retry_now(self, provider: str) -> bool:
        """End the cool-down; returns whether the breaker was open."""

    def believe(self, provider: str, for_s: float) -> None:
        """Take refused grants as genuine for a while: they open nothing, and end what they opened."""

    def suspects(self, provider: str, within_s: float) -> int:
        """Count active connections whose grant was first refused within the last seconds."""

    def note_test_mode(self, provider: str) -> bool:
        """Note that grants of the provider end after seven days; returns whether that is news."""


class CallSlots(Protocol):
    """A limit on how many calls for one account are under way at a time."""

    def hold(self, account: str, wait_s: float) -> AbstractContextManager[None]:
        """Be one of the few calls for ``account`` while the context lasts; wait for that, ``wait_s`` seconds at most.

        Raises ``ProviderThrottled('too_many_at_a_time')`` when no call ended in time.
        """
