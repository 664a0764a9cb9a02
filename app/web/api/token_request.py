"""Read a token request strictly (RFC 6749 section 3.2, RFC 8693 section 2.1). What came in is never repeated."""

from __future__ import annotations

import re
from collections.abc import Mapping

from app.domain.errors import UnknownPerson
from app.domain.features import Feature
from app.domain.policies import PURPOSE
from app.domain.subjects import Subject, SubjectMode
from app.services.resolution import Ask
from app.services.token_exchange import ExchangeRequest
from app.web import current
from app.web.errors import ErrorCode, RequestRefused

CLIENT_CREDENTIALS = "client_credentials"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"
CONNECTION_TYPE = "urn:latchkey:params:oauth:token-type:connection"
PERSON_TYPE = "urn:latchkey:params:oauth:token-type:person"

LONGEST_MIN_VALIDITY_S = 3000
"""Providers' tokens live an hour; more than this could not be kept without refreshing on every call."""
LONGEST_SUBJECT_TOKEN = 16_384
LONGEST_TEXT = 512
"""Characters of an account or a resource."""
MOST_SCOPES = 50

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_SCOPES = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*")
"""RFC 6749 appendix A.4."""
_PROVIDER = re.compile(r"[a-z0-9-]{1,63}")
_SUBJECT_TYPES = frozenset({JWT_TYPE, CONNECTION_TYPE, PERSON_TYPE})


def grant_type(values: Mapping[str, str]) -> str:
    """Return one of the two grant types we serve; raises ``RequestRefused``."""
    wanted = values.get("grant_type")
    if wanted is None:
        raise invalid("grant_type is missing")
    if wanted not in {CLIENT_CREDENTIALS, TOKEN_EXCHANGE}:
        raise RequestRefused(ErrorCode.UNSUPPORTED_GRANT_TYPE, "use client_credentials or token exchange")
    return wanted


def exchange_request(values: Mapping[str, str]) -> ExchangeRequest:
    """Return the exchange that ``values`` ask for.

    Raises ``RequestRefused`` and what ``Subjects.resolve`` raises: the subject comes last, because a signed statement
    is used up by looking at it.
    """
    if values.get("requested_token_type", ACCESS_TOKEN_TYPE) != ACCESS_TOKEN_TYPE:
        raise invalid("requested_token_type must be the access token type")
    if "actor_token" in values or "actor_token_type" in values:
        raise invalid("actor tokens are not supported")
    token_type, token = values.get("subject_token_type"), values.get("subject_token")
    if token_type not in _SUBJECT_TYPES or token is None:
        raise invalid("subject_token and one of the supported values of subject_token_type are needed")
    asked = {
        "audience": provider_key(values.get("audience")),
        "resource": short_text("resource", values.get("resource")),
        "features": _features(values.get("features")),
        "scopes": scopes(values.get("scope")),
        "purpose": matching("purpose", values.get("purpose"), PURPOSE),
        "account": short_text("account", values.get("account")),
    }
    min_validity_s = _min_validity_s(values.get("min_validity"))
    rejected = matching("rejected_token_sha256", values.get("rejected_token_sha256"), _SHA256)
    ask = Ask(subject=subject_of(token_type, token), **asked)  # type: ignore[arg-type]  # each under its own name
    return ExchangeRequest(targeted(ask), min_validity_s, None if rejected is None else rejected.lower())


def subject_of(token_type: str, token: str) -> Subject:
    """Return whom the calling service asks for; a genuine stranger is a subject without a person.

    Raises ``RequestRefused`` and what ``Subjects.resolve`` raises.
    """
    if len(token) > LONGEST_SUBJECT_TOKEN:
        raise invalid("subject_token is too long")
    try:
        return current.services().callers.subjects.resolve(current.service(), token_type, token)
    except UnknownPerson:
        return Subject(SubjectMode.PRESENT)


def targeted(ask: Ask) -> Ask:
    """Return ``ask`` if it says at which provider; raises ``RequestRefused``. A connection says it by itself."""
    if ask.subject.connection_id is None and ask.audience is None and ask.resource is None:
        raise invalid("audience or resource is needed")
    return ask


def provider_key(text: str | None) -> str | None:
    """Return a provider's key; one that cannot be any is refused like an unknown one."""
    if text is not None and not _PROVIDER.fullmatch(text):
        raise RequestRefused(ErrorCode.INVALID_TARGET, "no such connection or provider for this client")
    return text


def scopes(text: str | None) -> tuple[str, ...]:
    """Return the scopes named in ``text``, each once; raises ``RequestRefused``."""
    if text is None:
        return ()
    if not _SCOPES.fullmatch(text):
        raise invalid("scope must be names separated by single spaces")
    named = tuple(dict.fromkeys(text.split(" ")))
    if len(named) > MOST_SCOPES:
        raise invalid(f"scope names more than {MOST_SCOPES}")
    return named


def matching(name: str, value: str | None, pattern: re.Pattern[str]) -> str | None:
    """Return ``value`` if it has the shape, or null; raises ``RequestRefused``."""
    if value is not None and not pattern.fullmatch(value):
        raise invalid(f"{name} is malformed")
    return value


def short_text(name: str, value: str | None) -> str | None:
    """Return printable ``value`` of a decent length, or null; raises ``RequestRefused``."""
    if value is not None and (len(value) > LONGEST_TEXT or not value.isprintable()):
        raise invalid(f"{name} is malformed")
    return value


def invalid(description: str) -> RequestRefused:
    """Return the refusal of a malformed request."""
    return RequestRefused(ErrorCode.INVALID_REQUEST, description)


def _features(text: str | None) -> tuple[Feature, ...]:
    if text is None:
        return ()
    try:
        return tuple(dict.fromkeys(Feature(name) for name in text.split()))
    except ValueError:
        raise invalid("features holds an unknown name") from None


def _min_validity_s(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,4}", text) or int(text) > LONGEST_MIN_VALIDITY_S:
        raise invalid(f"min_validity must be whole seconds from 0 to {LONGEST_MIN_VALIDITY_S}")
    return int(text)
