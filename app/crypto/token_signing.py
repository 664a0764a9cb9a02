"""Keys and signatures of our own tokens: ES256, that is ECDSA on P-256 with SHA-256 (RFC 7518 section 3.4)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from app.domain.errors import CipherError
from app.domain.secret import Secret
from app.ports.crypto import NewSigningKey

ALGORITHM = "ES256"
_NUMBER_BYTES = 32


class ES256Signer:
    """Implements ``ports.TokenSigner``. Keeps no key."""

    def new_key(self, kid: str) -> NewSigningKey:
        """Make a key pair; the private half as PEM, to be sealed by whoever keeps it."""
        key = generate_private_key(SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        point = key.public_key().public_numbers()
        public = {"kty": "EC", "crv": "P-256", "x": _number(point.x), "y": _number(point.y)}
        return NewSigningKey(Secret(pem), {**public, "kid": kid, "use": "sig", "alg": ALGORITHM})

    def sign(self, private_key: Secret, header: Mapping[str, str], claims: Mapping[str, object]) -> Secret:
        """Return the signed token in compact form; raises ``CipherError`` for a key that is none of ours."""
        key = load_pem_private_key(private_key.reveal().encode(), password=None)
        if not isinstance(key, EllipticCurvePrivateKey):
            raise CipherError("signing_key")
        signed = f"{_part({**header, 'alg': ALGORITHM})}.{_part(claims)}"
        r, s = decode_dss_signature(key.sign(signed.encode(), ECDSA(SHA256())))
        signature = r.to_bytes(_NUMBER_BYTES, "big") + s.to_bytes(_NUMBER_BYTES, "big")
        return Secret(f"{signed}.{_base64url(signature)}")


def _part(members: Mapping[str, object]) -> str:
    return _base64url(json.dumps(members, separators=(",", ":")).encode())


def _number(value: int) -> str:
    return _base64url(value.to_bytes(_NUMBER_BYTES, "big"))


def _base64url(value: bytes) -> str:
    """Return base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
