"""``POST /oauth2/revoke``: end a Latchkey token before its time (RFC 7009).

A service may revoke its own tokens alone: one that another service holds is refused and goes on working, as section 2.1
wants it. That tells the caller nothing new, since whoever has the token can read in it whom it was issued to. Whatever
is no living token of ours, provider tokens included, is answered like success (section 2.2): the caller has what it
wanted, and could do nothing about it.
"""

from __future__ import annotations

from typing import Annotated, NotRequired

from flask import Blueprint
from pydantic import Field
from typing_extensions import TypedDict
from werkzeug.wrappers import Response

from app.domain.errors import RateLimited
from app.web import current
from app.web.access import FORM, caller
from app.web.api.form_body import form_values
from app.web.api.openapi import Answer, Group, Operation, Security
from app.web.api.token_request import invalid
from app.web.errors import ErrorCode
from app.web.paths import REVOCATION_ENDPOINT
from app.web.rendering import json_answer

blueprint = Blueprint("revocation", __name__)


class RevocationForm(TypedDict):
    """RFC 7009 section 2.1. Unknown parameters are passed over."""

    token: str
    """The Latchkey token."""
    token_type_hint: NotRequired[str]
    """Not needed, and not looked at: there is one kind of token to revoke."""
    client_assertion_type: NotRequired[
        Annotated[str, Field(json_schema_extra={"enum": ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"]})]
    ]
    """Comes with `client_assertion`."""
    client_assertion: NotRequired[str]
    """A JWT that says who calls, in place of the `Authorization` header, as at `/oauth2/token`."""
    client_id: NotRequired[str]
    """Must be the authenticated service's name when it is sent."""


class RevocationAnswer(TypedDict):
    """Nothing: the status says it."""


@blueprint.post(REVOCATION_ENDPOINT)
@caller("service", accepts=FORM)
@Operation(
    id="revoke_token",
    group=Group.TOKENS,
    summary="Revoke a Latchkey token",
    description=(
        "Ends a token from `client_credentials` before its time (RFC 7009); within a second it is refused everywhere. "
        "The answer is the same for what is no living Latchkey token, which needs no revocation. A provider access "
        "token is none, and lives on: what ends those is the person who disconnects the account."
    ),
    form=RevocationForm,
    example={"token": "eyJhbGciOiJFUzI1NiIsImtpZCI6Ij…"},
    answers=(Answer(200, "The token is of no use any more, or never was one.", RevocationAnswer, {}),),
    errors={400: (ErrorCode.INVALID_REQUEST, ErrorCode.UNAUTHORIZED_CLIENT)},
    security=(Security.BASIC, Security.ASSERTION, Security.BEARER),
)
def revoke() -> Response:
    """Revoke one token of the calling service."""
    token = form_values().get("token")
    if token is None:
        raise invalid("token is missing")
    services, service = current.services(), current.service()
    wait_s = services.rates.take((REVOCATION_ENDPOINT, service.id))
    if wait_s:
        raise RateLimited("revocation", retry_after_s=wait_s)
    services.callers.tokens.revoke(service, token)
    return json_answer({})
