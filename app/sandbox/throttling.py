"""Refuse calls that are too many: at once for one mailbox (Graph), or within a time (both, when a quota is set).

Sources: Microsoft Graph throttling limits, Outlook service (4 concurrent requests and 10,000 in 10 minutes per app and
mailbox); Google Calendar API quota page (per minute per user and project). The quotas are off unless set, as tests and
measurements call more often than any application would.
"""

import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.sandbox.grants import Grant
from app.sandbox.settings import RuntimeSettings

MAILBOX = "graph.mailbox"
"""The operation under which the request log counts all calls of a mailbox together, refused ones included."""
OUTLOOK = frozenset(
    {
        "graph.calendars",
        "graph.delta",
        "graph.events",
        "graph.events.write",
        "graph.schedule",
        "graph.settings",
        "graph.view",
    }
)
"""Operations that Graph hands to the mailbox; subscriptions and the person's own record are not among them."""
GOOGLE_CALENDAR = frozenset(
    {
        "google.calendarlist",
        "google.calendars",
        "google.channels.stop",
        "google.events",
        "google.events.write",
        "google.freebusy",
        "google.settings",
        "google.watch",
    }
)
_CONCURRENCY = "Application is over its MailboxConcurrency limit."
_REQUESTS = "Application is over its RequestsPerTenMinutes limit."
_Key = tuple[str, str]
"""Client id and account key."""


@dataclass(frozen=True)
class Refusal:
    """Why a call is too many, in the provider's words."""

    status: int
    message: str | None = None
    """None, as for `reason`: the usual one of the status."""
    reason: str | None = None
    retry_after: str | None = None
    """None: no such header."""


class Throttle:
    """Counts the calls of all clients and mailboxes of one sandbox."""

    def __init__(self) -> None:
        """Start with nothing under way."""
        self._lock = threading.Lock()
        self._running: Counter[_Key] = Counter()
        self._calls: dict[_Key, deque[datetime]] = {}
        self._refused = 0

    @contextmanager
    def admitted(
        self, operation: str, grant: Grant | None, limits: RuntimeSettings, now: datetime
    ) -> Iterator[Refusal | None]:
        """Hold a place for a call while the block runs; yield the refusal instead when there is none."""
        if grant is None or operation not in OUTLOOK | GOOGLE_CALENDAR:
            yield None
            return
        key = (grant.client_id, grant.account_key)
        with self._lock:
            self._running[key] += 1
            at_once = self._running[key]
        try:
            if operation in GOOGLE_CALENDAR:
                yield self._google(key, limits.google_quota_per_min, now)
            elif at_once > limits.graph_concurrency:
                yield Refusal(429, _CONCURRENCY, retry_after="1")
            else:
                yield self._graph(key, limits.graph_quota_per_10_min, now)
        finally:
            with self._lock:
                self._running[key] -= 1

    def _google(self, key: _Key, quota: int | None, now: datetime) -> Refusal | None:
        if self._has_room(key, quota, now, timedelta(minutes=1)):
            return None
        with self._lock:
            self._refused += 1
            # Both forms occur, and neither names a time to wait.
            is_old_form = self._refused % 2 == 1
        return Refusal(403, reason="userRateLimitExceeded") if is_old_form else Refusal(429)

    def _graph(self, key: _Key, quota: int | None, now: datetime) -> Refusal | None:
        is_fine = self._has_room(key, quota, now, timedelta(minutes=10))
        return None if is_fine else Refusal(429, _REQUESTS, retry_after="10")

    def _has_room(self, key: _Key, quota: int | None, now: datetime, span: timedelta) -> bool:
        if quota is None:
            return True
        with self._lock:
            calls = self._calls.setdefault(key, deque())
            while calls and calls[0] <= now - span:
                calls.popleft()
            # Refused calls count, too.
            calls.append(now)
            return len(calls) <= quota
