"""Our own paths that a browser may be sent to afterwards. Anything else never becomes a redirect."""

from __future__ import annotations

import re
from uuid import UUID

HOME = "/"
CONNECT = "/connect"
CONNECTIONS = "/connections"
AGENDA = "/agenda"
TOKEN_ENDPOINT = "/oauth2/token"
REVOCATION_ENDPOINT = "/oauth2/revoke"
KEY_SET = "/oauth2/jwks"
METADATA = "/.well-known/oauth-authorization-server"
CONNECT_LINKS = "/connect-links"

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_OWN = re.compile(
    rf"/connections(?:/{_UUID}(?:/repair|/disconnect)?)?"
    r"|/connect(?:\?provider=[a-z0-9-]{1,63})?"
    rf"|/connect-links/{_UUID}"
    r"|/agenda(?:\?from=\d{4}-\d{2}-\d{2}(?:&days=\d{1,2})?)?"
)


def own_path(wanted: str | None) -> str:
    """Return ``wanted`` if it is one of our pages to return to, otherwise the connections page.

    A list of known shapes instead of a search for dangerous ones: RFC 9700 section 4.11.
    """
    return wanted if wanted is not None and _OWN.fullmatch(wanted) else CONNECTIONS


def connection_path(connection_id: UUID) -> str:
    """Return the page of one connection."""
    return f"{CONNECTIONS}/{connection_id}"


def calendar_file_path(calendar_id: UUID) -> str:
    """Return where a person downloads one of their calendars."""
    return f"/calendars/{calendar_id}.ics"


def connect_link_path(link_id: UUID) -> str:
    """Return the page of a connect link; it shows nothing to a browser that has not opened the link's address."""
    return f"{CONNECT_LINKS}/{link_id}"


def opening_path(secret: str) -> str:
    """Return the path of a connect link's address, which carries its secret."""
    return f"{CONNECT_LINKS}/open/{secret}"


def repair_path(connection_id: UUID) -> str:
    """Return the page that services send people to when a connection needs them."""
    return f"{connection_path(connection_id)}/repair"
