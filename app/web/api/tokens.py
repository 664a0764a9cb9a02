"""``POST /oauth2/token``: a Latchkey token for a service, or a provider access token for one connection."""

from __future__ import annotations

from flask import Blueprint, request
from werkzeug.wrappers import Response

from app.domain.errors import InvalidClient, ReconnectRequired, ScopesMissing
from app.web import current
from app.web.access import FORM, caller
from app.web.api.client_authentication import uses_bearer
from app.web.api.token_answers import exchanged_answer, interaction_answer, own_token_answer
from app.web.api.token_request import CLIENT_CREDENTIALS, exchange_request, grant_type, single_values
from app.web.rendering import json_answer

blueprint = Blueprint("tokens", __name__)


@blueprint.post("/oauth2/token")
@caller("service", accepts=FORM)
def token() -> Response:
    """Answer by grant type: client credentials (RFC 6749 section 4.4) or token exchange (RFC 8693)."""
    values = single_values(request)
    return _own_token() if grant_type(values) == CLIENT_CREDENTIALS else _exchange(values)


def _own_token() -> Response:
    if uses_bearer(request):
        # A short-lived token must not be able to prolong itself without the credential.
        raise InvalidClient("a token cannot get a token")
    issued, expires_in_s = current.services().clients.issue_token(current.service())
    return json_answer(own_token_answer(issued, expires_in_s))


def _exchange(values: dict[str, str]) -> Response:
    services, service = current.services(), current.service()
    wanted = exchange_request(values)
    try:
        exchanged = services.token_exchange.exchange(service, wanted)
    except (ReconnectRequired, ScopesMissing) as error:
        connection = services.clients.connection(service, wanted.connection_id)
        return interaction_answer(error, wanted.connection_id, connection, current.settings().public_url)
    return json_answer(exchanged_answer(exchanged, current.now()))
