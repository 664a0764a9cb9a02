"""Which internal service is calling: HTTP Basic (RFC 6749 section 2.3.1) or a Latchkey token (RFC 6750)."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote_to_bytes

from flask import Request

from app.bootstrap import Services
from app.domain.errors import InvalidClient
from app.domain.people import Service
from app.web.errors import ErrorCode, RequestRefused

_IN_THE_BODY = ("client_secret", "client_assertion", "client_assertion_type")
_LONGEST_CREDENTIAL = 1024
"""Characters; ours are far shorter, and hashing must not be a way to keep us busy."""


def authenticate(request: Request, services: Services) -> Service:
    """Return the calling service.

    Raises ``InvalidClient``; ``RequestRefused`` when two methods are used at once (RFC 6749 section 2.3).
    """
    scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
    credential = credential.strip()
    in_the_body = any(request.form.get(name) for name in _IN_THE_BODY)
    if scheme and in_the_body:
        raise RequestRefused(ErrorCode.INVALID_REQUEST, "use one client authentication method only")
    if len(credential) > _LONGEST_CREDENTIAL:
        raise InvalidClient("too long")
    if scheme.lower() == "basic":
        return _basic(request, services, credential)
    if scheme.lower() == "bearer" and credential:
        return services.clients.bearer(credential)
    raise InvalidClient("no usable credential")


def challenge(request: Request) -> str:
    """Return the ``WWW-Authenticate`` value that fits the method the caller tried."""
    if uses_bearer(request):
        return 'Bearer realm="latchkey", error="invalid_token"'
    return 'Basic realm="latchkey", charset="UTF-8"'


def uses_bearer(request: Request) -> bool:
    """Return whether the caller came with a Latchkey token."""
    return request.headers.get("Authorization", "").partition(" ")[0].lower() == "bearer"


def _basic(request: Request, services: Services, credential: str) -> Service:
    try:
        name, colon, secret = base64.b64decode(credential, validate=True).decode("ascii").partition(":")
        name, secret = _form_decoded(name), _form_decoded(secret)
    except (binascii.Error, UnicodeDecodeError) as cause:
        raise InvalidClient("malformed") from cause
    if not (name and colon and secret):
        raise InvalidClient("malformed")
    if request.form.get("client_id", name) != name:
        raise RequestRefused(ErrorCode.INVALID_REQUEST, "client_id differs from the authenticated client")
    return services.clients.authenticate(name, secret)


def _form_decoded(part: str) -> str:
    """Undo the form encoding that section 2.3.1 puts around name and secret before Basic."""
    return unquote_to_bytes(part.replace("+", " ")).decode("utf-8")
