"""When calls to a provider application stop, for how long, and how they begin again.

A fault of one grant concerns one grant. What comes from many grants at once, or is said about our own registration,
concerns the application: then everybody stops, nobody is disconnected, and one call at a time tries the way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.domain.errors import InvalidGrant, LatchkeyError, ProviderRejected, ProviderThrottled, ProviderUnavailable

REJECTIONS = 3
"""Refusals of our own credentials in a row: no retry mends them, so few are enough."""

REJECTION_WINDOW_S = 300.0
"""Long, because a connection that was rejected waits for minutes before it asks again."""

OUTAGE_CONNECTIONS = 3
OUTAGE_CALLS = 5
OUTAGE_WINDOW_S = 60.0
"""Outages and throttling: so many failures, from so many connections, and at least as many as successes."""

REFUSALS = 10
REFUSALS_TO_SUCCESSES = 4
REFUSAL_WINDOW_S = 600.0
"""Grants refused: ten connections within ten minutes and four for every one that is accepted. People who end their
grants do so singly; an application whose client id was changed, or a provider that lost its memory, refuses all."""

FIRST_COOL_DOWN_S = 15.0
LONGEST_COOL_DOWN_S = 300.0
LONGEST_WISH_S = 3600.0
"""A provider may ask for more patience than we would have, up to an hour."""

MOST_OUTCOMES = 2000
"""Bounds memory; more than any window needs to tell a storm."""

STEADY_AFTER_S = 600.0
"""An opening so soon after a closing continues the trouble before: the cool-down goes on growing."""

LIVELIEST_RESUMPTION = 2.0
"""After a closing: at most this many times the calls per second of ordinary times (backlog plus what falls due)."""

LEAST_RESUMPTION_PER_S = 5.0
"""No provider takes this for a burst, and a small installation is through with its backlog at once."""


class Cause(StrEnum):
    """Why a breaker opens; each has its own advice for operators."""

    REJECTED = "rejected"
    """The provider refuses our registration or credentials."""
    UNAVAILABLE = "unavailable"
    """The provider fails or does not answer."""
    THROTTLED = "throttled"
    """The provider asks the application, not one person, to slow down."""
    REFUSALS = "refusals"
    """The provider refuses the grants of many people at once."""


ADVICE = {
    Cause.REJECTED: "check client id, secret or certificate of this provider (latchkey providers check); "
    "a new secret goes in with latchkey providers rotate-secret",
    Cause.UNAVAILABLE: "look at the provider's status page and at this network's way out; calls resume by themselves",
    Cause.THROTTLED: "lower the provider's call_rate, or ask the provider for more; calls resume by themselves",
    Cause.REFUSALS: "was the client id changed, or the application blocked? nobody was disconnected; "
    "if the grants really ended, say so with latchkey providers believe",
}


def cause_of(error: LatchkeyError | None) -> Cause | None:
    """Return what the outcome of a call counts towards; null for a success and for what says nothing."""
    for kind, cause in (
        (ProviderRejected, Cause.REJECTED),
        (ProviderUnavailable, Cause.UNAVAILABLE),
        (ProviderThrottled, Cause.THROTTLED),
        (InvalidGrant, Cause.REFUSALS),
    ):
        if isinstance(error, kind):
            return cause
    return None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one call ended; ``cause`` null is a success."""

    at_s: float
    """On any clock that only goes forward."""
    connection_id: UUID
    cause: Cause | None
    wish_s: float = 0.0
    """Seconds the provider asked to wait."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What a breaker opens for."""

    cause: Cause
    wish_s: float
    """The longest wait the provider asked for lately, in seconds; 0 when it asked for none."""


@dataclass
class Recent:
    """The outcomes of the last minutes at one provider, as one process saw them."""

    outcomes: deque[Outcome] = field(default_factory=lambda: deque(maxlen=MOST_OUTCOMES))

    def add(self, outcome: Outcome, *, suspects_elsewhere: int = 0) -> Opening | None:
        """Take an outcome in and return what it makes the breaker open for; null while it need not.

        ``suspects_elsewhere``: connections of the provider whose grant any process saw refused within
        ``REFUSAL_WINDOW_S``; looked up for refusals alone.
        """
        self.outcomes.append(outcome)
        if outcome.cause is None or not self._is_widespread(outcome, suspects_elsewhere):
            return None
        wish_s = max(one.wish_s for one in self._since(outcome.at_s - OUTAGE_WINDOW_S))
        return Opening(outcome.cause, wish_s)

    def _is_widespread(self, last: Outcome, suspects: int) -> bool:
        if last.cause is Cause.REJECTED:
            return _rejected_in_a_row(self._since(last.at_s - REJECTION_WINDOW_S)) >= REJECTIONS
        if last.cause is Cause.REFUSALS:
            return _is_storm(self._since(last.at_s - REFUSAL_WINDOW_S), suspects)
        return _is_outage(self._since(last.at_s - OUTAGE_WINDOW_S))

    def _since(self, at_s: float) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.at_s >= at_s]


def _rejected_in_a_row(outcomes: Sequence[Outcome]) -> int:
    """Count rejections since the last answer that accepted our credentials: a success or a judged grant."""
    count = 0
    for outcome in reversed(outcomes):
        if outcome.cause in (None, Cause.REFUSALS):
            break
        count += outcome.cause is Cause.REJECTED
    return count


def _is_outage(outcomes: Sequence[Outcome]) -> bool:
    failed = [outcome for outcome in outcomes if outcome.cause in (Cause.UNAVAILABLE, Cause.THROTTLED)]
    is_wide = len({outcome.connection_id for outcome in failed}) >= OUTAGE_CONNECTIONS
    return is_wide and len(failed) >= OUTAGE_CALLS and 2 * len(failed) >= len(outcomes)


def _is_storm(outcomes: Sequence[Outcome], suspects: int) -> bool:
    refused = {outcome.connection_id for outcome in outcomes if outcome.cause is Cause.REFUSALS}
    accepted = {outcome.connection_id for outcome in outcomes if outcome.cause is None}
    count = max(len(refused), suspects)
    return count >= REFUSALS and count >= REFUSALS_TO_SUCCESSES * len(accepted)


def cool_down_s(openings: int, spread: float, wish_s: float = 0.0) -> float:
    """Return how long a breaker stays open: longer with every opening in a row, a quarter of it jittered.

    ``openings`` counts from 1; ``spread`` is a random number in [0, 1); ``wish_s`` is what the provider asked for.
    """
    full = min(FIRST_COOL_DOWN_S * 2.0 ** min(openings - 1, 16), LONGEST_COOL_DOWN_S)
    return max(full * (0.75 + 0.25 * spread), min(wish_s, LONGEST_WISH_S))


@dataclass(frozen=True, slots=True)
class Health:
    """The state of one provider application, shared by all processes. Durations were taken by the database's clock."""

    provider: str
    cause: Cause | None
    """Null while closed."""
    code: str | None
    """Stable code of the failure that opened it."""
    opened_at: datetime | None
    """When the trouble began; null while closed."""
    open_for_s: float
    """How long calls are still paused; 0 or less when a probe may try."""
    probing_for_s: float
    """How long the probe under way may still take; 0 or less when there is none."""
    resumption_per_s: float | None
    """Calls per second allowed while the backlog of a closed breaker is worked off; null in ordinary times."""
    is_believing: bool
    """Whether an operator said that refused grants are genuine."""
    test_mode_since: datetime | None
    """When grants were first seen that end after seven days; null when none were."""

    @property
    def is_open(self) -> bool:
        """Return whether calls are paused, a probe at most under way."""
        return self.cause is not None and (self.open_for_s > 0 or self.probing_for_s > 0)
