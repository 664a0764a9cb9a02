"""How often one address may fail to prove who it is, before that costs us anything.

Only failures count, so a service that knows its secret is not held back by itself; a program that guesses is. It holds
back others behind its address as well, save those that show a token this process knows.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable

from flask import Request

from app.domain.errors import RateLimited
from app.domain.rates import TokenBuckets

PER_S = 20
BURST = 200
"""A failed attempt costs at most a look-up and a signature check: so many are no load, and guess no 256 bits."""


class FailedAttempts:
    """Counts failures per caller's address, in this process."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._buckets = TokenBuckets(PER_S, BURST, monotonic)

    def refuse_more(self, request: Request) -> None:
        """Raise ``RateLimited`` when the caller's address has failed too often just now."""
        # As a rule nobody has failed yet, and then nobody's address matters.
        wait_s = self._buckets.wait_s(caller_address(request)) if self._buckets else 0.0
        if wait_s:
            raise RateLimited("failed authentication", retry_after_s=wait_s)

    def note(self, request: Request) -> None:
        """Count a failure."""
        self._buckets.take(caller_address(request))


def caller_address(request: Request) -> tuple[str, str]:
    """Return who is next to us, and whom it says it speaks for: our own proxy names its caller, empty otherwise.

    A proxy stands on this machine or in this network, and adds whom it answers at the end of ``X-Forwarded-For``.
    From anywhere else the header could be anything. The two are counted together: whoever else is near and forges the
    header must not use up what another address may fail.
    """
    nearest = request.remote_addr or ""
    forwarded = request.headers.get("X-Forwarded-For")
    if forwarded is None or not _is_near(nearest):
        return nearest, ""
    return nearest, forwarded.rpartition(",")[2].strip()[:45]


def _is_near(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_private
    except ValueError:
        return False
