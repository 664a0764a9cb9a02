"""Which kind of provider serves an API: what ``resource`` of a token exchange may name (RFC 8693 section 2.1)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

API_ORIGINS: Mapping[str, str] = {
    "https://www.googleapis.com": "google",
    "https://calendar.googleapis.com": "google",
    "https://gmail.googleapis.com": "google",
    "https://people.googleapis.com": "google",
    "https://graph.microsoft.com": "microsoft",
}
"""Origin to provider kind. Google's scopes begin with the first, Microsoft's long form of scopes with the last."""


def kind_of_resource(resource: str) -> str | None:
    """Return the kind of provider that serves ``resource``: an API's address or a scope; null when none does.

    Only the origin counts, compared whole: a path is the API's own business. RFC 8707 section 2 forbids a fragment.
    """
    try:
        parts = urlsplit(resource)
    except ValueError:
        return None
    return None if "#" in resource else API_ORIGINS.get(f"{parts.scheme}://{parts.netloc}")
