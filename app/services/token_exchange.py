"""The hand-out: one provider access token for one service, under policy, written down (RFC 8693)."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4

from app.domain.connections import Connection, Status
from app.domain.errors import (
    LatchkeyError,
    NotAllowed,
    ReconnectRequired,
    ScopesMissing,
    UnknownConnection,
)
from app.domain.features import Feature, missing_scopes, scopes_beyond
from app.domain.people import Service
from app.domain.tokens import AccessToken
from app.ports import Clock, HandOut, Sealer, Store, StoredTokens
from app.services.access_tokens import AccessTokens
from app.services.brief_cache import BriefCache
from app.services.hand_out_log import HandOutLog


@dataclass(frozen=True, slots=True)
class ExchangeRequest:
    """What a service asks for."""

    connection_id: UUID
    audience: str | None
    """Provider key the service expects; null when it does not care."""
    scopes: tuple[str, ...]
    features: tuple[Feature, ...]
    purpose: str | None
    min_validity_s: int
    rejected_token_sha256: str | None


@dataclass(frozen=True, slots=True)
class Exchanged:
    """A released token."""

    hand_out_id: UUID
    token: AccessToken
    connection: Connection


@dataclass(frozen=True, slots=True)
class _Facts:
    """What a decision rests on: ciphertext and policy, never a token in clear."""

    tokens: StoredTokens
    allowed: frozenset[Feature]


class TokenExchange:
    """Decides, fetches, writes down, releases: in this order."""

    def __init__(self, store: Store, access_tokens: AccessTokens, sealer: Sealer, clock: Clock) -> None:
        self.store = store
        self.access_tokens = access_tokens
        self.sealer = sealer
        self.clock = clock
        self._log = HandOutLog(store)
        self._facts: BriefCache[tuple[UUID, UUID], _Facts] = BriefCache()

    def exchange(self, service: Service, request: ExchangeRequest) -> Exchanged:
        """Return a token for the service, or say why not.

        Raises ``UnknownConnection`` (does not exist, or is none of the service's business: the same answer),
        ``NotAllowed``, ``ScopesMissing``, ``ReconnectRequired`` and what ``AccessTokens.get`` raises.
        """
        key = (service.id, request.connection_id)
        if request.rejected_token_sha256 is not None:
            self._facts.forget(key)
        facts = self._facts.get(key, lambda: self._read(*key))
        connection = facts.tokens.connection
        if not facts.allowed or request.audience not in (None, connection.provider):
            raise UnknownConnection
        try:
            _judge(facts, request)
            token = self.access_tokens.serve(facts.tokens, request.min_validity_s, request.rejected_token_sha256)
        except LatchkeyError as error:
            self._facts.forget(key)
            self._write(service, connection, request, None, error.code)
            raise
        return Exchanged(self._write(service, connection, request, token, None), token, connection)

    def _read(self, service_id: UUID, connection_id: UUID) -> _Facts:
        """Read what is known; a stranger's connection and a missing one look alike."""
        with self.store.reading() as tx:
            tokens = tx.tokens.current(connection_id)
            if tokens is None or tokens.connection.status is Status.DISCONNECTED:
                raise UnknownConnection
            allowed = tx.services.allowed_features(service_id, tokens.connection.provider, self.clock())
        return _Facts(tokens, allowed)

    def _write(
        self,
        service: Service,
        connection: Connection,
        request: ExchangeRequest,
        token: AccessToken | None,
        reason: str | None,
    ) -> UUID:
        """Write the decision down; a token leaves only after this is committed."""
        entry = HandOut(
            id=uuid4(),
            service_id=service.id,
            connection_id=connection.id,
            person_id=connection.person_id,
            purpose=request.purpose,
            features=tuple(request.features),
            scopes=request.scopes or (token.scopes if token else ()),
            decision="released" if token else "denied",
            reason=reason,
            token_fingerprint=self.sealer.keyed_hash("hand_out", token.token.reveal()) if token else None,
            at=self.clock(),
        )
        self._log.write(entry)
        return entry.id


def _judge(facts: _Facts, request: ExchangeRequest) -> None:
    connection, allowed = facts.tokens.connection, facts.allowed
    if connection.status is Status.NEEDS_RECONNECT and connection.reason is not None:
        raise ReconnectRequired(connection.reason)
    if not set(request.features) <= allowed | {Feature.IDENTITY}:
        raise NotAllowed("features")
    # The token carries everything that was granted, so everything granted must be allowed.
    if scopes_beyond(connection.kind, connection.granted_scopes, allowed):
        raise NotAllowed("scopes")
    lacking = [s for f in request.features for s in missing_scopes(connection.kind, f, connection.granted_scopes)]
    lacking += [s for s in request.scopes if s not in connection.granted_scopes]
    if lacking:
        raise ScopesMissing(lacking)
