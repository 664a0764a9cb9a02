"""The form of ``/oauth2/token`` as callers read it; ``token_request`` is what reads it here."""

from __future__ import annotations

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from app.web.api.token_request import (
    ACCESS_TOKEN_TYPE,
    CLIENT_CREDENTIALS,
    CONNECTION_TYPE,
    JWT_TYPE,
    PERSON_TYPE,
    TOKEN_EXCHANGE,
)


class TokenForm(TypedDict):
    """RFC 6749 section 4.4.2 and RFC 8693 section 2.1, with our members. Unknown parameters are passed over."""

    grant_type: Annotated[str, Field(json_schema_extra={"enum": [CLIENT_CREDENTIALS, TOKEN_EXCHANGE]})]
    """`client_credentials` gives a Latchkey token, token exchange a provider access token."""
    client_assertion_type: NotRequired[
        Annotated[str, Field(json_schema_extra={"enum": ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"]})]
    ]
    """Comes with `client_assertion`."""
    client_assertion: NotRequired[str]
    """A JWT that says who calls, in place of the `Authorization` header: signed with a key registered for the service
    (`iss` and `sub` its name, `aud` our issuer, `exp` within a minute, `jti` never used before), or the token its
    platform gave the workload."""
    client_id: NotRequired[str]
    """Must be the authenticated service's name when it is sent."""
    subject_token_type: NotRequired[
        Annotated[str, Field(json_schema_extra={"enum": [CONNECTION_TYPE, PERSON_TYPE, JWT_TYPE]})]
    ]
    """What `subject_token` is. Token exchange needs it."""
    subject_token: NotRequired[str]
    """Whose access is asked for: the id of a connection or of a person, the person's own token of the product, or a
    statement that names a person, signed with the service's own key. Token exchange needs it."""
    requested_token_type: NotRequired[Annotated[str, Field(json_schema_extra={"enum": [ACCESS_TOKEN_TYPE]})]]
    """Nothing else can be asked for."""
    audience: NotRequired[Annotated[str, Field(pattern="^[a-z0-9-]{1,63}$")]]
    """Key of the provider whose token is wanted. Needed unless a connection or `resource` says it."""
    resource: NotRequired[str]
    """In place of `audience`: an address of the provider's API, one of its scopes, or the issuer."""
    account: NotRequired[str]
    """Which of the person's accounts there: the provider's id of it, or its e-mail address."""
    features: NotRequired[str]
    """What the token must be good for, in words of this product divided by spaces, such as `calendar.read`."""
    scope: NotRequired[str]
    """What the token must be good for, in the provider's words divided by spaces. It may be good for more: the answer
    says for what. Scopes that are not allowed or not granted are `invalid_scope`."""
    purpose: NotRequired[Annotated[str, Field(pattern="^[a-z0-9][a-z0-9._-]{0,63}$")]]
    """What the service wants the token for; policy may ask for it, and it is written down."""
    min_validity: NotRequired[Annotated[str, Field(pattern="^[0-9]{1,4}$")]]
    """Seconds the token must still live, at most 3000. When left out: 60 if that can be had."""
    rejected_token_sha256: NotRequired[Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")]]
    """SHA-256 of a token the provider has just refused, in hexadecimal: the answer will be another one."""
