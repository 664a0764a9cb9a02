"""Latchkey's own tokens for services: short-lived signed JWTs (RFC 9068), checked without the database.

A token is verified once per process; afterwards a call costs one hash and two look-ups in memory. Whether its service
still may work, whether the token was revoked, and whether its key still is one of ours, is asked again every second.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

from app.domain.errors import ClientFrozen, InvalidClient, IssuedToAnother, SignedTokenInvalid
from app.domain.people import Service
from app.domain.secret import Secret
from app.domain.signed_tokens import check_issued
from app.ports import Clock, Store, TokenReader
from app.services.brief_cache import BriefCache
from app.services.service_statements import BATCH, MOST_BATCHES
from app.services.sessions import token_hash
from app.services.signing_keys import LONGEST_TOKEN_LIFE, SigningKeys

TOKEN_LIFETIME_S = int(LONGEST_TOKEN_LIFE.total_seconds())
TOKEN_TYPE = "at+jwt"
"""RFC 9068 section 2.1: no other token of ours, nor of anybody else, can stand in for one of these."""

MOST_VERIFIED = 10_000
"""Bounds memory; when it is reached everything goes and is verified once more."""


@dataclass(frozen=True, slots=True)
class _Verified:
    """What was once found out about a token; never the token."""

    service_id: UUID
    jti: UUID
    kid: str
    expires_at_s: float


class ServiceTokens:
    """Issues Latchkey tokens, tells whose they are, and ends them early."""

    def __init__(self, store: Store, keys: SigningKeys, reader: TokenReader, issuer: str, clock: Clock) -> None:
        self.store = store
        self.keys = keys
        self.reader = reader
        self.issuer = issuer
        self.clock = clock
        self._verified: dict[bytes, _Verified] = {}
        self._good: BriefCache[bytes, tuple[_Verified, Service]] = BriefCache()

    def issue(self, service: Service) -> tuple[Secret, int]:
        """Return a token for ``/v1`` and the token endpoint, and its life in seconds."""
        now = int(self.clock().timestamp())
        claims = {
            "iss": self.issuer,
            "sub": str(service.id),
            "aud": self.issuer,
            "client_id": service.name,
            "iat": now,
            "exp": now + TOKEN_LIFETIME_S,
            "jti": str(uuid4()),
        }
        return self.keys.sign(TOKEN_TYPE, claims), TOKEN_LIFETIME_S

    def check(self, token: str) -> Service:
        """Return the service a token was issued to; raises ``InvalidClient`` and ``ClientFrozen``."""
        hashed = token_hash(token)
        try:
            known, service = self._good.get(hashed, lambda: self._judge(hashed, token))
        except InvalidClient:
            self._verified.pop(hashed, None)
            raise
        if known.expires_at_s <= self.clock().timestamp() or self.keys.public_key(known.kid) is None:
            self._verified.pop(hashed, None)
            raise InvalidClient("token")
        return service

    def is_known(self, token: str) -> bool:
        """Return whether this process has verified ``token`` and not refused it since; asks nobody, proves nothing."""
        return token_hash(token) in self._verified

    def revoke(self, service: Service, token: str) -> None:
        """End a token that ``service`` holds; every process refuses it within a second (RFC 7009 section 2).

        What is no living token of ours needs no ending: nothing happens then, as after the first of two revocations.
        Raises ``IssuedToAnother``.
        """
        try:
            known = self._verify(token)
        except InvalidClient:
            return
        if known.service_id != service.id:
            raise IssuedToAnother
        with self.store.transaction() as tx:
            if tx.credentials.revoke_token(service.id, known.jti, datetime.fromtimestamp(known.expires_at_s, UTC)):
                detail = {"jti": str(known.jti)}
                tx.audit.event("service_token_revoked", self.clock(), service_id=service.id, detail=detail)
        self._good.forget(token_hash(token))

    def forget_revoked(self) -> None:
        """Drop the notes of revoked tokens that would have ended long ago. Safe to repeat."""
        for _ in range(MOST_BATCHES):
            with self.store.transaction() as tx:
                if tx.credentials.forget_revoked(BATCH) < BATCH:
                    return

    def _judge(self, hashed: bytes, token: str) -> tuple[_Verified, Service]:
        known = self._verified.get(hashed)
        if known is None:
            known = self._verify(token)
            if len(self._verified) >= MOST_VERIFIED:
                self._verified.clear()
            self._verified[hashed] = known
        service = self._holder(known)
        if not service.is_enabled:
            raise ClientFrozen
        return known, service

    def _verify(self, token: str) -> _Verified:
        try:
            return self._verified_by_us(token, self.reader.glance(token).header.get("kid"))
        except SignedTokenInvalid as cause:
            raise InvalidClient("token") from cause

    def _verified_by_us(self, token: str, kid: object) -> _Verified:
        key = self.keys.public_key(kid) if isinstance(kid, str) else None
        if key is None or not isinstance(kid, str):
            raise SignedTokenInvalid("kid")
        found = self.reader.verify(token, (key,))
        if found.issuer != self.issuer or not found.has_type(frozenset({TOKEN_TYPE})):
            raise SignedTokenInvalid("typ")
        expires_at = check_issued(found, self.issuer, self.clock(), alone=True)
        return _Verified(UUID(found.subject), UUID(found.text("jti")), kid, expires_at.timestamp())

    def _holder(self, known: _Verified) -> Service:
        with self.store.reading() as tx:
            found = tx.credentials.holder_of(known.service_id, known.jti)
        if found is None:
            raise InvalidClient("no holder")
        return found
