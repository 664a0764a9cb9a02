"""What programs can find out about this installation: RFC 8414 metadata and the public signing keys (RFC 7517)."""

from __future__ import annotations

from flask import Blueprint
from typing_extensions import TypedDict
from werkzeug.wrappers import Response

from app.services.signing_keys import KEY_SET_KEPT
from app.web import current
from app.web.access import caller
from app.web.api.openapi import Answer, Group, Operation
from app.web.api.token_request import CLIENT_CREDENTIALS, TOKEN_EXCHANGE
from app.web.paths import KEY_SET, METADATA, REVOCATION_ENDPOINT, TOKEN_ENDPOINT
from app.web.rendering import json_answer

blueprint = Blueprint("metadata", __name__)

_KEPT = f"public, max-age={int(KEY_SET_KEPT.total_seconds())}"
_AUTH_METHODS = ["client_secret_basic", "private_key_jwt"]
_AUTH_ALGORITHMS = ["ES256", "PS256", "RS256", "EdDSA"]
_HEADERS = {"Cache-Control": "How long the answer may be kept."}


class ServerMetadata(TypedDict):
    """The members of RFC 8414 section 2 that apply. What is not listed here does not work."""

    issuer: str
    token_endpoint: str
    jwks_uri: str
    response_types_supported: list[str]
    """Empty: nobody is authorized here by redirect."""
    grant_types_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    token_endpoint_auth_signing_alg_values_supported: list[str]
    revocation_endpoint: str
    revocation_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_signing_alg_values_supported: list[str]


class KeySet(TypedDict):
    """A JWK Set."""

    keys: list[dict[str, str]]


@blueprint.get(METADATA)
@caller("anyone")
@Operation(
    id="server_metadata",
    group=Group.DISCOVERY,
    summary="Find the token endpoint",
    description="Authorization server metadata (RFC 8414). A statement signed for us names `issuer` as its audience.",
    answers=(Answer(200, "The metadata.", ServerMetadata, headers=_HEADERS),),
)
def server_metadata() -> Response:
    """Return where the token endpoint is and what it takes."""
    issuer = current.settings().public_url
    body: ServerMetadata = {
        "issuer": issuer,
        "token_endpoint": f"{issuer}{TOKEN_ENDPOINT}",
        "jwks_uri": f"{issuer}{KEY_SET}",
        "response_types_supported": [],
        "grant_types_supported": [CLIENT_CREDENTIALS, TOKEN_EXCHANGE],
        "token_endpoint_auth_methods_supported": _AUTH_METHODS,
        "token_endpoint_auth_signing_alg_values_supported": _AUTH_ALGORITHMS,
        "revocation_endpoint": f"{issuer}{REVOCATION_ENDPOINT}",
        "revocation_endpoint_auth_methods_supported": _AUTH_METHODS,
        "revocation_endpoint_auth_signing_alg_values_supported": _AUTH_ALGORITHMS,
    }
    return _kept(json_answer(body))


@blueprint.get(KEY_SET)
@caller("anyone")
@Operation(
    id="key_set",
    group=Group.DISCOVERY,
    summary="Get the public signing keys",
    description=(
        "The keys Latchkey tokens are signed with. A key is published before it signs for longer than this answer may "
        "be kept, and after that until the last token it signed has ended."
    ),
    answers=(Answer(200, "The keys.", KeySet, headers=_HEADERS),),
)
def key_set() -> Response:
    """Return every public key our tokens may be signed with."""
    return _kept(json_answer({"keys": [dict(key) for key in current.services().callers.signing_keys.published()]}))


def _kept(answer: Response) -> Response:
    answer.headers["Cache-Control"] = _KEPT
    return answer
