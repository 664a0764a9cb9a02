"""Store what a consent brought: a new connection, or a new generation of an old one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from app.domain.authorizations import AuthorizationRequest
from app.domain.connections import Connection, Identity, Status, same_account
from app.domain.errors import AccountMismatch, NoOfflineAccess
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


def new_generation(
    connection_id: UUID,
    numbers: tuple[int, int, int],
    origin: str,
    sealed: tuple[bytes | None, bytes | None],
    answer: TokenAnswer,
    now: datetime,
    spread: float,
) -> NewGeneration:
    """Return the row for ``answer``; ``numbers`` are generation, epoch and parent."""
    generation, epoch, parent = numbers
    expires_at = now + answer.lifetime()
    lives_s = answer.refresh_expires_in_s
    return NewGeneration(
        connection_id=connection_id,
        generation=generation,
        epoch=epoch,
        parent=parent,
        origin=origin,
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


@dataclass(frozen=True)
class Grants:
    """Turns a token answer of a consent into stored, sealed state."""

    store: Store
    sealer: Sealer
    nudge: Nudge
    clock: Clock
    spread: Spread

    def store_consent(
        self, request: AuthorizationRequest, provider: Provider, answer: TokenAnswer, identity: Identity
    ) -> StoredConsent:
        """Store the answer under the right connection, try it once, and make its calendars due.

        Raises ``AccountMismatch`` when another account came back than the one to repair (the
        connection stays untouched), ``NoOfflineAccess`` when nothing stored could be kept alive.
        """
        person_id = request.person_id
        if person_id is None:
            raise AccountMismatch("no person")
        existing = self._existing(request, provider, person_id, identity)
        if answer.refresh_token is None and (existing is None or existing.status is not Status.ACTIVE):
            raise NoOfflineAccess()
        connection = self._store(request, provider, answer, identity, person_id, existing)
        # A grant is tried before anything turns green; it is stored first, so that a refusal loses nothing.
        if answer.access_token is not None:
            provider.probe(answer.access_token)
        self.nudge.list_calendars(connection.id)
        return StoredConsent(connection, existing is None)

    def _existing(
        self,
        request: AuthorizationRequest,
        provider: Provider,
        person_id: UUID,
        identity: Identity,
    ) -> Connection | None:
        with self.store.reading() as tx:
            wanted = tx.connections.get(request.connection_id) if request.connection_id else None
            found = tx.connections.of_account(person_id, provider.key, identity)
        if wanted is not None and not same_account(wanted, identity):
            # The tokens are dropped, not revoked: at some providers revoking one token ends every grant of
            # that account, and it may be connected elsewhere.
            raise AccountMismatch()
        return wanted or found

    def _store(
        self,
        request: AuthorizationRequest,
        provider: Provider,
        answer: TokenAnswer,
        identity: Identity,
        person_id: UUID,
        existing: Connection | None,
    ) -> Connection:
        now = self.clock()
        connection_id = existing.id if existing else uuid4()
        fresh_key = None
        if existing is None or existing.status is Status.DISCONNECTED:
            fresh_key = self.sealer.new_data_key(connection_id)
        with self.store.transaction() as tx:
            if existing is None:
                assert fresh_key is not None
                tx.connections.add(
                    connection_id, person_id, provider.key, provider.kind, identity, request.features, fresh_key, now
                )
            else:
                tx.connections.revive(connection_id, identity, request.features, fresh_key, now)
            self._append(tx, connection_id, identity, answer, request.scopes, now)
            tx.connections.due_calendar_list(connection_id, now)
            kind = "connected" if existing is None else "reconnected"
            tx.audit.event(kind, now, person_id=person_id, connection_id=connection_id)
            stored = tx.connections.get(connection_id)
        assert stored is not None
        return stored

    def _append(
        self,
        tx: Transaction,
        connection_id: UUID,
        identity: Identity,
        answer: TokenAnswer,
        asked: tuple[str, ...],
        now: datetime,
    ) -> None:
        numbers = tx.tokens.reserve(connection_id)
        current = tx.tokens.current(connection_id)
        assert current is not None
        key = self.sealer.open_data_key(connection_id, current.wrapped_key)
        sealed = seal_generation(key, identity, connection_id, numbers[0], answer)
        row = new_generation(connection_id, numbers, "consent", sealed, answer, now, self.spread())
        if row.scopes is None:
            # RFC 6749 section 5.1: an answer without scope grants what was asked.
            row = replace(row, scopes=asked)
        tx.tokens.append(row)
