"""Statements that services sign with keys of their own, each good for one use (RFC 7523 section 3)."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.errors import SignedTokenInvalid
from app.domain.people import Service
from app.domain.signed_tokens import LONGEST_NAME, OneUse, SignedToken, check_statement
from app.ports import JWK, Clock, Store, TokenReader
from app.services.sessions import token_hash

BATCH = 2000
MOST_BATCHES = 50
"""Of one tick: a backlog is worked off in several, none of which keeps a worker for long."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement whose signature and times are right; not yet used."""

    service: Service
    token: SignedToken
    use: OneUse


@dataclass(frozen=True)
class ServiceStatements:
    """Verifies statements and remembers which were used, on all nodes together."""

    store: Store
    reader: TokenReader
    audience: str
    """Our issuer: the only audience a statement may have."""
    clock: Clock

    def verify(self, name: str, text: str, types: frozenset[str | None]) -> Statement:
        """Return what the service called ``name`` signed; raises ``SignedTokenInvalid`` and ``KeysUnavailable``.

        ``types`` are the values of ``typ`` this kind of statement may have.
        """
        if not name.isprintable() or len(name) > LONGEST_NAME:
            raise SignedTokenInvalid("iss")
        with self.store.reading() as tx:
            keys = tx.credentials.keys_of(name, self.clock())
        if keys is None:
            raise SignedTokenInvalid("service")
        token = self._signed_by(keys.registered, keys.jwks_url, text)
        if token.issuer != name:
            raise SignedTokenInvalid("iss")
        return Statement(keys.service, token, check_statement(token, self.audience, types, self.clock()))

    def use(self, statement: Statement) -> None:
        """Use a statement up; raises ``SignedTokenInvalid`` when it had been used before."""
        with self.store.transaction() as tx:
            is_first = tx.credentials.spend(
                statement.service.id, token_hash(statement.use.jti), statement.use.expires_at
            )
        if not is_first:
            raise SignedTokenInvalid("replay")

    def forget_used(self) -> None:
        """Drop the notes of statements that have ended long ago: those are refused for their age."""
        for _ in range(MOST_BATCHES):
            with self.store.transaction() as tx:
                if tx.credentials.forget_spent(BATCH) < BATCH:
                    return

    def _signed_by(self, registered: tuple[JWK, ...], jwks_url: str | None, text: str) -> SignedToken:
        try:
            return self.reader.verify(text, registered)
        except SignedTokenInvalid:
            # A service that moves from registered keys to published ones has both for a while.
            if jwks_url is None:
                raise
        return self.reader.verify_published(text, jwks_url)
