"""Read Latchkey's explanation of what a request for a token would meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from latchkey_client.answers import moment, optional_text, successful, text, texts
from latchkey_client.errors import ProtocolError
from latchkey_client.wire import Answer


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. What is null was not said."""

    name: str
    """Such as `target`, `policy`, `consent`, `scopes` or `health`."""
    passed: bool | None
    """Null: not looked at, because an earlier check found nothing to look at."""
    error: str | None
    """What a request would be refused with; a code of Latchkey's registry."""
    reason: str | None
    action: str | None
    """What to do about it, in words."""
    connect_uri: str | None
    """Page on which the person can put it right."""
    missing_scopes: tuple[str, ...]
    until: datetime | None
    """When it ends by itself; aware UTC."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Whether a request would get a token now, as far as that can be known without asking the provider."""

    would_work: bool
    checks: tuple[Check, ...]
    connection_id: str | None
    """Null when there is none the service may know of."""

    @property
    def failed(self) -> tuple[Check, ...]:
        """Return the checks that say no."""
        return tuple(check for check in self.checks if check.passed is False)


def explanation_of(answer: Answer) -> Explanation:
    """Return the explanation in an answer; raises `LatchkeyError`."""
    members = successful(answer)
    would_work, checks = members.get("would_work"), members.get("checks")
    if not isinstance(would_work, bool) or not isinstance(checks, list):
        raise ProtocolError("the answer holds no explanation")
    return Explanation(would_work, tuple(_check(item) for item in checks), optional_text(members, "connection_id"))


def _check(item: object) -> Check:
    if not isinstance(item, Mapping):
        raise ProtocolError("the answer holds no explanation")
    passed = item.get("passed")
    return Check(
        name=text(item, "check"),
        passed=passed if isinstance(passed, bool) else None,
        error=optional_text(item, "error"),
        reason=optional_text(item, "reason"),
        action=optional_text(item, "action"),
        connect_uri=optional_text(item, "connect_uri"),
        missing_scopes=texts(item, "missing_scopes"),
        until=moment(item, "until"),
    )
