"""How this installation proves who it is at a token endpoint.

Sources: RFC 6749 section 2.3.1 (secrets), RFC 7523 sections 2.2 and 3 (signed assertions),
OpenID Connect Core section 9 (names of the methods).
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from urllib.parse import quote_plus

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from app.domain.secret import Secret
from app.ports.surroundings import Clock

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFETIME = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request to the token endpoint carries besides the grant."""

    form: dict[str, str]
    headers: dict[str, str]

    def __repr__(self) -> str:
        return "Credentials(…)"


class ClientAuthentication(Protocol):
    """One way of client authentication."""

    def credentials(self) -> Credentials:
        """Return what to add to a request to the token or revocation endpoint."""


@dataclass(frozen=True, slots=True)
class SecretInBody:
    """``client_secret_post``."""

    client_id: str
    client_secret: Secret

    def credentials(self) -> Credentials:
        """Return identifier and secret as form members."""
        return Credentials({"client_id": self.client_id, "client_secret": self.client_secret.reveal()}, {})


@dataclass(frozen=True, slots=True)
class SecretInHeader:
    """``client_secret_basic``; nothing goes into the body, strict servers refuse two methods at once."""

    client_id: str
    client_secret: Secret

    def credentials(self) -> Credentials:
        """Return the Basic header, both parts form-encoded first as RFC 6749 section 2.3.1 asks."""
        pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret.reveal())}"
        return Credentials({}, {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()})


@dataclass(frozen=True, slots=True)
class SignedAssertion:
    """``private_key_jwt`` with PS256; the certificate, when there is one, is named by its SHA-256 thumbprint."""

    client_id: str
    audience: str
    """The issuer as configured, never an address out of its metadata: an issuer that names somebody else's token
    endpoint there would get an assertion that is good at that server (audience injection)."""
    private_key: RSAPrivateKey
    certificate: x509.Certificate | None
    clock: Clock

    def credentials(self) -> Credentials:
        """Return a fresh assertion; each has its own ``jti`` and lives five minutes."""
        now = self.clock()
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.audience,
            "jti": secrets.token_urlsafe(24),
            "iat": now,
            "nbf": now,
            "exp": now + ASSERTION_LIFETIME,
        }
        assertion = jwt.encode(claims, self.private_key, algorithm="PS256", headers=self._thumbprint())
        form = {"client_id": self.client_id, "client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
        return Credentials(form, {})

    def _thumbprint(self) -> dict[str, str] | None:
        if self.certificate is None:
            return None
        digest = self.certificate.fingerprint(SHA256())
        return {"x5t#S256": base64.urlsafe_b64encode(digest).rstrip(b"=").decode()}
