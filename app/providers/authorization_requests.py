"""Build authorization URLs with requests-oauthlib: parameters, encoding and the S256 challenge are its work.

Only the URL is asked of it. State and PKCE verifier are made, kept and checked by us, because a session rebuilt
at the callback checks no state at all. Source: RFC 6749 section 4.1.1, RFC 7636 section 4.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

from oauthlib.oauth2 import WebApplicationClient
from requests_oauthlib import OAuth2Session

from app.ports.providers import AuthorizationStart


def build_authorization_url(
    endpoint: str, override: str | None, client_id: str, start: AuthorizationStart, extra: Mapping[str, str]
) -> str:
    """Return the URL for ``start`` with the provider's ``extra`` parameters.

    ``endpoint`` is the provider's own https page; ``override`` replaces its address, keeping the query.
    """
    client = WebApplicationClient(client_id)
    with OAuth2Session(client=client, redirect_uri=start.redirect_uri, scope=list(start.scopes)) as session:
        url, _state = session.authorization_url(
            endpoint,
            state=start.state,
            nonce=start.nonce,
            code_challenge=client.create_code_challenge(start.code_verifier.reveal(), "S256"),
            code_challenge_method="S256",
            **extra,
        )
    return str(url) if override is None else _moved(str(url), override)


def _moved(url: str, address: str) -> str:
    to = urlsplit(address)
    return urlunsplit((to.scheme, to.netloc, to.path, urlsplit(url).query, ""))
