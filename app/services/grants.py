"""Store what a consent brought: a new connection, or a new generation of an old one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from app.domain.authorizations import AuthorizationRequest
from app.domain.connections import Connection, Identity, Status, same_account
from app.domain.errors import AccountMismatch, NoOfflineAccess, StoreConflict, UnknownConnection
from app.domain.secret import Secret
from app.domain.tokens import TokenAnswer, refresh_due_at
from app.ports import (
    Clock,
    DataKey,
    NewGeneration,
    Nudge,
    Provider,
    SealContext,
    Sealer,
    Spread,
    Store,
    Transaction,
)


def seal_generation(
    key: DataKey, identity: Identity | Connection, connection_id: UUID, generation: int, answer: TokenAnswer
) -> tuple[bytes | None, bytes | None]:
    """Return the sealed access and refresh token of ``answer``; null where none came."""

    def seal(field: str, value: Secret | None) -> bytes | None:
        if value is None:
            return None
        return key.seal(value, SealContext(connection_id, identity.issuer, identity.subject, field, generation))

    return seal("access_token", answer.access_token), seal("refresh_token", answer.refresh_token)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a token set belongs."""

    connection_id: UUID
    generation: int
    epoch: int
    parent: int
    origin: str
    """``consent`` or ``refresh``."""


def new_generation(
    place: Place, sealed: tuple[bytes | None, bytes | None], answer: TokenAnswer, now: datetime, spread: float
) -> NewGeneration:
    """Return the row for ``answer``; ``sealed`` are its access and refresh token."""
    expires_at = now + answer.lifetime()
    lives_s = answer.refresh_expires_in_s
    return NewGeneration(
        connection_id=place.connection_id,
        generation=place.generation,
        epoch=place.epoch,
        parent=place.parent,
        origin=place.origin,
        sealed_access=sealed[0],
        sealed_refresh=sealed[1],
        scopes=answer.granted_scopes(),
        issued_at=now,
        access_expires_at=expires_at,
        refresh_due_at=refresh_due_at(now, expires_at, spread),
        refresh_expires_at=None if lives_s is None else now + timedelta(seconds=lives_s),
    )


@dataclass(frozen=True, slots=True)
class StoredConsent:
    """Where a consent landed."""

    connection: Connection
    is_new: bool


Alongside = Callable[[Transaction, UUID, Connection | None], None]
"""What else belongs into the transaction that stores a consent: called with it, the connection's id, and the
connection as it was before; null for a new one. Called again when the transaction is."""


@dataclass(frozen=True)
class Grants:
    """Turns a token answer of a consent into stored, sealed state."""

    store: Store
    sealer: Sealer
    nudge: Nudge
    clock: Clock
    spread: Spread

    def store_consent(
        self,
        request: AuthorizationRequest,
        provider: Provider,
        answer: TokenAnswer,
        identity: Identity,
        alongside: Alongside | None = None,
    ) -> StoredConsent:
        """Store the answer under the right connection and make its calendars due.

        Raises ``AccountMismatch`` when another account came back than the one to repair (the connection
        stays untouched), ``NoOfflineAccess`` when nothing stored could be kept alive.
        """
        consent = _Consent(request, provider, answer, identity, alongside)
        existing = self._existing(consent)
        if answer.refresh_token is None and (existing is None or existing.status is not Status.ACTIVE):
            raise NoOfflineAccess
        try:
            connection = self._store(consent, existing)
        except StoreConflict:
            # Another tab connected the same account a moment ago: this answer is its next generation.
            existing = self._existing(consent)
            connection = self._store(consent, existing)
        self.nudge.list_calendars(connection.id)
        return StoredConsent(connection, existing is None)

    def _existing(self, consent: _Consent) -> Connection | None:
        """Return the connection this consent belongs to; null for a new account."""
        wanted_id = consent.request.connection_id
        with self.store.reading() as tx:
            wanted = tx.connections.get(wanted_id) if wanted_id else None
            found = tx.connections.of_account(consent.person_id, consent.provider.key, consent.identity)
        if wanted is not None and not same_account(wanted, consent.identity):
            # The tokens are dropped, not revoked: at some providers revoking one token ends every grant of
            # that account, and it may be connected elsewhere.
            raise AccountMismatch
        return wanted or found

    def _store(self, consent: _Consent, existing: Connection | None) -> Connection:
        """Write connection, first or further generation and the due calendar list in one transaction."""
        now, connection_id = self.clock(), existing.id if existing else uuid4()
        with self.store.transaction() as tx:
            if existing is None:
                self._add(tx, consent, connection_id, now)
            else:
                self._revive(tx, consent, existing, now)
            self._append(tx, consent, connection_id, now)
            tx.connections.due_calendar_list(connection_id, now)
            kind = "connected" if existing is None else "reconnected"
            tx.audit.event(kind, now, person_id=consent.person_id, connection_id=connection_id)
            if consent.alongside is not None:
                consent.alongside(tx, connection_id, existing)
            stored = tx.connections.get(connection_id)
        if stored is None:
            raise UnknownConnection
        return stored

    def _add(self, tx: Transaction, consent: _Consent, connection_id: UUID, now: datetime) -> None:
        provider, key = consent.provider, self.sealer.new_data_key(connection_id)
        features = consent.request.features
        tx.connections.add(
            connection_id, consent.person_id, provider.key, provider.kind, consent.identity, features, key, now
        )

    def _revive(self, tx: Transaction, consent: _Consent, existing: Connection, now: datetime) -> None:
        """Make an old connection good again; a disconnected one has no data key any more."""
        shredded = existing.status is Status.DISCONNECTED
        key = self.sealer.new_data_key(existing.id) if shredded else None
        # Asking for less takes nothing back that was agreed to before; the provider's answer decides.
        earlier = () if shredded else existing.requested_features
        features = tuple(dict.fromkeys((*earlier, *consent.request.features)))
        tx.connections.revive(existing.id, consent.identity, features, key, now)

    def _append(self, tx: Transaction, consent: _Consent, connection_id: UUID, now: datetime) -> None:
        generation, epoch, parent = tx.tokens.reserve(connection_id)
        current = tx.tokens.current(connection_id)
        if current is None:
            raise UnknownConnection
        key = self.sealer.open_data_key(connection_id, current.wrapped_key)
        sealed = seal_generation(key, consent.identity, connection_id, generation, consent.answer)
        place = Place(connection_id, generation, epoch, parent, "consent")
        row = new_generation(place, sealed, consent.answer, now, self.spread())
        # RFC 6749 section 5.1: an answer without scope grants what was asked.
        tx.tokens.append(row if row.scopes is not None else replace(row, scopes=consent.request.scopes))


@dataclass(frozen=True, slots=True)
class _Consent:
    """What came back and what it answers."""

    request: AuthorizationRequest
    provider: Provider
    answer: TokenAnswer
    identity: Identity
    alongside: Alongside | None

    @property
    def person_id(self) -> UUID:
        """Return whose consent it is; raises ``AccountMismatch`` for a sign-in, which connects nothing."""
        if self.request.person_id is None:
            raise AccountMismatch("no person")
        return self.request.person_id
