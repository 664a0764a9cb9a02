"""Read Latchkey's answers strictly: a token, or the error that says why there is none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from latchkey_client.errors import (
    InteractionRequired,
    InvalidClient,
    InvalidRequest,
    InvalidTarget,
    LatchkeyError,
    NotAllowed,
    ProtocolError,
    RateLimited,
    TemporarilyUnavailable,
)
from latchkey_client.tokens import Token, TokenRequest
from latchkey_client.wire import Answer

_BEARER = re.compile(r"[A-Za-z0-9._~+/=-]+")
"""RFC 6750 section 2.1; anything else would not fit into a header."""


@dataclass(frozen=True, slots=True)
class ServiceToken:
    """A service's own short-lived Latchkey token."""

    value: str = field(repr=False)
    expires_in_s: int


def service_token_of(answer: Answer) -> ServiceToken:
    """Return the token of an answer to `client_credentials` (RFC 6749 section 5.1); raises `LatchkeyError`."""
    members = successful(answer)
    return ServiceToken(_bearer_text(members), _whole_seconds(members))


def token_of(answer: Answer, request: TokenRequest, now: datetime) -> Token:
    """Return the token of an answer to an exchange (RFC 8693 section 2.2); raises `LatchkeyError`."""
    members = successful(answer)
    return Token(
        value=_bearer_text(members),
        expires_at=now + timedelta(seconds=_whole_seconds(members)),
        scopes=tuple(text(members, "scope").split()),
        connection_id=text(members, "connection_id"),
        handout_id=text(members, "handout_id"),
        warning=optional_text(members, "warning"),
        request=request,
    )


def error_of(answer: Answer) -> LatchkeyError:
    """Return what an answer other than 200 means."""
    if answer.status == 0:
        return TemporarilyUnavailable("no_connection")
    members = answer.members()
    reason = optional_text(members, "reason")
    if answer.status == 429:
        return RateLimited(answer.retry_after_s())
    if answer.status >= 500:
        code = reason or optional_text(members, "error") or f"http_{answer.status}"
        return TemporarilyUnavailable(code, answer.retry_after_s())
    return _refusal(members, reason) or ProtocolError(f"unexpected answer with status {answer.status}")


def _refusal(members: Mapping[str, object], reason: str | None) -> LatchkeyError | None:
    match optional_text(members, "error"):
        case "interaction_required":
            return _interaction(members, reason)
        case "unauthorized_client" | "access_denied":
            return NotAllowed(reason)
        case "invalid_target":
            return InvalidTarget(reason, moment(members, "until"))
        case "invalid_client" | "invalid_token":
            return InvalidClient()
        case "invalid_request" | "invalid_scope" | "unsupported_grant_type" as code:
            return InvalidRequest(reason or code, optional_text(members, "error_description"))
    return None


def _interaction(members: Mapping[str, object], reason: str | None) -> InteractionRequired:
    return InteractionRequired(
        reason,
        connect_uri=optional_text(members, "connect_uri"),
        missing_scopes=texts(members, "missing_scopes"),
        since=moment(members, "since"),
        admin_uri=optional_text(members, "admin_uri"),
    )


def successful(answer: Answer) -> Mapping[str, object]:
    """Return the members of an answer with status 200; raises what any other one means."""
    if answer.status != 200:
        raise error_of(answer)
    return answer.members()


def text(members: Mapping[str, object], name: str) -> str:
    """Return a member that must be text; raises `ProtocolError`."""
    value = members.get(name)
    if not isinstance(value, str):
        raise ProtocolError(f"the answer has no {name}")
    return value


def optional_text(members: Mapping[str, object], name: str) -> str | None:
    """Return a member that is text; null when it is missing or anything else."""
    value = members.get(name)
    return value if isinstance(value, str) else None


def texts(members: Mapping[str, object], name: str) -> tuple[str, ...]:
    """Return a member that is a list of texts; empty when it is missing or anything else."""
    value = members.get(name)
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def moment(members: Mapping[str, object], name: str) -> datetime | None:
    """Return an RFC 3339 time as aware UTC; null when there is none that can be read."""
    try:
        found = datetime.fromisoformat(optional_text(members, name) or "")
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo else None


def _bearer_text(members: Mapping[str, object]) -> str:
    token = text(members, "access_token")
    if not _BEARER.fullmatch(token) or text(members, "token_type").lower() != "bearer":
        raise ProtocolError("the answer holds no bearer token")
    return token


def _whole_seconds(members: Mapping[str, object]) -> int:
    seconds = members.get("expires_in")
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 0 < seconds < 10**9:
        raise ProtocolError("the answer's expires_in is not a number of seconds")
    return seconds
