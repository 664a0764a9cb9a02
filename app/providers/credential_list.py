"""The credentials of one client at one provider, newest first: the first that works is used.

A provider that answers ``invalid_client`` has not looked at the grant: RFC 6749 section 6 has the server authenticate
the client before it validates the refresh token, and section 3.2.1 gives that order for every token request. So the
same request may be repeated with an older credential, also where a refresh token serves only once. By provider: Google
answers 401 ``invalid_client`` and never uses a refresh token up; Entra refuses the credential (AADSTS7000215, 7000222,
700027) before the grant, and an old refresh token stays valid anyway; a strict OIDC server that rotates before it knows
who asks would let anybody end anybody's grant.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.domain.errors import InvalidGrant, ProviderError, ProviderRejected

logger = logging.getLogger("latchkey.providers")

LOOK_AGAIN_S = 1.0
"""How long after a change of a secrets file every process uses it."""

C = TypeVar("C")
T = TypeVar("T")


class CredentialRefused(ProviderRejected):
    """The provider refuses this credential of ours and has not looked at the grant; another one may serve."""


@dataclass(frozen=True)
class _Known(Generic[C]):
    """What was read, and which of it is in use."""

    stamp: Hashable
    credentials: tuple[C, ...]
    in_use: int = 0

    def order(self) -> list[int]:
        """Return positions: the one in use first, then newest first."""
        return [self.in_use, *(place for place in range(len(self.credentials)) if place != self.in_use)]


class CredentialList(Generic[C]):
    """Chooses among credentials and follows changes of where they come from. Safe between threads."""

    def __init__(
        self,
        provider: str,
        read: Callable[[], Sequence[C]],
        stamp: Callable[[], Hashable] = tuple,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``read`` returns at least one credential, newest first; ``stamp`` tells one state of its files from another.

        Both may raise ``OSError`` or ``ValueError``; at the first reading that is the caller's, later the credentials
        read before stay in use.
        """
        self._provider = provider
        self._read = read
        self._stamp = stamp
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._looked_at = monotonic()
        self._known = _Known(stamp(), tuple(read()))

    def attempt(self, call: Callable[[C], T]) -> T:
        """Return what ``call`` returns for the first credential the provider accepts.

        Raises what ``call`` raises, and ``ProviderRejected`` when every credential is refused.
        """
        known, refusal = self._current(), ProviderRejected("no_credential")
        for place in known.order():
            try:
                answer = call(known.credentials[place])
            except CredentialRefused as error:
                refusal = ProviderRejected(error.detail)
            except InvalidGrant:
                self._prefer(known, place)
                raise
            else:
                self._prefer(known, place)
                return answer
        raise refusal

    def in_use(self) -> C:
        """Return the credential that worked last, or the newest."""
        known = self._current()
        return known.credentials[known.in_use]

    def check(self, call: Callable[[C], object]) -> tuple[str, ...]:
        """Make ``call`` with each credential, newest first, and return ``accepted``, ``refused`` or another code."""
        return tuple(_verdict(call, credential) for credential in self._current().credentials)

    def _current(self) -> _Known[C]:
        with self._lock:
            if self._monotonic() - self._looked_at >= LOOK_AGAIN_S:
                self._looked_at = self._monotonic()
                self._known = self._followed(self._known)
            return self._known

    def _followed(self, known: _Known[C]) -> _Known[C]:
        try:
            stamp = self._stamp()
            if stamp == known.stamp:
                return known
            credentials = tuple(self._read())
        except (OSError, ValueError) as error:
            logger.warning("credentials of provider %s not read again: %s", self._provider, type(error).__name__)
            return known
        logger.info("credentials of provider %s read again: %d", self._provider, len(credentials))
        return _Known(stamp, credentials) if credentials else known

    def _prefer(self, known: _Known[C], place: int) -> None:
        if place == known.in_use:
            return
        with self._lock:
            if self._known is not known:
                return
            self._known = _Known(known.stamp, known.credentials, place)
        level = logging.WARNING if place else logging.INFO
        logger.log(level, "provider %s refuses credential %d; number %d is in use, the newest being 1",
                   self._provider, known.in_use + 1, place + 1)  # fmt: skip


def _verdict(call: Callable[[C], object], credential: C) -> str:
    try:
        call(credential)
    except CredentialRefused:
        return "refused"
    except InvalidGrant:
        return "accepted"
    except ProviderError as error:
        return error.detail or error.code
    return "accepted"
