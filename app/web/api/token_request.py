"""Read a token request strictly (RFC 6749 section 3.2, RFC 8693 section 2.1). What came in is never repeated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from uuid import UUID

from flask import Request

from app.domain.features import Feature
from app.services.token_exchange import ExchangeRequest
from app.web.errors import ErrorCode, RequestRefused

CLIENT_CREDENTIALS = "client_credentials"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"
CONNECTION_TYPE = "urn:latchkey:params:oauth:token-type:connection"

DEFAULT_MIN_VALIDITY_S = 60
LONGEST_MIN_VALIDITY_S = 3000
"""Providers' tokens live an hour; more than this could not be kept without refreshing on every call."""

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_SCOPES = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*")
"""RFC 6749 appendix A.4."""
_PURPOSE = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_PROVIDER = re.compile(r"[a-z0-9-]{1,63}")


def single_values(request: Request) -> dict[str, str]:
    """Return the form's parameters; an empty one counts as absent (RFC 6749 section 3.2).

    Raises ``RequestRefused`` for repeated parameters and for a query: addresses end up in logs.
    """
    if request.query_string:
        raise _invalid("parameters belong in the body")
    if any(len(request.form.getlist(name)) > 1 for name in request.form):
        raise _invalid("a parameter is repeated")
    return {name: value for name, value in request.form.items() if value}


def grant_type(values: Mapping[str, str]) -> str:
    """Return one of the two grant types we serve; raises ``RequestRefused``."""
    wanted = values.get("grant_type")
    if wanted is None:
        raise _invalid("grant_type is missing")
    if wanted not in {CLIENT_CREDENTIALS, TOKEN_EXCHANGE}:
        raise RequestRefused(ErrorCode.UNSUPPORTED_GRANT_TYPE, "use client_credentials or token exchange")
    return wanted


def exchange_request(values: Mapping[str, str]) -> ExchangeRequest:
    """Return the exchange that ``values`` ask for; raises ``RequestRefused``."""
    _refuse_unsupported(values)
    return ExchangeRequest(
        connection_id=_connection_id(values),
        audience=_audience(values.get("audience")),
        scopes=_scopes(values.get("scope")),
        features=_features(values.get("features")),
        purpose=_matching(values, "purpose", _PURPOSE),
        min_validity_s=_min_validity_s(values.get("min_validity")),
        rejected_token_sha256=_lower(_matching(values, "rejected_token_sha256", _SHA256)),
    )


def _refuse_unsupported(values: Mapping[str, str]) -> None:
    if values.get("requested_token_type", ACCESS_TOKEN_TYPE) != ACCESS_TOKEN_TYPE:
        raise _invalid("requested_token_type must be the access token type")
    if "actor_token" in values or "actor_token_type" in values:
        raise _invalid("actor tokens are not supported")
    if "resource" in values:
        # Ignoring it would hand out a token for more than was asked.
        raise RequestRefused(ErrorCode.INVALID_TARGET, "resource is not supported; use audience")


def _connection_id(values: Mapping[str, str]) -> UUID:
    if values.get("subject_token_type") != CONNECTION_TYPE:
        raise _invalid("subject_token_type must be the connection type")
    text = values.get("subject_token", "")
    if not _UUID.fullmatch(text):
        raise RequestRefused(
            ErrorCode.INVALID_REQUEST, "subject_token must be a connection id", reason="subject_token_invalid"
        )
    return UUID(text)


def _audience(text: str | None) -> str | None:
    if text is not None and not _PROVIDER.fullmatch(text):
        raise RequestRefused(ErrorCode.INVALID_TARGET, "no such connection or provider for this client")
    return text


def _scopes(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    if not _SCOPES.fullmatch(text):
        raise _invalid("scope must be names separated by single spaces")
    return tuple(dict.fromkeys(text.split(" ")))


def _features(text: str | None) -> tuple[Feature, ...]:
    try:
        return tuple(dict.fromkeys(Feature(name) for name in (text or "").split()))
    except ValueError as cause:
        raise _invalid("features holds an unknown name") from cause


def _min_validity_s(text: str | None) -> int:
    if text is None:
        return DEFAULT_MIN_VALIDITY_S
    if not re.fullmatch(r"[0-9]{1,4}", text) or int(text) > LONGEST_MIN_VALIDITY_S:
        raise _invalid(f"min_validity must be whole seconds from 0 to {LONGEST_MIN_VALIDITY_S}")
    return int(text)


def _matching(values: Mapping[str, str], name: str, pattern: re.Pattern[str]) -> str | None:
    value = values.get(name)
    if value is not None and not pattern.fullmatch(value):
        raise _invalid(f"{name} is malformed")
    return value


def _lower(text: str | None) -> str | None:
    return None if text is None else text.lower()


def _invalid(description: str) -> RequestRefused:
    return RequestRefused(ErrorCode.INVALID_REQUEST, description)
