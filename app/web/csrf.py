"""Forms can only be sent from our own pages: a token per browser, and what the browser says about the sender.

The token is an HMAC over the session cookie, or before sign-in over the browser-binding cookie, so nothing
has to be stored and it ends with the cookie (OWASP: HMAC-based token pattern).
"""

from __future__ import annotations

import hashlib
import hmac

from flask import Request

from app.domain.secret import Secret
from app.web import cookies
from app.web.settings import WebSettings

FIELD = "csrf_token"


def token_for(settings: WebSettings, request: Request, fresh_browser_token: Secret | None = None) -> str:
    """Return the form token of this browser; empty when it has neither cookie.

    ``fresh_browser_token`` is a binding cookie that goes out with the very answer that carries the form.
    """
    binding = _binding(request, fresh_browser_token)
    if binding is None:
        return ""
    return hmac.new(settings.csrf_key, f"form:{binding}".encode(), hashlib.sha256).hexdigest()


def is_genuine(settings: WebSettings, request: Request) -> bool:
    """Return whether an unsafe request comes from one of our forms in this browser."""
    if not _comes_from_us(settings, request):
        return False
    expected = token_for(settings, request)
    given = request.form.get(FIELD, "")
    return bool(expected) and hmac.compare_digest(expected.encode(), given.encode())


def _binding(request: Request, fresh: Secret | None) -> str | None:
    session = cookies.session_token(request)
    if session is not None:
        return f"session:{session.sha256()}"
    browser = fresh or cookies.browser_token(request)
    return None if browser is None else f"browser:{browser.sha256()}"


def _comes_from_us(settings: WebSettings, request: Request) -> bool:
    """Judge the headers that pages cannot forge.

    ``Referrer-Policy: no-referrer`` makes browsers write ``Origin: null`` even on our own forms (Fetch
    standard, "append a request Origin header"), so null passes only where ``Sec-Fetch-Site`` vouches for it.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site != "same-origin":
        return False
    origin = request.headers.get("Origin")
    if origin is None or origin == settings.origin:
        return True
    return origin == "null" and site == "same-origin"
