"""Disconnect: end push, revoke at the provider, prove the refresh token dead, delete, give a receipt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.domain.connections import Connection, Status
from app.domain.errors import InvalidGrant, LatchkeyError, UnknownConnection
from app.domain.secret import Secret
from app.ports import Clock, Provider, Providers, Revocation, SealContext, Sealer, Store, StoredTokens
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
    clock: Clock

    def disconnect(self, person_id: UUID, connection_id: UUID) -> Receipt:
        """Disconnect and return the receipt; local deletion happens whatever the provider says.

        Raises ``UnknownConnection`` when there is nothing of this person to disconnect.
        """
        connection, tokens = self._own(person_id, connection_id)
        provider = self.providers.get(connection.provider)
        # Channels first: once the grant is gone they can no longer be stopped.
        self.channels.stop_all(connection_id)
        refresh_token = self._refresh_token(tokens)
        revocation = _revoke(provider, refresh_token)
        proved = _is_dead(provider, refresh_token, connection) if revocation.outcome == "revoked" else None
        with self.store.reading() as tx:
            calendars = tx.calendars.of_connection(connection_id)
        now = self.clock()
        with self.store.transaction() as tx:
            tx.connections.disconnect(connection_id, now)
            tx.audit.event(
                "disconnected", now, person_id=person_id, connection_id=connection_id,
                detail={"revocation": revocation.outcome},
            )  # fmt: skip
        return Receipt(
            connection_id, provider.display_name, connection.email, revocation, proved,
            len(calendars), sum(row.event_count for row in calendars), now,
        )  # fmt: skip

    def _own(self, person_id: UUID, connection_id: UUID) -> tuple[Connection, StoredTokens]:
        with self.store.reading() as tx:
            tokens = tx.tokens.current(connection_id)
        if tokens is None or tokens.connection.person_id != person_id:
            raise UnknownConnection
        if tokens.connection.status is Status.DISCONNECTED:
            raise UnknownConnection
        return tokens.connection, tokens

    def _refresh_token(self, tokens: StoredTokens) -> Secret | None:
        connection = tokens.connection
        if tokens.sealed_refresh is None:
            return None
        context = SealContext(
            connection.id, connection.issuer, connection.subject, "refresh_token", tokens.refresh_generation
        )
        return self.sealer.open_data_key(connection.id, tokens.wrapped_key).open(tokens.sealed_refresh, context)


def _revoke(provider: Provider, refresh_token: Secret | None) -> Revocation:
    return Revocation("already_dead") if refresh_token is None else provider.revoke(refresh_token)


def _is_dead(provider: Provider, refresh_token: Secret | None, connection: Connection) -> bool | None:
    """Try the revoked token once: only a refusal proves it dead."""
    if refresh_token is None:
        return None
    try:
        provider.refresh(refresh_token, connection.granted_scopes)
    except InvalidGrant:
        return True
    except LatchkeyError:
        return None
    return False
