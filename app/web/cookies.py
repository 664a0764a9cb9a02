"""The cookies: the session, the one that binds a pending consent to the browser that started it, opened connect links.

All carry the ``__Host-`` prefix: browsers take them only from this very host, over a secure channel and
for the whole site, so that a neighbour domain cannot plant one (RFC 6265bis section 4.1.3.2). They are
``SameSite=Lax`` because the provider sends the browser back by a top-level GET from another site.
"""

from __future__ import annotations

import re
import secrets
from datetime import timedelta
from uuid import UUID

from flask import Request
from werkzeug.wrappers import Response

from app.domain.people import SESSION_LIFETIME
from app.domain.secret import Secret

SESSION = "__Host-latchkey-session"
CONSENT = "__Host-latchkey-consent"
LINK = "__Host-latchkey-link-"
"""Begins the names of the cookies that remember the connect links a browser has opened, one each."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
"""The shape of our own values: 256 random bits. Anything else was not set by us and counts as absent."""


def session_token(request: Request) -> Secret | None:
    """Return the session cookie's value; null when absent or not ours."""
    return _read(request, SESSION)


def browser_token(request: Request) -> Secret | None:
    """Return the browser-binding cookie's value; null when absent or not ours."""
    return _read(request, CONSENT)


def link_secret(request: Request, link_id: UUID) -> Secret | None:
    """Return the secret of a connect link this browser has opened; null otherwise."""
    return _read(request, f"{LINK}{link_id.hex}")


def set_link_secret(response: Response, link_id: UUID, secret: Secret, max_age: timedelta) -> None:
    """Remember an opened connect link, so that its secret need not stand in any further address."""
    _set(response, f"{LINK}{link_id.hex}", secret, int(max_age.total_seconds()))


def forget_link(response: Response, link_id: UUID) -> None:
    """Forget a connect link that has come to its end."""
    response.delete_cookie(f"{LINK}{link_id.hex}", path="/", secure=True, httponly=True, samesite="Lax")


def new_browser_token() -> Secret:
    """Return a fresh value for the browser-binding cookie."""
    return Secret(secrets.token_urlsafe(32))


def set_session(response: Response, token: Secret) -> None:
    """Sign the browser in; the cookie ends when the session does at the latest."""
    _set(response, SESSION, token, int(SESSION_LIFETIME.total_seconds()))


def set_browser_token(response: Response, token: Secret) -> None:
    """Bind the browser until it is closed."""
    _set(response, CONSENT, token, None)


def clear(response: Response) -> None:
    """Forget both cookies."""
    for name in (SESSION, CONSENT):
        response.delete_cookie(name, path="/", secure=True, httponly=True, samesite="Lax")


def _read(request: Request, name: str) -> Secret | None:
    value = request.cookies.get(name, "")
    return Secret(value) if _TOKEN.fullmatch(value) else None


def _set(response: Response, name: str, token: Secret, max_age_s: int | None) -> None:
    response.set_cookie(name, token.reveal(), max_age=max_age_s, path="/", secure=True, httponly=True, samesite="Lax")
