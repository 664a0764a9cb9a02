"""Read what a token endpoint answered: tokens, or a refusal that a provider's table can judge.

Tolerant where providers differ harmlessly (``expires_in`` as text, ``scope`` as a list, extra members), strict
where a mistake would cost a connection: a refusal is only what arrives as JSON with an ``error``; everything
else is an outage. Source: RFC 6749 sections 5.1 and 5.2.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from app.domain.errors import ProviderError, ProviderThrottled, ProviderUnavailable
from app.domain.secret import Secret
from app.domain.tokens import TokenAnswer
from app.providers.http import Reply
from app.providers.json_reader import JSONObject, read_lenient_object, read_object

_LONGEST_PROMISE_S = 10**9
_ERROR_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TOKEN = re.compile(r"[\x20-\x7e]+")
"""RFC 6749 appendices A.12 and A.17; keeps line breaks out of headers."""

OUTAGES = frozenset({"server_error", "temporarily_unavailable", "internal_failure", "internal_error"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """An OAuth error answer (RFC 6749 section 5.2) with the extensions of Google and Entra."""

    status: int
    error: str
    """``unknown_error`` when the provider sent something that is no error code."""
    suberror: str = ""
    """Google ``error_subtype``, Entra ``suberror``; empty when absent."""
    codes: tuple[int, ...] = ()
    """Entra ``error_codes``."""
    description: str = ""
    """Refines a reason at most; never decides, never shown."""
    retry_after_s: float | None = None


def read_token_answer(reply: Reply) -> TokenAnswer | Refusal:
    """Return the tokens or the refusal in ``reply``.

    Raises ``ProviderUnavailable`` for redirects, 5xx and unreadable bodies, and ``ProviderThrottled`` for 429 and
    for 503 with ``Retry-After``. An answer that brings any token is an answer, whatever else it says: what reached
    us must not be lost.
    """
    _refuse_outages(reply)
    if reply.status in (200, 201):
        answer = _tokens(read_lenient_object(reply.body) or {})
        if answer.access_token is not None or answer.refresh_token is not None:
            return answer
    body = read_object(reply.body)
    if "error" not in body:
        raise ProviderUnavailable("no_token" if reply.status in (200, 201) else f"http_{reply.status}")
    return _refusal(reply, body)


def general_failure(refusal: Refusal) -> ProviderError | None:
    """Return the outcome that is the same at every provider, or null when the provider's table must decide."""
    if refusal.status == 429 or refusal.error in ("slow_down", "rate_limit_exceeded", "quota_exceeded"):
        return ProviderThrottled(refusal.error, retry_after_s=refusal.retry_after_s)
    if refusal.error in OUTAGES:
        return ProviderUnavailable(refusal.error)
    return None


def _refuse_outages(reply: Reply) -> None:
    retry_after_s = reply.retry_after_s()
    if reply.status == 429 or (reply.status == 503 and retry_after_s is not None):
        raise ProviderThrottled(f"http_{reply.status}", retry_after_s=retry_after_s)
    if 300 <= reply.status < 400:
        raise ProviderUnavailable("redirect")
    if reply.status >= 500 or reply.status == 408:
        raise ProviderUnavailable(f"http_{reply.status}")


def _tokens(body: JSONObject) -> TokenAnswer:
    is_bearer = str(body.get("token_type", "Bearer")).lower() == "bearer"
    return TokenAnswer(
        access_token=_token(body.get("access_token")) if is_bearer else None,
        refresh_token=_token(body.get("refresh_token")),
        id_token=_token(body.get("id_token")),
        expires_in_s=_seconds(body.get("expires_in")),
        scope=_scope(body.get("scope")),
        refresh_expires_in_s=_seconds(body.get("refresh_token_expires_in", body.get("refresh_expires_in"))),
    )


def _token(value: object) -> Secret | None:
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        return None
    return Secret(value)


def _seconds(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:18])
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or value < 1:
        return None
    return int(min(value, _LONGEST_PROMISE_S))


def _scope(value: object) -> str | None:
    if isinstance(value, list):
        value = " ".join(item for item in value if isinstance(item, str))
    return value if isinstance(value, str) and value.strip() else None


def _refusal(reply: Reply, body: JSONObject) -> Refusal:
    codes = body.get("error_codes")
    return Refusal(
        status=reply.status,
        error=_code(body["error"]) or "unknown_error",
        suberror=_code(body.get("suberror", body.get("error_subtype"))),
        codes=tuple(code for code in codes if isinstance(code, int)) if isinstance(codes, list) else (),
        description=str(body.get("error_description", ""))[:500],
        retry_after_s=reply.retry_after_s(),
    )


def _code(value: object) -> str:
    """Return ``value`` when it looks like a code; anything else could carry a token into a message."""
    return value if isinstance(value, str) and _ERROR_CODE.fullmatch(value) else ""
