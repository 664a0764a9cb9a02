"""Disconnect: end push, revoke at the provider, prove the refresh token dead, delete, give a receipt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.domain.connections import Connection, Status
from app.domain.errors import InvalidGrant, LatchkeyError, UnknownConnection, UnknownProvider
from app.domain.secret import Secret
from app.ports import Clock, Provider, Providers, Revocation, SealContext, Sealer, Store, StoredTokens
from app.services.access_tokens import AccessTokens
from app.services.channels import Channels


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was done, for the person to keep."""

    connection_id: UUID
    provider_name: str
    account_email: str | None
    revocation: Revocation
    refresh_token_proved_dead: bool | None
    """Null when it was not tried: the provider has no revocation, or did not confirm one."""
    calendars: int
    events: int
    at: datetime


@dataclass(frozen=True)
class Disconnect:
    """Ends a connection for good."""

    store: Store
    providers: Providers
    sealer: Sealer
    channels: Channels
    access_tokens: AccessTokens
    clock: Clock

    def disconnect(self, person_id: UUID, connection_id: UUID) -> Receipt:
        """Disconnect and return the receipt; local deletion happens whatever the provider says.

        Raises ``UnknownConnection`` when there is nothing of this person to disconnect.
        """
        self._own(person_id, connection_id)
        # Channels first: once the grant is gone they can no longer be stopped.
        self.channels.stop_all(connection_id)
        # Under the lease nobody can rotate the token between reading and revoking it.
        tokens = self.access_tokens.hold(connection_id)
        revocation, proved = self._end_grant(tokens)
        with self.store.reading() as tx:
            calendars = tx.calendars.of_connection(connection_id)
        now, connection = self.clock(), tokens.connection
        with self.store.transaction() as tx:
            tx.connections.disconnect(connection_id, now)
            tx.audit.event(
                "disconnected", now, person_id=person_id, connection_id=connection_id,
                detail={"revocation": revocation.outcome},
            )  # fmt: skip
        return Receipt(
            connection_id, display_name(self.providers, connection.provider), connection.email, revocation, proved,
            len(calendars), sum(row.event_count for row in calendars), now,
        )  # fmt: skip

    def _own(self, person_id: UUID, connection_id: UUID) -> None:
        with self.store.reading() as tx:
            connection = tx.connections.get(connection_id)
        if connection is None or connection.person_id != person_id or connection.status is Status.DISCONNECTED:
            raise UnknownConnection

    def _end_grant(self, tokens: StoredTokens) -> tuple[Revocation, bool | None]:
        """Revoke at the provider and return its answer, and whether the refresh token was proved dead."""
        refresh_token = self._refresh_token(tokens)
        if refresh_token is None:
            return Revocation("already_dead"), None
        try:
            provider = self.providers.get(tokens.connection.provider)
        except UnknownProvider:
            return Revocation("unsupported", "the provider is not configured any more"), None
        revocation = provider.revoke(refresh_token)
        proved = _is_dead(provider, refresh_token, tokens.connection) if revocation.outcome == "revoked" else None
        return revocation, proved

    def _refresh_token(self, tokens: StoredTokens) -> Secret | None:
        connection = tokens.connection
        if tokens.sealed_refresh is None:
            return None
        context = SealContext(
            connection.id, connection.issuer, connection.subject, "refresh_token", tokens.refresh_generation
        )
        return self.sealer.open_data_key(connection.id, tokens.wrapped_key).open(tokens.sealed_refresh, context)


def display_name(providers: Providers, key: str) -> str:
    """Return a provider's name for people; its key when it is not configured any more."""
    try:
        return providers.get(key).display_name
    except UnknownProvider:
        return key


def _is_dead(provider: Provider, refresh_token: Secret, connection: Connection) -> bool | None:
    """Try the revoked token once: only a refusal proves it dead. What comes otherwise is revoked as well."""
    try:
        answer = provider.refresh(refresh_token, connection.granted_scopes)
    except InvalidGrant:
        return True
    except LatchkeyError:
        return None
    if answer.refresh_token is not None:
        provider.revoke(answer.refresh_token)
    return False
