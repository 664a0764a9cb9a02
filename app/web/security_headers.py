"""Headers on every answer: nothing inline, nothing from elsewhere, nothing framed, nothing kept.

The policy was held in Chromium with these pages; ``form-action 'self'`` also covers redirects after a post.
"""

from __future__ import annotations

from flask import request
from werkzeug.wrappers import Response

from app.web import current

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

_FOR_PROGRAMS = (
    # Should somebody get a browser to show an answer as a page after all.
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
)
"""With JSON. The rest says how to show a page, which this is not, and would cost as much as the decision."""

_KEPT_NOWHERE = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))

_HSTS = "max-age=31536000; includeSubDomains"


def add_security_headers(response: Response) -> Response:
    """Complete an answer; what a view set itself stays. Registered as ``after_request``."""
    if response.headers.get("Content-Type") == "application/json":
        response.headers.extend(_FOR_PROGRAMS)
        # Public keys and metadata say themselves how long they may be kept; nothing else does.
        if "Cache-Control" not in response.headers:
            response.headers.extend(_KEPT_NOWHERE)
        return _over_tls_only(response)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if not request.path.startswith("/static/"):
        response.headers["Cache-Control"] = "no-store"
        response.headers["Pragma"] = "no-cache"
    return _over_tls_only(response)


def headers_for_programs(*, is_https: bool) -> list[tuple[str, str]]:
    """Return what goes with a JSON answer that nobody may keep."""
    return [*_FOR_PROGRAMS, *_KEPT_NOWHERE, *((("Strict-Transport-Security", _HSTS),) if is_https else ())]


def _over_tls_only(response: Response) -> Response:
    if current.settings().is_https:
        response.headers.setdefault("Strict-Transport-Security", _HSTS)
    return response
