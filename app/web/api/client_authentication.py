"""Which internal service is calling: the one place where every method of proving it is read.

HTTP Basic (RFC 6749 section 2.3.1), a Latchkey token (RFC 6750), and where tokens are got and
revoked by form, a signed assertion (RFC 7521 section 4.2): of the service itself or of a trusted issuer for its
workload.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from flask import Request

from app.bootstrap import Services
from app.domain.errors import InvalidClient
from app.domain.people import Service
from app.web.api.form_body import form_values
from app.web.errors import ErrorCode, RequestRefused
from app.web.paths import REVOCATION_ENDPOINT, TOKEN_ENDPOINT

_WITH_A_FORM = frozenset({TOKEN_ENDPOINT, REVOCATION_ENDPOINT})
_IN_THE_BODY = ("client_secret", "client_assertion", "client_assertion_type")
_LONGEST_CREDENTIAL = 2048
"""Characters; ours are far shorter, and hashing must not be a way to keep us busy."""


def authenticate(request: Request, services: Services) -> Service:
    """Return the calling service.

    Raises ``InvalidClient``, ``ClientFrozen``, ``KeysUnavailable``; ``RequestRefused`` when two methods are used at
    once (RFC 6749 section 2.3) or ``client_id`` names somebody else.
    """
    scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
    form = form_values() if request.path in _WITH_A_FORM else {}
    if any(name in form for name in _IN_THE_BODY):
        if scheme:
            raise _two_methods()
        return _by_assertion(form, services)
    credential = credential.strip()
    if len(credential) > _LONGEST_CREDENTIAL:
        raise InvalidClient("too long")
    client_id = form.get("client_id")
    if scheme.lower() == "basic":
        return _basic(services, credential, client_id)
    if scheme.lower() == "bearer" and credential:
        service = services.callers.tokens.check(credential)
        _check_client_id(client_id, service.name)
        return service
    raise InvalidClient("no usable credential")


def shows_known_token(request: Request, services: Services) -> bool:
    """Return whether the caller shows a Latchkey token that this process has verified before; costs one hash."""
    scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
    credential = credential.strip()
    return (
        scheme.lower() == "bearer"
        and len(credential) <= _LONGEST_CREDENTIAL
        and services.callers.tokens.is_known(credential)
    )


def challenge(request: Request) -> str:
    """Return the ``WWW-Authenticate`` value that fits the method the caller tried."""
    if uses_bearer(request):
        return 'Bearer realm="latchkey", error="invalid_token"'
    return 'Basic realm="latchkey", charset="UTF-8"'


def uses_bearer(request: Request) -> bool:
    """Return whether the caller came with a Latchkey token."""
    return request.headers.get("Authorization", "").partition(" ")[0].lower() == "bearer"


def _by_assertion(form: Mapping[str, str], services: Services) -> Service:
    if "client_secret" in form and "client_assertion" in form:
        raise _two_methods()
    if "client_assertion" not in form:
        # A secret in the body is no method here: bodies end up in more places than headers.
        raise InvalidClient("no usable credential")
    return services.callers.assertions.authenticate(
        form.get("client_assertion_type"), form["client_assertion"], form.get("client_id")
    )


def _basic(services: Services, credential: str, client_id: str | None) -> Service:
    try:
        name, colon, secret = base64.b64decode(credential, validate=True).decode("ascii").partition(":")
        name, secret = _form_decoded(name), _form_decoded(secret)
    except ValueError as cause:
        raise InvalidClient("malformed") from cause
    if not (name and colon and secret):
        raise InvalidClient("malformed")
    _check_client_id(client_id, name)
    return services.clients.authenticate(name, secret)


def _check_client_id(client_id: str | None, name: str) -> None:
    if client_id and client_id != name:
        raise RequestRefused(ErrorCode.INVALID_REQUEST, "client_id differs from the authenticated client")


def _two_methods() -> RequestRefused:
    return RequestRefused(ErrorCode.INVALID_REQUEST, "use one client authentication method only")


def _form_decoded(part: str) -> str:
    """Undo the form encoding that section 2.3.1 puts around name and secret before Basic."""
    return unquote_to_bytes(part.replace("+", " ")).decode("utf-8")
