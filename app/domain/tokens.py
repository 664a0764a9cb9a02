"""Token sets: what a token endpoint answered, how long it serves, when to refresh it.

Sources: RFC 6749 sections 5 and 6; rotation classes as measured for the providers we connect.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from app.domain.secret import Secret

EARLIEST_REFRESH = 0.50
LATEST_REFRESH = 0.85
"""Refresh falls due at a random point in this share of an access token's life, so that a lost
rotation still leaves a valid token and many connections do not fall due together."""

DEFAULT_LIFETIME_S = 3600
"""Assumed when the answer has no usable ``expires_in`` (RFC 6749 section 5.1 only recommends it)."""

LONGEST_LIFETIME_S = 86_400 * 2
"""Longer promises are cut: nothing we connect gives more than 28 hours."""


class RotationClass(StrEnum):
    """What happens to a refresh token when it is used."""

    NONE = "none"
    """The same token stays (Google)."""
    OVERLAP = "overlap"
    """A new token each time, the old one stays valid (Microsoft)."""
    GRACE = "grace"
    """A new token each time, the old one can be replayed for seconds."""
    STRICT = "strict"
    """A new token each time; using the old one again may revoke the whole family."""


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """A successful answer of a token endpoint, read tolerantly and not judged yet."""

    access_token: Secret | None
    """Null only when the provider broke the protocol; stored all the same if a refresh token came."""
    refresh_token: Secret | None
    """Null when none came: the one before stays in use."""
    id_token: Secret | None
    expires_in_s: int | None
    """Seconds; null when absent or not a positive number."""
    scope: str | None
    """Space-separated, as it came; null when the provider left it out (then: as requested)."""
    refresh_expires_in_s: int | None = None
    """Seconds the refresh token will live; null when the provider does not say."""

    def granted_scopes(self) -> tuple[str, ...] | None:
        """Return the granted scopes sorted, or null when the answer does not say."""
        return None if self.scope is None else tuple(sorted(set(self.scope.split())))

    def lifetime(self) -> timedelta:
        """Return how long the access token serves."""
        seconds = DEFAULT_LIFETIME_S if self.expires_in_s is None else self.expires_in_s
        return timedelta(seconds=min(seconds, LONGEST_LIFETIME_S))


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A provider access token on its way to a caller."""

    token: Secret
    expires_at: datetime
    scopes: tuple[str, ...]
    generation: int
    warning: str | None = None
    """Set when the token is valid but a wanted refresh did not succeed; a stable code."""

    def remaining_s(self, now: datetime) -> float:
        """Return seconds until expiry; negative when past."""
        return (self.expires_at - now).total_seconds()


def refresh_due_at(issued_at: datetime, expires_at: datetime, spread: float) -> datetime:
    """Return when the token set falls due for refresh.

    ``spread`` is a random number in [0, 1): the jitter, passed in so that this stays pure.
    """
    share = EARLIEST_REFRESH + (LATEST_REFRESH - EARLIEST_REFRESH) * spread
    return issued_at + (expires_at - issued_at) * share


LAST_CHANCE_S = 120.0
"""How long before the end of the access token a strict provider is asked again after a call without answer."""


def retry_at(rotation: RotationClass, now: datetime, delay_s: float, access_expires_at: datetime | None) -> datetime:
    """Return when to ask again after a call whose fate is unknown: it may have used the refresh token up.

    Where the old token stays good, after the ordinary delay. With ``grace`` the delay must stay short, so the
    caller passes a short one. A strict provider may revoke the whole family at the second use, so the living
    access token is used first; asking again before its end costs nothing that is not lost already.
    """
    again = now + timedelta(seconds=delay_s)
    if rotation is RotationClass.STRICT and access_expires_at is not None:
        return max(again, access_expires_at - timedelta(seconds=LAST_CHANCE_S))
    return again


def retry_delay_s(failures: int, spread: float, *, longest_s: float = 300.0) -> float:
    """Return seconds to wait after ``failures`` failures in a row: exponential, with half of it jittered."""
    full = min(2.0 ** min(failures, 16), longest_s)
    return full * (0.5 + 0.5 * spread)
