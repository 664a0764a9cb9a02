"""Read client credentials from a token request (RFC 6749 section 2.3.1)."""

import base64
import binascii
import hmac
from urllib.parse import unquote_plus

from flask import Request

from app.sandbox.oauth_errors import OAuthFault
from app.sandbox.settings import ClientRegistration
from app.sandbox.state import Sandbox

FORM_TYPE = "application/x-www-form-urlencoded"


def credentials_of(request: Request) -> tuple[str, str | None]:
    """Return client id and secret from the Basic header, else from the form; the secret is None when none was sent."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            client_id, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", None
        return unquote_plus(client_id), unquote_plus(secret)
    return request.form.get("client_id", ""), request.form.get("client_secret")


def authenticated_client(state: Sandbox, request: Request, provider: str) -> ClientRegistration:
    """Return the client that a request proves to be, by secret in the header or the form.

    Raises OAuthFault `invalid_client`.
    """
    client_id, secret = credentials_of(request)
    client = state.settings.client(provider, client_id)
    if client is None:
        raise OAuthFault(401, "invalid_client", "The OAuth client was not found.")
    if secret is None or not same_secret(secret, client.client_secret):
        raise OAuthFault(401, "invalid_client", "Unauthorized")
    return client


def same_secret(sent: str, known: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(sent.encode(), known.encode())


def needed(request: Request, name: str) -> str:
    """Return a form parameter.

    Raises OAuthFault `invalid_request` when it is missing or sent twice (RFC 6749 section 3.2).
    """
    values = request.form.getlist(name)
    if len(values) != 1 or not values[0]:
        raise OAuthFault(400, "invalid_request", f"Missing required parameter: {name}")
    return values[0]
