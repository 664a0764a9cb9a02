"""How the document says what proves a caller."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from app.web.api.openapi import Security

SCHEMES: Mapping[str, object] = {
    Security.BEARER.value: {
        "type": "oauth2",
        "description": "A Latchkey token, sent as `Authorization: Bearer …`. It lives for minutes.",
        "flows": {"clientCredentials": {"tokenUrl": "/oauth2/token", "scopes": {}}},
    },
    Security.BASIC.value: {
        "type": "http",
        "scheme": "basic",
        "description": "The service's name and secret, each form-encoded first (RFC 6749 section 2.3.1).",
    },
}


def requirements(accepted: Iterable[Security]) -> list[dict[str, list[str]]]:
    """Return the alternatives, as a security requirement of the document.

    A signed statement travels in the form, for which the specification has no scheme: the empty alternative stands
    for it, and the form's ``client_assertion`` says the rest.
    """
    return [{} if way is Security.ASSERTION else {way.value: []} for way in accepted]
