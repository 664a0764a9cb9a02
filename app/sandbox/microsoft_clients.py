"""Client authentication at Microsoft's token endpoint: secret in form or header, or a signed assertion."""

import base64
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Request

from app.sandbox.client_authentication import credentials_of, same_secret
from app.sandbox.microsoft_errors import EntraFault
from app.sandbox.settings import ClientRegistration
from app.sandbox.state import Sandbox

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ORIGIN = "https://login.microsoftonline.com"
NO_CREDENTIAL = "AADSTS7000218: The request body must contain the parameter 'client_assertion' or 'client_secret'."
WRONG_SECRET = (
    "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret "
    "value, not the client secret ID."
)
WRONG_SIGNATURE = "AADSTS700027: The certificate with identifier used to sign the client assertion is not registered."
BAD_ASSERTION = "AADSTS50027: JWT token is invalid or malformed."
WRONG_TIMES = "AADSTS700024: Client assertion is not within its valid time range."


def authenticated_client(state: Sandbox, request: Request, segment: str) -> ClientRegistration:
    """Return the client a request proves to be.

    Raises EntraFault: `invalid_client` for bad credentials, `unauthorized_client` for an unknown client id.
    """
    if "Origin" in request.headers:
        words = "AADSTS9002326: Cross-origin token redemption is permitted only for the 'Single-Page Application' type."
        raise EntraFault("invalid_request", words)
    client_id, secret = credentials_of(request)
    client = state.settings.client("microsoft", client_id)
    if client is None:
        words = f"AADSTS700016: Application with identifier '{client_id}' was not found in the directory."
        raise EntraFault("unauthorized_client", words)
    assertion = request.form.get("client_assertion")
    if assertion is not None:
        _check_assertion(client, assertion, request.form.get("client_assertion_type"), audiences(state, segment))
    elif secret is None:
        raise EntraFault("invalid_client", NO_CREDENTIAL, status=401)
    elif not same_secret(secret, client.client_secret):
        raise EntraFault("invalid_client", WRONG_SECRET, status=401)
    return client


def audiences(state: Sandbox, segment: str) -> list[str]:
    """Return the addresses an assertion may be meant for: the real token endpoint and the sandbox's own."""
    return [f"{root}/{segment}/oauth2/v2.0/token" for root in (ORIGIN, state.settings.base_url)]


def _check_assertion(client: ClientRegistration, assertion: str, kind: str | None, accepted: list[str]) -> None:
    if kind != ASSERTION_TYPE or client.certificate_pem is None:
        raise EntraFault("invalid_client", NO_CREDENTIAL if kind != ASSERTION_TYPE else WRONG_SIGNATURE, status=401)
    certificate = x509.load_pem_x509_certificate(client.certificate_pem.encode())
    public_key = certificate.public_key()
    if not _names_certificate(assertion, certificate) or not isinstance(public_key, rsa.RSAPublicKey):
        raise EntraFault("invalid_client", WRONG_SIGNATURE, status=401)
    claims = _verified(assertion, public_key, accepted)
    if claims["iss"] != client.client_id or claims["sub"] != client.client_id:
        raise EntraFault("invalid_client", BAD_ASSERTION, status=401)


def _verified(assertion: str, public_key: rsa.RSAPublicKey, accepted: list[str]) -> dict[str, Any]:
    # Checked by the machine's clock: the assertion tells the client's time, which the sandbox's clock does not move.
    try:
        claims: dict[str, Any] = jwt.decode(
            assertion,
            public_key,
            algorithms=["PS256", "RS256"],
            audience=accepted,
            leeway=300,
            options={"require": ["exp", "iss", "sub", "aud", "jti"]},
        )
    except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError) as error:
        raise EntraFault("invalid_client", WRONG_TIMES, status=401) from error
    except jwt.InvalidSignatureError as error:
        raise EntraFault("invalid_client", WRONG_SIGNATURE, status=401) from error
    except jwt.InvalidTokenError as error:
        raise EntraFault("invalid_client", BAD_ASSERTION, status=401) from error
    return claims


def _names_certificate(assertion: str, certificate: x509.Certificate) -> bool:
    try:
        header = jwt.get_unverified_header(assertion)
    except jwt.InvalidTokenError as error:
        raise EntraFault("invalid_client", BAD_ASSERTION, status=401) from error
    by_sha256 = _thumbprint(certificate, hashes.SHA256())
    by_sha1 = _thumbprint(certificate, hashes.SHA1())  # noqa: S303 - the legacy `x5t` header is a SHA-1 by definition
    # msal keeps the padding that RFC 7515 leaves out; Microsoft takes both.
    named = {name: str(header.get(name, "")).rstrip("=") for name in ("x5t#S256", "x5t")}
    return named["x5t#S256"] == by_sha256 or named["x5t"] == by_sha1


def _thumbprint(certificate: x509.Certificate, algorithm: hashes.HashAlgorithm) -> str:
    return base64.urlsafe_b64encode(certificate.fingerprint(algorithm)).rstrip(b"=").decode()
