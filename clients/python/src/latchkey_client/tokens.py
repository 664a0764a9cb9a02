"""Describe which token is wanted, and the token that came."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from latchkey_client.users import User


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """Which token is wanted; equal requests share one cached token."""

    user: User
    provider: str
    """Key of the provider in Latchkey's configuration, such as `google`."""
    features: Sequence[str] = ()
    """What it will be used for, such as `calendar.read`; empty: whatever was granted. Kept as a sorted tuple."""
    purpose: str | None = None
    """Why, as policy knows it and the person can read it; null when policy asks for none."""
    account: str | None = None
    """Which of several accounts of the person at the provider; null: the only one."""

    def __post_init__(self) -> None:
        """Order the features. Raises TypeError for a bare string, which would be taken for a list of letters."""
        if isinstance(self.features, str):
            raise TypeError("features is a list of names")
        object.__setattr__(self, "features", tuple(sorted(set(self.features))))


@dataclass(frozen=True, slots=True)
class Token:
    """A provider access token. Keep it for one call; ask again for the next, which costs nothing while it lives."""

    value: str = field(repr=False)
    expires_at: datetime
    """Aware UTC."""
    scopes: tuple[str, ...]
    """What the person granted, which can be more than was asked for."""
    connection_id: str
    handout_id: str
    """Finds this hand-out in Latchkey's audit log."""
    warning: str | None
    """Set when the token is good but renewing it failed; a stable code."""
    request: TokenRequest = field(repr=False, compare=False)
    """What it was the answer to."""

    def remaining_s(self, now: datetime | None = None) -> float:
        """Return seconds until it expires; negative when past."""
        return (self.expires_at - (now or datetime.now(UTC))).total_seconds()

    def sha256(self) -> str:
        """Return the hash by which a rejection names the token, in hexadecimal."""
        return hashlib.sha256(self.value.encode()).hexdigest()
