"""The one ID-token validator, for every provider.

No SDK does this for us: msal stopped validating in 1.38, google-auth's key-set path checks neither issuer, nonce
nor skew. Every check of OpenID Connect Core section 3.1.3.7 is here, with algorithms pinned in code (RFC 8725
section 3.1), and a failed one raises ``IDTokenInvalid`` whose detail names the check and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import jwt

from app.domain.errors import IDTokenInvalid, ProviderUnavailable, SignedTokenInvalid
from app.domain.secret import Secret
from app.ports.surroundings import Clock
from app.providers.json_reader import read_object
from app.providers.jws import MAX_BYTES, read_algorithm, read_header
from app.providers.key_sets import KeySets, SigningKey

Claims = Mapping[str, object]

SKEW_S = 60
LONGEST_AGE_S = 600
"""Entra dates ``iat`` five minutes back; nothing honest is older than ten minutes on the back channel."""
MAX_SUBJECT = 255
_HASHES = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}


class IssuerRule(Protocol):
    """How a provider's issuer is recognised."""

    def __call__(self, claims: Claims, key: SigningKey) -> str:
        """Return the issuer to store; raises ``IDTokenInvalid`` when token and key are not this provider's."""


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What an acceptable ID token of one provider looks like."""

    client_id: str
    jwks_uri: str
    algorithms: frozenset[str]
    issuer: IssuerRule


@dataclass(frozen=True, slots=True)
class ValidToken:
    """The claims of a token that passed every check."""

    issuer: str
    claims: Claims

    def text(self, name: str) -> str | None:
        """Return a claim when it is a non-empty text; null otherwise."""
        value = self.claims.get(name)
        return value if isinstance(value, str) and value else None


class IDTokenValidator:
    """Validates ID tokens against the providers' published keys."""

    def __init__(self, keys: KeySets, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    def validate(
        self, id_token: Secret, rules: TokenRules, *, nonce: str | None, access_token: Secret | None
    ) -> ValidToken:
        """Return the claims. Raises ``IDTokenInvalid``, or ``ProviderUnavailable`` when no keys can be had.

        ``nonce`` null skips that check (refresh answers); ``access_token`` is compared with ``at_hash`` if present.
        """
        text = id_token.reveal()
        algorithm, kid = _header(text, rules.algorithms)
        claims, key = self._verified(text, algorithm, kid, rules)
        issuer = rules.issuer(claims, key)
        _check_audience(claims, rules.client_id)
        _check_times(claims, self._clock().timestamp())
        _check_subject(claims)
        _check_nonce(claims, nonce)
        _check_access_token(claims, access_token, algorithm)
        return ValidToken(issuer, claims)

    def _verified(self, text: str, algorithm: str, kid: str | None, rules: TokenRules) -> tuple[Claims, SigningKey]:
        candidates = self._keys.find(rules.jwks_uri, kid, algorithm)
        if not candidates:
            raise IDTokenInvalid("key")
        for key in candidates:
            try:
                payload = jwt.PyJWS().decode(text, key.public_key(algorithm), algorithms=[algorithm])
            except jwt.PyJWTError:
                continue
            return _object(payload, "claims"), key
        raise IDTokenInvalid("signature")


def exactly(issuer: str) -> IssuerRule:
    """Return the rule that ``iss`` equals ``issuer`` byte for byte."""

    def check(claims: Claims, key: SigningKey) -> str:  # noqa: ARG001 - keys of this provider carry no issuer
        if claims.get("iss") != issuer:
            raise IDTokenInvalid("iss")
        return issuer

    return check


def _header(text: str, allowed: frozenset[str]) -> tuple[str, str | None]:
    """Return ``alg`` and ``kid``; refuses everything but a small, plain JWS with an allowed algorithm."""
    try:
        return read_algorithm(read_header(text), allowed)
    except SignedTokenInvalid as cause:
        raise IDTokenInvalid(cause.detail) from None


def _object(body: bytes, what: str) -> dict[str, object]:
    try:
        return read_object(body, max_bytes=MAX_BYTES, max_depth=16)
    except ProviderUnavailable:
        raise IDTokenInvalid(what) from None


def _check_audience(claims: Claims, client_id: str) -> None:
    """Accept us alone: a second audience would be a party we know nothing about (Core 3.1.3.7 rules 3 to 5)."""
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if not audiences or any(value != client_id for value in audiences):
        raise IDTokenInvalid("aud")
    if "azp" in claims and claims["azp"] != client_id:
        raise IDTokenInvalid("azp")


def _check_times(claims: Claims, now: float) -> None:
    if _moment(claims, "exp") <= now - SKEW_S:
        raise IDTokenInvalid("exp")
    if not now - LONGEST_AGE_S <= _moment(claims, "iat") <= now + SKEW_S:
        raise IDTokenInvalid("iat")
    if "nbf" in claims and _moment(claims, "nbf") > now + SKEW_S:
        raise IDTokenInvalid("nbf")


def _moment(claims: Claims, name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise IDTokenInvalid(name)
    try:
        moment = float(value)
    except OverflowError:
        raise IDTokenInvalid(name) from None
    if not math.isfinite(moment):
        raise IDTokenInvalid(name)
    return moment


def _check_subject(claims: Claims) -> None:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject.isascii() or not 0 < len(subject) <= MAX_SUBJECT:
        raise IDTokenInvalid("sub")


def _check_nonce(claims: Claims, nonce: str | None) -> None:
    if nonce is None:
        return
    if not _same_text(claims.get("nonce"), nonce):
        raise IDTokenInvalid("nonce")


def _check_access_token(claims: Claims, access_token: Secret | None, algorithm: str) -> None:
    """Compare ``at_hash``: the left half of the token's hash, by the signature's hash function (Core 3.1.3.6)."""
    if access_token is None or "at_hash" not in claims:
        return
    digest = _HASHES[algorithm[-3:]](access_token.reveal().encode()).digest()
    expected = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
    if not _same_text(claims["at_hash"], expected):
        raise IDTokenInvalid("at_hash")


def _same_text(claimed: object, expected: str) -> bool:
    return isinstance(claimed, str) and claimed.isascii() and hmac.compare_digest(claimed, expected)
