"""Authorization requests: one pending sign-in or consent between start and callback.

Sources: RFC 6749 section 10.12, RFC 9700 section 4.7, RFC 9207 section 2.4.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from app.domain.errors import ConsentExpired, StateMismatch
from app.domain.features import Feature
from app.domain.secret import Secret

LIFETIME = timedelta(minutes=10)
"""Long enough to find a second factor, short enough that a leaked link is worth little."""


class Purpose(StrEnum):
    """What a pending request is for."""

    SIGN_IN = "sign_in"
    CONNECT = "connect"


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """One pending request, as stored; the secrets of it are sealed in ``sealed``."""

    id: UUID
    state_hash: bytes
    """SHA-256 of ``state``; the value itself exists only in the browser's URL."""
    browser_hash: bytes
    """SHA-256 of the ``__Host-`` cookie that started it."""
    person_id: UUID | None
    """Null for a sign-in."""
    connection_id: UUID | None
    """The connection to repair or widen; null when a new one is made."""
    provider: str
    purpose: Purpose
    features: tuple[Feature, ...]
    scopes: tuple[str, ...]
    return_to: str
    """Own path to go to afterwards."""
    sealed: bytes
    """``code_verifier`` and ``nonce``, sealed under the instance key."""
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Started:
    """What the browser needs to begin: where to go, and the cookie value that binds it."""

    authorization_url: str
    browser_token: Secret


@dataclass(frozen=True, slots=True)
class Callback:
    """What came back on the redirect URI, unjudged. Every value is hostile until checked."""

    provider: str
    """From our own path, not from the query: one redirect URI per provider (RFC 9700 section 4.4)."""
    state: str
    code: Secret | None
    error: str | None
    iss: str | None
    browser_token: Secret | None
    person_id: UUID | None
    """Who is signed in to this browser now."""
    error_detail: str | None = None
    """``error_description`` cut to 200 characters; read for provider codes, never shown."""


def check_callback(
    request: AuthorizationRequest, callback: Callback, browser_hash: bytes | None, now: datetime
) -> None:
    """Refuse a callback that is not this browser's, this person's and this provider's.

    Raises ``StateMismatch`` or ``ConsentExpired``.
    """
    if callback.provider != request.provider:
        raise StateMismatch("provider")
    if browser_hash is None or not hmac.compare_digest(browser_hash, request.browser_hash):
        raise StateMismatch("browser")
    if request.person_id is not None and callback.person_id != request.person_id:
        raise StateMismatch("person")
    if now >= request.expires_at:
        raise ConsentExpired


def check_issuer(expected: str | None, received: str | None, *, promised: bool) -> None:
    """Compare ``iss`` of the authorization answer (RFC 9207 section 2.4), by simple string comparison.

    ``promised`` is whether the provider's metadata announces the parameter: then its absence is an error too.
    ``expected`` null: the provider has no one issuer (Microsoft names one per tenant, and sends no ``iss``);
    its own redirect URI is what tells it from others.
    """
    if (received is None or expected is None) and not promised:
        return
    if received != expected:
        raise StateMismatch("issuer")
