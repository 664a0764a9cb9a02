"""Authenticate with a private key (`private_key_jwt`, RFC 7523). Needs the extra `private-key`."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from latchkey_client.credentials import Proof, assertion_proof

_LIFETIME_S = 60
"""The longest Latchkey accepts; long enough for clocks that differ by some seconds."""

SigningKey = EllipticCurvePrivateKey | RSAPrivateKey | Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A private key whose public half is registered with Latchkey for the service.

    P-256 signs ES256, RSA PS256, Ed25519 EdDSA.
    """

    client_id: str
    key: SigningKey | Path | str = field(repr=False)
    """The key, or the path of a PEM file, which is read for every proof so that it can be replaced."""
    key_id: str | None = None
    """Id under which the public key is registered; null when it has none."""

    def prove(self, issuer: str) -> Proof:
        """Return a new assertion.

        Raises OSError or ValueError for an unusable file, TypeError for a key of another kind.
        """
        key = self._signing_key()
        now = int(time.time())
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": issuer,
            "iat": now,
            "exp": now + _LIFETIME_S,
            # Each assertion is good for one use.
            "jti": str(uuid.uuid4()),
        }
        headers = {"typ": "client-authentication+jwt"} | ({} if self.key_id is None else {"kid": self.key_id})
        return assertion_proof(jwt.encode(claims, key, _algorithm(key), headers), self.client_id)

    def _signing_key(self) -> SigningKey:
        if not isinstance(self.key, Path | str):
            return self.key
        key = load_pem_private_key(Path(self.key).read_bytes(), password=None)
        if not isinstance(key, EllipticCurvePrivateKey | RSAPrivateKey | Ed25519PrivateKey):
            raise TypeError("the file holds a key of another kind")
        return key


def _algorithm(key: SigningKey) -> str:
    if isinstance(key, RSAPrivateKey):
        return "PS256"
    if isinstance(key, Ed25519PrivateKey):
        return "EdDSA"
    if isinstance(key.curve, SECP256R1):
        return "ES256"
    raise TypeError("the key must be P-256, RSA or Ed25519")
