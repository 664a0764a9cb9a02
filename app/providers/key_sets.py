"""Public keys of the providers, fetched from their JWKS documents and kept for a day at most.

A set is renewed every hour; an unknown ``kid`` causes one forced fetch per half minute, so that a storm of forged
tokens does not become a storm of requests; when the provider is down the last good set serves known keys.
Sources: RFC 7517; OpenID Connect Core section 10.1.1; Entra's signing-key page (keys carry an ``issuer``).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from app.domain.errors import ProviderUnavailable
from app.ports.surroundings import Clock
from app.providers.http import OutboundClient
from app.providers.json_reader import read_object

RENEW_AFTER = timedelta(hours=1)
DROP_AFTER = timedelta(hours=24)
FORCED_FETCH_GAP = timedelta(seconds=30)
RETRY_GAP = timedelta(seconds=1)
"""Between attempts while there is no set at all: waiting half a minute would lock everybody out for a blip."""

MAX_BYTES = 256 * 1024
MAX_KEYS = 100
DEADLINE_S = 10.0
SMALLEST_RSA_BITS = 2048

EDDSA = "EdDSA"
ED25519 = "Ed25519"
"""The newer, exact name of the same (RFC 9864); keys carry either."""

_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One public key a provider signs with."""

    kid: str | None
    kty: str
    curve: str | None
    algorithm: str | None
    """Null when the document does not restrict it."""
    issuer: str | None
    """Entra only: the issuer (or template) this key may sign for; null at other providers."""
    members: Mapping[str, object]
    """The JWK itself."""

    def fits(self, algorithm: str) -> bool:
        """Return whether this key may verify a signature made with ``algorithm``."""
        if self.algorithm not in {None, algorithm} and (self.algorithm, algorithm) != (ED25519, EDDSA):
            return False
        if algorithm in _CURVES:
            return self.kty == "EC" and self.curve == _CURVES[algorithm]
        if algorithm == EDDSA:
            return self.kty == "OKP" and self.curve == "Ed25519"
        return self.kty == "RSA" and algorithm[:2] in ("RS", "PS")

    def public_key(self, algorithm: str) -> jwt.PyJWK:
        """Return the key in PyJWT's form, bound to ``algorithm``."""
        return jwt.PyJWK(dict(self.members), algorithm)


@dataclass(frozen=True, slots=True)
class _KeySet:
    keys: tuple[SigningKey, ...]
    fetched_at: datetime

    def matching(self, kid: str | None, algorithm: str) -> tuple[SigningKey, ...]:
        fitting = tuple(key for key in self.keys if key.fits(algorithm))
        if kid is None:
            # Core 10.1: without kid only a set with a single candidate is unambiguous.
            return fitting if len(fitting) == 1 else ()
        return tuple(key for key in fitting if key.kid == kid)


class KeySets:
    """Cache of key sets by their address; shared by all providers and threads."""

    def __init__(self, http: OutboundClient, clock: Clock) -> None:
        self._http = http
        self._clock = clock
        self._sets: dict[str, _KeySet] = {}
        self._attempts: dict[tuple[str, str], datetime] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def find(self, jwks_uri: str, kid: str | None, algorithm: str) -> tuple[SigningKey, ...]:
        """Return the keys that may have signed a token with this header; empty when there is none.

        Raises ``ProviderUnavailable`` when no set is known and none can be fetched.
        """
        known = self._current(jwks_uri)
        found = known.matching(kid, algorithm) if known else ()
        if known is None:
            known = self._fetch_serialised(jwks_uri, "first", RETRY_GAP)
        elif not found:
            known = self._fetch_serialised(jwks_uri, "forced", FORCED_FETCH_GAP)
        elif self._clock() - known.fetched_at > RENEW_AFTER:
            known = self._fetch_serialised(jwks_uri, "renewal", FORCED_FETCH_GAP, wait=False)
        return known.matching(kid, algorithm) if known else ()

    def forget(self, jwks_uri: str) -> None:
        """Drop a set, for the case that a provider's key was stolen."""
        self._sets.pop(jwks_uri, None)
        for attempt in list(self._attempts):
            if attempt[0] == jwks_uri:
                self._attempts.pop(attempt, None)

    def _current(self, jwks_uri: str) -> _KeySet | None:
        known = self._sets.get(jwks_uri)
        return known if known and self._clock() - known.fetched_at < DROP_AFTER else None

    def _fetch_serialised(self, jwks_uri: str, cause: str, gap: timedelta, *, wait: bool = True) -> _KeySet | None:
        """Fetch at most once per ``gap`` for the same cause; whoever comes too early or waited gets what is known."""
        lock = self._lock_of(jwks_uri)
        if not lock.acquire(blocking=wait):
            return self._current(jwks_uri)
        try:
            last = self._attempts.get((jwks_uri, cause))
            if last is None or self._clock() - last >= gap:
                self._fetch_and_note(jwks_uri, cause)
        except ProviderUnavailable:
            if self._current(jwks_uri) is None:
                raise
        finally:
            lock.release()
        known = self._current(jwks_uri)
        if known is None:
            raise ProviderUnavailable("no_keys")
        return known

    def _fetch_and_note(self, jwks_uri: str, cause: str) -> None:
        try:
            self._fetch(jwks_uri)
        finally:
            # Noted at the end: those who queued behind a provider that hangs must not hang one after the other.
            self._attempts[jwks_uri, cause] = self._clock()

    def _fetch(self, jwks_uri: str) -> None:
        reply = self._http.request(
            "GET", jwks_uri, max_bytes=MAX_BYTES, deadline_s=DEADLINE_S, accept_encoding_identity=True
        )
        if reply.status != 200:
            raise ProviderUnavailable(f"http_{reply.status}")
        keys = read_object(reply.body, max_bytes=MAX_BYTES).get("keys")
        if not isinstance(keys, list) or len(keys) > MAX_KEYS:
            raise ProviderUnavailable("bad_key_set")
        usable = tuple(key for key in map(read_signing_key, keys) if key is not None)
        if not usable:
            raise ProviderUnavailable("bad_key_set")
        self._sets[jwks_uri] = _KeySet(usable, self._clock())

    def _lock_of(self, jwks_uri: str) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(jwks_uri, threading.Lock())


def read_signing_key(jwk: object) -> SigningKey | None:
    """Return the key, or null for what must not verify tokens: secrets, encryption keys, weak or unreadable keys."""
    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig" or jwk.get("kty") not in ("RSA", "EC", "OKP"):
        return None
    key = SigningKey(
        kid=_text(jwk.get("kid")),
        kty=str(jwk["kty"]),
        curve=_text(jwk.get("crv")),
        algorithm=_text(jwk.get("alg")),
        issuer=_text(jwk.get("issuer")),
        members=jwk,
    )
    return key if _is_sound(key) else None


def _is_sound(key: SigningKey) -> bool:
    by_type = EDDSA if key.kty == "OKP" else "RS256"
    algorithm = next((name for name, curve in _CURVES.items() if curve == key.curve), by_type)
    try:
        public = key.public_key(algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return False
    return not isinstance(public, RSAPublicKey) or public.key_size >= SMALLEST_RSA_BITS


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
