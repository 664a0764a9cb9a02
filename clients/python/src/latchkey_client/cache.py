"""Remember tokens while they serve, in this process alone and within bounds."""

from __future__ import annotations

import random
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from latchkey_client.tokens import Token, TokenRequest
from latchkey_client.users import UserToken

MARGIN_S = 60.0
"""A token is let go this long before its end: it must last for the call it is fetched for."""
JITTER_S = 30.0
"""And up to this much earlier, so that processes that share a connection do not all ask in the same second."""
MOST_REQUESTS = 4096
"""How many requests are remembered; the one that was not used for longest goes first."""


@dataclass(slots=True)
class _Slot:
    token: Token | None
    """Null after a rejection."""
    usable_until: datetime
    rejected_sha256: str | None = None


class TokenCache:
    """Tokens by request, and which of them a provider has rejected; safe to use from several threads."""

    def __init__(
        self,
        most: int = MOST_REQUESTS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        spread: Callable[[], float] = random.random,
    ) -> None:
        """Keep at most `most` requests; `now` is aware, `spread` in [0, 1)."""
        self._slots: OrderedDict[TokenRequest, _Slot] = OrderedDict()
        self._rejected: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()
        self._most, self._now, self._spread = most, now, spread

    def get(self, request: TokenRequest, min_validity_s: float) -> Token | None:
        """Return a token that lasts at least `min_validity_s`; null when there is none."""
        with self._lock:
            slot, now = self._slots.get(request), self._now()
            if slot is None or slot.token is None or now >= slot.usable_until:
                return None
            if slot.token.remaining_s(now) < min_validity_s:
                return None
            self._slots.move_to_end(request)
            return slot.token

    def put(self, token: Token) -> None:
        """Remember a token under its request and forget the rejection it replaces.

        A rejected token is not taken back: its answer was on the way when the provider's rejection became known.
        """
        with self._lock:
            if token.sha256() not in self._rejected:
                self._keep(token.request, _Slot(token, self._usable_until(token)))

    def reject(self, token: Token) -> None:
        """Never return this token again, whatever it was asked for with, and remember to say so to Latchkey."""
        with self._lock:
            self._rejected[token.sha256()] = None
            if len(self._rejected) > self._most:
                self._rejected.popitem(last=False)
            self._keep_rejected(token.request, token)
            for request, slot in self._slots.items():
                if slot.token is not None and slot.token.value == token.value:
                    self._keep_rejected(request, token)

    def rejected_sha256(self, request: TokenRequest) -> str | None:
        """Return the hash of the token that a provider rejected, until another one came; null without."""
        with self._lock:
            slot = self._slots.get(request)
            return slot.rejected_sha256 if slot else None

    def is_rejected(self, token: Token) -> bool:
        """Tell whether a provider rejected this token."""
        return token.sha256() in self._rejected

    def _keep_rejected(self, request: TokenRequest, token: Token) -> None:
        slot = self._slots.get(request)
        if slot is None:
            self._keep(request, _Slot(None, token.expires_at, token.sha256()))
        elif slot.token is None or slot.token.value == token.value:
            slot.token, slot.rejected_sha256 = None, token.sha256()

    def _keep(self, request: TokenRequest, slot: _Slot) -> None:
        self._slots[request] = slot
        self._slots.move_to_end(request)
        if len(self._slots) > self._most:
            self._slots.popitem(last=False)

    def _usable_until(self, token: Token) -> datetime:
        until = token.expires_at - timedelta(seconds=MARGIN_S + JITTER_S * self._spread())
        user = token.request.user
        ends_at = user.ends_at() if isinstance(user, UserToken) else None
        return until if ends_at is None else min(until, ends_at)
