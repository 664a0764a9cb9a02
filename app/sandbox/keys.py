"""Signing keys of the emulated providers: make, publish, rotate with overlap, sign."""

import base64
import hashlib
import json
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
KEPT_KEYS = 3
"""The current key, the next-to-last and one more: enough overlap for caches of a day, few enough to notice loss."""


RINGS = {"google": 2, "microsoft": 2, "microsoft-personal": 1, "oidc": 1}
"""Rings by name, with how many keys each publishes at the start. Personal Microsoft accounts have their own issuer."""


@dataclass(frozen=True)
class SigningKey:
    """One private key with its public name."""

    kid: str
    algorithm: str
    """`RS256` or `ES256`."""
    private_key: PrivateKey

    def jwk(self) -> dict[str, Any]:
        """Return the public half as a JSON Web Key (RFC 7517)."""
        public_key = self.private_key.public_key()
        if isinstance(public_key, rsa.RSAPublicKey):
            jwk = RSAAlgorithm.to_jwk(public_key, as_dict=True)
        else:
            jwk = ECAlgorithm.to_jwk(public_key, as_dict=True)
        jwk.pop("key_ops", None)
        return jwk | {"kid": self.kid, "use": "sig", "alg": self.algorithm}

    def certificate(self, common_name: str) -> x509.Certificate:
        """Return a self-signed certificate around the public half, as Google's v1 key document carries."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        start = datetime(2020, 1, 1, tzinfo=UTC)
        builder = x509.CertificateBuilder(
            issuer_name=name,
            subject_name=name,
            public_key=self.private_key.public_key(),
            serial_number=int(self.kid[:16], 16) or 1,
            not_valid_before=start,
            # Wide, so that a sandbox clock set years ahead still finds the certificate valid.
            not_valid_after=start + timedelta(days=365 * 60),
        )
        return builder.sign(self.private_key, hashes.SHA256())

    def certificate_pem(self, common_name: str) -> str:
        """Return `certificate` as PEM text."""
        return self.certificate(common_name).public_bytes(serialization.Encoding.PEM).decode()

    def sign(self, claims: dict[str, Any]) -> str:
        """Return a compact JWT with this key's `kid` in its header."""
        return jwt.encode(claims, self.private_key, algorithm=self.algorithm, headers={"kid": self.kid})


class KeyRing:
    """The signing keys of all emulated providers; the newest signs, older ones are still published."""

    def __init__(self) -> None:
        """Start without keys; each ring gets its first ones when it is asked for, because RSA keys are slow to make."""
        self._lock = threading.Lock()
        self._keys: dict[str, list[SigningKey]] = {}

    def current(self, ring: str) -> SigningKey:
        """Return the key that signs now."""
        return self._ring(ring)[-1]

    def published(self, ring: str) -> list[SigningKey]:
        """Return all keys in the provider's key document, newest last."""
        return list(self._ring(ring))

    def rotate(self, ring: str) -> SigningKey:
        """Sign with a new key from now on; the older ones stay published."""
        keys = [*self._ring(ring), make_key(ring)][-KEPT_KEYS:]
        with self._lock:
            self._keys[ring] = keys
        return keys[-1]

    def retire_old(self, ring: str) -> None:
        """Publish only the current key."""
        current = self.current(ring)
        with self._lock:
            self._keys[ring] = [current]

    def dump(self) -> dict[str, list[str]]:
        """Return all private keys as PEM text, for the state file of the sandbox."""
        with self._lock:
            return {ring: [_to_pem(key) for key in keys] for ring, keys in self._keys.items()}

    def load(self, body: dict[str, list[str]]) -> None:
        """Replace the keys by what `dump` returned."""
        with self._lock:
            self._keys = {ring: [_from_pem(pem) for pem in pems] for ring, pems in body.items()}

    def _ring(self, ring: str) -> list[SigningKey]:
        with self._lock:
            if ring not in self._keys:
                self._keys[ring] = [make_key(ring) for _ in range(RINGS[ring])]
            return self._keys[ring]


def half_hash(text: str) -> str:
    """Return the left half of the SHA-256 of `text` in base64url, as `at_hash` (OIDC Core 3.1.3.6)."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:16]).rstrip(b"=").decode()


def make_key(ring: str) -> SigningKey:
    """Return a new key of the kind a ring holds."""
    if ring == "oidc":
        return _named(ec.generate_private_key(ec.SECP256R1()))
    return _named(rsa.generate_private_key(public_exponent=65537, key_size=2048))


def _named(private_key: PrivateKey) -> SigningKey:
    algorithm = "RS256" if isinstance(private_key, rsa.RSAPrivateKey) else "ES256"
    unnamed = SigningKey("0" * 40, algorithm, private_key).jwk()
    public = {name: unnamed[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in unnamed}
    kid = hashlib.sha256(json.dumps(public, sort_keys=True).encode()).hexdigest()[:40]
    return SigningKey(kid, algorithm, private_key)


def _to_pem(key: SigningKey) -> str:
    return key.private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _from_pem(pem: str) -> SigningKey:
    private_key = serialization.load_pem_private_key(pem.encode(), password=None)
    if not isinstance(private_key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise TypeError("neither an RSA nor an elliptic curve key")
    return _named(private_key)
