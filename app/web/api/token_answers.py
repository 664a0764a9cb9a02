"""The bodies of ``/oauth2/token``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, NotRequired
from uuid import UUID

from typing_extensions import TypedDict
from werkzeug.wrappers import Response

from app.domain.connections import Connection, Status
from app.domain.errors import ReconnectRequired, ScopesMissing
from app.domain.secret import Secret
from app.services.token_exchange import Exchanged
from app.web.api.openapi import Identifier, Timestamp
from app.web.api.token_request import ACCESS_TOKEN_TYPE
from app.web.error_answers import program_error
from app.web.paths import repair_path


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


def exchanged_answer(exchanged: Exchanged, now: datetime) -> ExchangeAnswer:
    """Return the answer to a token exchange. ``expires_in`` is rounded down: it must not promise too much."""
    token, connection = exchanged.token, exchanged.connection
    answer: ExchangeAnswer = {
        "access_token": token.token.reveal(),
        "issued_token_type": ACCESS_TOKEN_TYPE,
        "token_type": "Bearer",
        "expires_in": int(token.remaining_s(now)),
        "scope": " ".join(token.scopes),
        "connection_id": str(connection.id),
        "provider": connection.provider,
        "account": connection.email,
        "granted_at": timestamp(granted_at(connection)),
        "handout_id": str(exchanged.hand_out_id),
    }
    if token.warning is not None:
        answer["warning"] = token.warning
    return answer


def interaction_answer(
    error: ReconnectRequired | ScopesMissing, connection_id: UUID, connection: Connection | None, public_url: str
) -> Response:
    """Return what only the person can mend, with the link to send them to.

    ``since`` is left out when the connection still counts as working, as with missing scopes.
    """
    extra: dict[str, object] = {"connect_uri": f"{public_url}{repair_path(connection_id)}"}
    if isinstance(error, ScopesMissing):
        extra["missing_scopes"] = list(error.missing)
    else:
        extra["reason"] = error.reason
    if connection is not None and connection.status is not Status.ACTIVE:
        extra["since"] = timestamp(connection.status_since)
    return program_error(error, extra=extra)


def granted_at(connection: Connection) -> datetime:
    """Return when the person last made the grant work: the connection has been active since then."""
    return connection.status_since if connection.status is Status.ACTIVE else connection.created_at


def timestamp(at: datetime) -> str:
    """Return RFC 3339 text in UTC, whole seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
