"""Signed tokens of services and trusted issuers, verified with their public keys."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from app.domain.errors import KeysUnavailable, ProviderUnavailable
from app.domain.signed_tokens import SignedToken
from app.ports.credentials import JWK
from app.providers.json_reader import read_object
from app.providers.jws import check_signature, read_algorithm, read_parts
from app.providers.key_sets import EDDSA, KeySets, SigningKey, read_signing_key

ALGORITHMS = frozenset({"ES256", "PS256", "RS256", EDDSA})

LONGEST_KEY = 20_000
"""Characters; a key of any size we take is far shorter."""
_LONGEST_KID = 128
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_THUMBPRINT_MEMBERS = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}


class SignedTokenReader:
    """Implements ``ports.TokenReader``. Safe to share between threads."""

    def __init__(self, key_sets: KeySets) -> None:
        """Look published keys up in ``key_sets``."""
        self._key_sets = key_sets

    def glance(self, token: str) -> SignedToken:
        """Return what a token says WITHOUT verifying it."""
        return SignedToken(*read_parts(token))

    def verify(self, token: str, keys: Sequence[JWK]) -> SignedToken:
        """Return the token if one of ``keys`` made its signature; a ``kid`` in the token must be that key's."""

        def candidates(algorithm: str, kid: str | None) -> Iterable[SigningKey]:
            readable = [key for key in map(read_signing_key, keys) if key is not None]
            return [key for key in readable if key.fits(algorithm) and kid in (None, key.kid)]

        return _verified(token, candidates)

    def verify_published(self, token: str, jwks_url: str) -> SignedToken:
        """Return the token if a key published there made its signature; raises ``KeysUnavailable``."""
        return _verified(token, lambda algorithm, kid: self._published(jwks_url, kid, algorithm))

    def check_key(self, text: str) -> JWK:
        """Return the public key that an operator gave, a JWK or PEM, with a ``kid``; raises ``ValueError``."""
        if len(text) > LONGEST_KEY:
            raise ValueError("this is too long for a public key")
        jwk = _from_pem(text) if text.lstrip().startswith("-----BEGIN") else _from_json(text)
        if _PRIVATE_MEMBERS & jwk.keys():
            raise ValueError("this is a private or secret key; register the public half")
        key = read_signing_key(jwk)
        if key is None or not any(key.fits(algorithm) for algorithm in ALGORITHMS):
            raise ValueError("no key that can verify ES256, PS256, RS256 (2048 bits or more) or EdDSA (Ed25519)")
        kid = jwk.get("kid", _thumbprint(jwk))
        if not isinstance(kid, str) or not 0 < len(kid) <= _LONGEST_KID or not kid.isprintable():
            raise ValueError(f"the kid of a key has 1 to {_LONGEST_KID} printable characters")
        named = {name: jwk[name] for name in (*_THUMBPRINT_MEMBERS[key.kty], "alg") if name in jwk}
        return {**named, "kid": kid}

    def _published(self, jwks_url: str, kid: str | None, algorithm: str) -> Sequence[SigningKey]:
        try:
            return self._key_sets.find(jwks_url, kid, algorithm)
        except ProviderUnavailable as cause:
            raise KeysUnavailable(cause.detail) from cause


def _verified(token: str, candidates: Callable[[str, str | None], Iterable[SigningKey]]) -> SignedToken:
    header, claims = read_parts(token)
    algorithm, kid = read_algorithm(header, ALGORITHMS)
    check_signature(token, algorithm, candidates(algorithm, kid))
    return SignedToken(header, claims)


def _from_json(text: str) -> dict[str, object]:
    try:
        return read_object(text.encode(), max_bytes=LONGEST_KEY)
    except ProviderUnavailable:
        raise ValueError("this is neither a JWK (one JSON object) nor PEM") from None


def _from_pem(text: str) -> dict[str, object]:
    if "PRIVATE KEY" in text:
        raise ValueError("this is a private or secret key; register the public half")
    try:
        key = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("this is no public key in PEM form") from None
    if isinstance(key, RSAPublicKey):
        return dict(RSAAlgorithm.to_jwk(key, as_dict=True))
    if isinstance(key, EllipticCurvePublicKey):
        return dict(ECAlgorithm.to_jwk(key, as_dict=True))
    if isinstance(key, Ed25519PublicKey):
        return dict(OKPAlgorithm.to_jwk(key, as_dict=True))
    raise ValueError("this is no RSA, P-256 or Ed25519 key")


def _thumbprint(jwk: JWK) -> str:
    """Return the name of a key that has none: the hash of its required members (RFC 7638)."""
    required = {name: jwk[name] for name in _THUMBPRINT_MEMBERS[str(jwk["kty"])]}
    canonical = json.dumps(required, sort_keys=True, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).rstrip(b"=").decode()
