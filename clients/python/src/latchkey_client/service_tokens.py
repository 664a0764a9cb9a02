"""Hold the service's own token between calls."""

from __future__ import annotations

import random
import time

from latchkey_client.answers import ServiceToken

_RENEWED_BEFORE_END = 0.2
"""Share of its life in which a service token is renewed ahead of its end, at a random moment of the first half."""


class HeldServiceToken:
    """The newest service token. Attributes change in one assignment, so that readers need no lock."""

    def __init__(self) -> None:
        """Start with none."""
        self._held: tuple[str, float] | None = None

    def get(self, instead_of: str | None) -> str | None:
        """Return the token while it is not due for renewal and not `instead_of`; null otherwise."""
        held = self._held
        if held is None or held[0] == instead_of or time.monotonic() >= held[1]:
            return None
        return held[0]

    def put(self, token: ServiceToken) -> None:
        """Hold a token that has just come."""
        early = _RENEWED_BEFORE_END * random.uniform(0.5, 1.0)  # noqa: S311 - no secret depends on it
        self._held = token.value, time.monotonic() + token.expires_in_s * (1.0 - early)
