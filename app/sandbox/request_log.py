"""Remember the latest requests without their secrets, and count calls and how many ran at once."""

import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

KEPT_ENTRIES = 1000
"""Enough to look back over one test or a few minutes of a demonstration."""

SHOWN_PARAMETERS = frozenset(
    [
        "grant_type",
        "response_type",
        "response_mode",
        "scope",
        "access_type",
        "prompt",
        "include_granted_scopes",
        "code_challenge_method",
        "client_id",
        "redirect_uri",
        "login_hint",
        "domain_hint",
        "timeMin",
        "timeMax",
        "maxResults",
        "singleEvents",
        "showDeleted",
        "startDateTime",
        "endDateTime",
        "sendUpdates",
        "client_assertion_type",
    ]
)
"""Parameters whose values are no secret; all other values are masked."""


@dataclass(frozen=True)
class Entry:
    """One request that was answered."""

    at: datetime
    method: str
    path: str
    parameters: dict[str, str]
    """Query and form parameters; values that could be secret are masked."""
    status: int
    """0 when the connection was dropped on purpose."""
    operation: str | None
    account: str | None


@dataclass(frozen=True)
class _Call:
    operation: str
    subject: str
    """Refresh token family, or account key, or `-`."""


class RequestLog:
    """The latest requests and the call counters of one sandbox."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._entries: deque[Entry] = deque(maxlen=KEPT_ENTRIES)
        self._calls: Counter[_Call] = Counter()
        self._running: Counter[_Call] = Counter()
        self._most_at_once: Counter[_Call] = Counter()

    def record(self, entry: Entry) -> None:
        """Remember one answered request."""
        with self._lock:
            self._entries.append(entry)

    @contextmanager
    def in_flight(self, operation: str, subject: str | None) -> Iterator[None]:
        """Count one call of `operation` about `subject` while the block runs."""
        call = _Call(operation, subject or "-")
        with self._lock:
            self._calls[call] += 1
            self._running[call] += 1
            self._most_at_once[call] = max(self._most_at_once[call], self._running[call])
        try:
            yield
        finally:
            with self._lock:
                self._running[call] -= 1

    def entries(self) -> list[Entry]:
        """Return the remembered requests, oldest first."""
        with self._lock:
            return list(self._entries)

    def counts(self) -> list[dict[str, Any]]:
        """Return calls and most calls at once per operation and subject, as JSON objects."""
        with self._lock:
            return [
                {**asdict(call), "calls": calls, "max_in_flight": self._most_at_once[call]}
                for call, calls in sorted(self._calls.items(), key=lambda item: (item[0].operation, item[0].subject))
            ]

    def clear(self) -> None:
        """Forget requests and counters; calls that are running stay counted as running."""
        with self._lock:
            self._entries.clear()
            self._calls.clear()
            self._most_at_once = Counter(+self._running)


def masked(parameters: Iterable[tuple[str, str]] | Mapping[str, str]) -> dict[str, str]:
    """Return parameters with every value hidden that is not known to be harmless."""
    pairs = parameters.items() if isinstance(parameters, Mapping) else parameters
    return {name: value if name in SHOWN_PARAMETERS else _mask(value) for name, value in pairs}


def _mask(value: str) -> str:
    return f"({len(value)} characters)" if value else ""
