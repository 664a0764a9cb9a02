"""``POST /oauth2/token``: a Latchkey token for a service, or a provider access token for one connection."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, request
from werkzeug.wrappers import Response

from app.domain.errors import InvalidClient, RateLimited
from app.services.token_exchange import ExchangeRefused
from app.web import current
from app.web.access import FORM, caller
from app.web.api.client_authentication import uses_bearer
from app.web.api.form_body import form_values
from app.web.api.openapi import Answer, Group, Operation, Security
from app.web.api.quick_lane import OUTCOME
from app.web.api.token_answers import (
    ExchangeAnswer,
    OwnTokenAnswer,
    exchanged_answer,
    own_token_answer,
    refusal_answer,
)
from app.web.api.token_form import TokenForm
from app.web.api.token_request import CLIENT_CREDENTIALS, JWT_TYPE, exchange_request, grant_type
from app.web.errors import ErrorCode
from app.web.rendering import json_answer

blueprint = Blueprint("tokens", __name__)

_PROOFS = frozenset({"client_id", "client_secret", "client_assertion", "client_assertion_type"})
"""Parameters that concern who calls: a body with one of them is looked at anew every time."""

_EXAMPLE: ExchangeAnswer = {
    "access_token": "ya29.a0Af…",
    "token_type": "Bearer",
    "expires_in": 2841,
    "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
    "scope": "openid email https://www.googleapis.com/auth/calendar.events.readonly",
    "connection_id": "8f14e45f-ceea-467f-a3c1-3b1d2f0a9c11",
    "provider": "google",
    "account": "ada@example.com",
    "granted_at": "2026-11-23T09:30:00Z",
    "handout_id": "1c0f3f1e-54c6-4f55-9a2f-7d3c58f1f0a2",
}


@blueprint.post("/oauth2/token")
@caller("service", accepts=FORM)
@Operation(
    id="token",
    group=Group.TOKENS,
    summary="Get a token",
    description=(
        "`client_credentials` gives a Latchkey token for the rest of this interface. Token exchange (RFC 8693) gives a "
        "provider access token for one person's account: valid for at least `min_validity` seconds, or an error that "
        "says what to do. Keep it in memory until a minute before its end; when the provider refuses it earlier, ask "
        "again with `rejected_token_sha256`."
    ),
    form=TokenForm,
    example={
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token_type": "urn:latchkey:params:oauth:token-type:connection",
        "subject_token": "8f14e45f-ceea-467f-a3c1-3b1d2f0a9c11",
        "features": "calendar.read",
        "purpose": "availability.compute",
        "min_validity": "120",
    },
    answers=(Answer(200, "The token.", ExchangeAnswer | OwnTokenAnswer, _EXAMPLE),),
    errors={
        400: (
            ErrorCode.INVALID_REQUEST,
            ErrorCode.UNSUPPORTED_GRANT_TYPE,
            ErrorCode.UNAUTHORIZED_CLIENT,
            ErrorCode.INVALID_SCOPE,
            ErrorCode.INVALID_TARGET,
            ErrorCode.INTERACTION_REQUIRED,
        ),
        429: (ErrorCode.RATE_LIMITED,),
        502: (ErrorCode.SERVER_ERROR,),
    },
    security=(Security.BASIC, Security.ASSERTION, Security.BEARER),
)
def token() -> Response:
    """Answer by grant type: client credentials (RFC 6749 section 4.4) or token exchange (RFC 8693)."""
    values = form_values()
    return _own_token() if grant_type(values) == CLIENT_CREDENTIALS else _exchange(values)


def _own_token() -> Response:
    if uses_bearer(request):
        # A short-lived token must not be able to prolong itself without the credential.
        raise InvalidClient("a token cannot get a token")
    services, service = current.services(), current.service()
    wait_s = services.rates.take((CLIENT_CREDENTIALS, service.id))
    if wait_s:
        raise RateLimited(CLIENT_CREDENTIALS, retry_after_s=wait_s)
    issued, expires_in_s = services.callers.tokens.issue(service)
    return json_answer(own_token_answer(issued, expires_in_s))


def _exchange(values: Mapping[str, str]) -> Response:
    try:
        outcome = request.environ.get(OUTCOME)
        if outcome is not None:
            raise outcome
        wanted = exchange_request(values)
        exchanged = current.services().token_exchange.exchange(current.service(), wanted)
    except ExchangeRefused as refused:
        return refusal_answer(refused)
    if values["subject_token_type"] != JWT_TYPE and _PROOFS.isdisjoint(values):
        current.quick_lane().remember(request.get_data(), wanted)
    return exchanged_answer(exchanged)
