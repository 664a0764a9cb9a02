"""The bodies of ``/oauth2/token`` and ``/v1/tokens``."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Literal, NotRequired

from flask.wrappers import Response as FlaskResponse
from typing_extensions import TypedDict
from werkzeug.wrappers import Response

from app.domain.connections import Connection, Status
from app.domain.errors import (
    ConnectionPaused,
    LatchkeyError,
    NeverConnected,
    NotAllowed,
    ReconnectRequired,
    ScopeNotGranted,
    ScopesMissing,
    ServiceBlocked,
)
from app.domain.secret import Secret
from app.services.token_exchange import Exchanged, ExchangeRefused
from app.web import current
from app.web.api.openapi import Identifier, Timestamp
from app.web.api.token_request import ACCESS_TOKEN_TYPE
from app.web.error_answers import answer_latchkey_error
from app.web.paths import CONNECT, repair_path

_encode = json.JSONEncoder(separators=(",", ":")).encode


class OwnTokenAnswer(TypedDict):
    """RFC 6749 section 5.1."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    """Seconds the token still lives, rounded down."""


class ExchangeAnswer(TypedDict):
    """RFC 8693 section 2.2.1 and our members. There is never a refresh token."""

    access_token: str
    """The provider's."""
    token_type: Literal["Bearer"]
    expires_in: int
    """Seconds the token still lives, rounded down; never less than `min_validity`."""
    issued_token_type: str
    """`urn:ietf:params:oauth:token-type:access_token`."""
    scope: str
    """Everything the token is good for, in the provider's words divided by spaces."""
    connection_id: Identifier
    provider: str
    """Key of the provider in this installation."""
    account: str | None
    """The e-mail address at the provider, for display; never a key."""
    granted_at: Timestamp
    """When the person last made the grant work."""
    handout_id: Identifier
    """Names this hand-out in the audit log."""
    warning: NotRequired[str]
    """Set when the token is good but renewing it failed; a stable code."""


def own_token_answer(issued: Secret, expires_in_s: int) -> OwnTokenAnswer:
    """Return the answer to ``client_credentials``."""
    return {"access_token": issued.reveal(), "token_type": "Bearer", "expires_in": expires_in_s}


def exchanged_answer(exchanged: Exchanged) -> Response:
    """Return the answer to a token exchange."""
    return FlaskResponse(exchanged_body(exchanged, current.now()), content_type="application/json")


def exchanged_body(exchanged: Exchanged, now: datetime) -> bytes:
    """Return the body of that answer. ``expires_in`` is rounded down: it must not promise too much."""
    token, connection = exchanged.token, exchanged.connection
    answer: ExchangeAnswer = {
        "access_token": token.token.reveal(),
        "token_type": "Bearer",
        "expires_in": int(token.remaining_s(now)),
        "issued_token_type": ACCESS_TOKEN_TYPE,
        "scope": " ".join(token.scopes),
        "connection_id": str(connection.id),
        "provider": connection.provider,
        "account": connection.email,
        "granted_at": timestamp(granted_at(connection)),
        "handout_id": str(exchanged.hand_out_id),
    }
    if token.warning is not None:
        answer["warning"] = token.warning
    # The framework's own way sorts and indents and costs as much as the decision.
    return _encode(answer).encode("ascii")


def refusal_answer(refused: ExchangeRefused) -> Response:
    """Return why there is no token, with whatever helps the caller to go on."""
    return answer_latchkey_error(refused.cause, helpful_members(refused.cause, refused.connection))


def helpful_members(cause: LatchkeyError, connection: Connection | None) -> dict[str, object]:
    """Return the members beside the error: where to send the person, since or until when, which policy.

    ``since`` is left out when the connection still counts as working, as with missing scopes.
    """
    members: dict[str, object] = {}
    if isinstance(cause, NeverConnected):
        query = "" if cause.provider is None else f"?provider={cause.provider}"
        members["connect_uri"] = f"{current.settings().public_url}{CONNECT}{query}"
    if isinstance(cause, ReconnectRequired | ScopesMissing | ScopeNotGranted) and connection is not None:
        members["connect_uri"] = f"{current.settings().public_url}{repair_path(connection.id)}"
        members |= _times(connection)
    if isinstance(cause, ReconnectRequired):
        members["reason"] = cause.reason
    if isinstance(cause, ScopesMissing | ScopeNotGranted):
        members["missing_scopes"] = list(cause.missing)
    if isinstance(cause, ServiceBlocked | ConnectionPaused) and cause.until is not None:
        members["until"] = timestamp(cause.until)
    if isinstance(cause, NotAllowed) and cause.policy_id is not None:
        members["policy_id"] = str(cause.policy_id)
    return members


def granted_at(connection: Connection) -> datetime:
    """Return when the person last made the grant work: the connection has been active since then."""
    return connection.status_since if connection.status is Status.ACTIVE else connection.created_at


def timestamp(at: datetime) -> str:
    """Return RFC 3339 text in UTC, whole seconds."""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def _times(connection: Connection) -> dict[str, object]:
    if connection.status is Status.ACTIVE:
        return {}
    times: dict[str, object] = {"since": timestamp(connection.status_since)}
    if connection.last_refreshed_at is not None:
        times["last_ok"] = timestamp(connection.last_refreshed_at)
    return times
