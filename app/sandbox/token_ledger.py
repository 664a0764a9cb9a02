"""Write down every token call with its effects, so that a test can compare what was issued with what was kept.

Tokens appear as SHA-256 digests only. Times are the machine's, in seconds since 1970: they are compared with other
programs' times, and the sandbox's own clock may run apart.
"""

import threading
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

from flask import g, has_request_context

KEPT_CALLS = 50_000
"""Enough for every call of a long experiment."""


@dataclass
class TokenCall:
    """One call of a token endpoint."""

    number: int
    """Counts from 1 in the order of arrival."""
    operation: str
    account: str | None
    family: str | None
    """Refresh token family, of the token sent or of the code exchanged; None when neither is known."""
    sent: str | None
    """Digest of the refresh token that was sent; None for an exchange of a code."""
    began_at: float
    committed_at: float | None = None
    """When tokens were issued; None while, or when, nothing was done."""
    ended_at: float | None = None
    """When the answer was out, or given up; None while the call is in flight."""
    status: int | None = None
    """HTTP status of the answer; 0 when the connection was dropped on purpose; None while in flight."""
    access: str | None = None
    """Digest of the access token issued."""
    refresh: str | None = None
    """Digest of the refresh token issued; its parent is `sent`. None when none was."""


class TokenLedger:
    """The latest token calls of one sandbox, in the order of arrival."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._calls: deque[TokenCall] = deque(maxlen=KEPT_CALLS)
        self._count = 0

    def begin(self, operation: str, account: str | None, family: str | None, sent: str | None) -> TokenCall:
        """Open the entry of a call that has just come in."""
        with self._lock:
            self._count += 1
            call = TokenCall(self._count, operation, account, family, sent, time.time())
            self._calls.append(call)
            return call

    def end(self, call: TokenCall, status: int) -> None:
        """Close the entry of a call whose answer is out; once it is closed this changes nothing."""
        if call.ended_at is None:
            call.status, call.ended_at = status, time.time()

    def calls(self) -> list[TokenCall]:
        """Return the remembered calls, oldest first; those in flight are still written to."""
        with self._lock:
            return list(self._calls)

    def as_json(self) -> list[dict[str, Any]]:
        """Return the remembered calls as JSON objects."""
        return [asdict(call) for call in self.calls()]


def note_issued(*, access: str | None = None, refresh: str | None = None, family: str | None = None) -> None:
    """Enter digests of tokens just issued into the entry of the present request, if it is a token call."""
    call: TokenCall | None = g.get("token_call") if has_request_context() else None
    if call is None:
        return
    call.committed_at = time.time()
    call.access, call.refresh = access or call.access, refresh or call.refresh
    call.family = call.family or family
