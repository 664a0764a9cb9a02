"""Headers on every answer: nothing inline, nothing from elsewhere, nothing framed, nothing kept.

The policy was held in Chromium with these pages; ``form-action 'self'`` also covers redirects after a post.
"""

from __future__ import annotations

from flask import request
from werkzeug.wrappers import Response

from app.web import current
from app.web.paths import KEY_SET, METADATA

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    # The callback's address carries a code: no page after it may learn it (RFC 9700 section 4.2).
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    # For old browsers; the policy above says the same to the others.
    "X-Frame-Options": "DENY",
}

_PUBLISHED = frozenset({KEY_SET, METADATA})
"""Meant to be kept by whoever verifies our tokens; the view says how long."""

_FOR_PROGRAMS = (
    # Should somebody get a browser to show an answer as a page after all.
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
    ("Pragma", "no-cache"),
)
"""With JSON. The rest says how to show a page, which this is not, and would cost as much as the decision."""

_HSTS = "max-age=31536000; includeSubDomains"


def add_security_headers(response: Response) -> Response:
    """Complete an answer; what a view set itself stays. Registered as ``after_request``."""
    if response.headers.get("Content-Type") == "application/json":
        response.headers.extend(_FOR_PROGRAMS)
        return _over_tls_only(response)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if request.path in _PUBLISHED:
        response.headers.setdefault("Cache-Control", "no-store")
    elif not request.path.startswith("/static/"):
        response.headers["Cache-Control"] = "no-store"
        response.headers["Pragma"] = "no-cache"
    return _over_tls_only(response)


def _over_tls_only(response: Response) -> Response:
    if current.settings().is_https:
        response.headers.setdefault("Strict-Transport-Security", _HSTS)
    return response
