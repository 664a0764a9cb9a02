"""When push channels are renewed, tried again and given up, and how long a calendar rests between two runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from app.domain.tokens import retry_delay_s

RENEW_AT_SHARE: Mapping[str, float] = {"google": 0.75, "microsoft": 0.5}
"""Share of a channel's life after which it is renewed, by kind of provider.

Google's are replaced by new ones, which need not be done often; Graph's are prolonged, which costs nothing.
"""

OVERLAP = timedelta(seconds=30)
"""How long a replaced channel stays beside its successor: no change may fall between the two."""

FIRST_RETRY = 9
"""Exponent of the first wait for a channel after a failure: about six minutes, then twice as long each time."""

FIRST_STOP_RETRY = 5
"""The same for a channel that could not be stopped: about half a minute."""

LONGEST_WAIT_S = 6 * 3600.0
"""Far shorter than the part of a life that is left when a renewal begins: it is tried many times before the end."""

MOST_STOPS = 6
"""Attempts to stop one channel, spread over half an hour; after that it is left to run out."""

LIFECYCLE_APART = timedelta(minutes=10)
"""Graph repeats what it says of a subscription's life; the same thing is acted upon once in so much time."""

CREATING_TAKES = timedelta(minutes=2)
"""Longer than any call that makes a channel: one left behind by a crash must not keep a door open."""

ABANDONED_AFTER = timedelta(minutes=10)
"""A channel that has been in the making so long never will be."""

SETTLE = timedelta(seconds=1)
"""Rest between two runs that notifications ask for: one change often causes several, and many come in a row."""


def renew_at(kind: str, now: datetime, expires_at: datetime, spread: float) -> datetime:
    """Return when to renew: at the provider's share of the life, up to a tenth earlier so that renewals spread."""
    return now + (expires_at - now) * (RENEW_AT_SHARE[kind] - 0.1 * spread)


def retry_in(failures: int, spread: float) -> timedelta:
    """Return how long to wait after ``failures`` failures in a row before this one."""
    return _wait(FIRST_RETRY + failures, spread)


def stop_again_in(attempts: int, spread: float) -> timedelta | None:
    """Return how long to wait after ``attempts`` failed attempts to stop; null when it is to be left alone."""
    return None if attempts >= MOST_STOPS else _wait(FIRST_STOP_RETRY + attempts - 1, spread)


def _wait(exponent: int, spread: float) -> timedelta:
    return timedelta(seconds=retry_delay_s(exponent, spread, longest_s=LONGEST_WAIT_S))


def rest_s(now: datetime, last_success_at: datetime | None) -> float:
    """Return the seconds until a calendar may be read again; 0 when it has rested."""
    if last_success_at is None:
        return 0.0
    return min(max((last_success_at + SETTLE - now).total_seconds(), 0.0), SETTLE.total_seconds())
