"""The only way to a provider access token, and the only refresh in the code base.

A reader gets the current token while it is fresh: one query, one decryption, no lock, no network.
Otherwise one caller takes the lease (attempt row and epoch, committed), makes the call with no transaction
open, appends the answer before anything is judged, and moves the pointer if the epoch is still its own.
Everybody else waits for that caller and never calls the provider.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from app.domain.connections import Connection, Reason, Status
from app.domain.errors import (
    InvalidGrant,
    LatchkeyError,
    ProviderError,
    ProviderRejected,
    ProviderThrottled,
    ProviderUnavailable,
    ReconnectRequired,
    RefreshInProgress,
    StoreUnavailable,
    UnknownConnection,
    ValidityUnattainable,
)
from app.domain.secret import Secret
from app.domain.tokens import AccessToken, RotationClass, TokenAnswer, retry_delay_s
from app.ports import (
    Clock,
    DataKey,
    Lease,
    NewGeneration,
    Providers,
    SealContext,
    Sealer,
    Spread,
    Store,
    StoredTokens,
)
from app.services.grants import Place, new_generation, seal_generation

LEASE_S = 120.0
"""Far above the 20 s deadline of a token call: a lease must never end under a call in flight."""

WAIT_S = 10.0
"""How long a reader waits for somebody else's refresh before it gives up."""

WORK_VALIDITY_S = 30.0
"""What our own work asks for: enough for a page, little enough for providers with tokens of a minute."""

POLL_S = 0.05
REJECTIONS_APART_S = 3.0
"""A token that a caller says was rejected is replaced only when it is at least this old."""

LAST_CHANCE_S = 120.0
"""How long before the end of the access token a strict provider is asked again after an ambiguous call."""

POLL_MOST_S = 0.4
"""Readers look again ever more seldom: a crowd that waits for a slow provider must not load the database."""

STORE_RETRY_PAUSE_S = 0.5
STORE_RETRY_S = 60.0
"""How long an answer that cannot be stored is kept and tried again: it may hold the only living refresh token."""

CONFIRM_AFTER_S = 60.0
"""A second ``invalid_grant`` counts only after this long: some providers give it in passing."""


@dataclass(frozen=True)
class AccessTokens:
    """Hands out the provider access token of a connection, refreshing it when that is needed."""

    store: Store
    providers: Providers
    sealer: Sealer
    clock: Clock
    spread: Spread
    confirm_after_s: float = CONFIRM_AFTER_S
    wait_s: float = WAIT_S
    sleep: Callable[[float], None] = time.sleep
    owner: Callable[[], str] = lambda: f"{socket.gethostname()}:{os.getpid()}"

    def get(
        self, connection_id: UUID, min_validity_s: float = WORK_VALIDITY_S, rejected_sha256: str | None = None
    ) -> AccessToken:
        """Return a token that is valid for at least ``min_validity_s`` seconds and is not the rejected one.

        Raises ``UnknownConnection``, ``ReconnectRequired``, ``ProviderUnavailable``, ``ProviderThrottled``,
        ``ProviderRejected``, ``RefreshInProgress``.
        """
        return self.serve(self._read(connection_id), min_validity_s, rejected_sha256)

    def serve(self, tokens: StoredTokens, min_validity_s: float, rejected_sha256: str | None = None) -> AccessToken:
        """Do as ``get`` for a caller that has just read ``tokens``; they are read again before any refresh."""
        current = self._fresh(_usable(tokens), min_validity_s, rejected_sha256)
        if current is not None:
            return current
        connection_id = tokens.connection.id
        tokens = self._read(connection_id)
        self._refuse_unattainable(tokens.connection, min_validity_s)
        self._refuse_repeated(tokens.connection, rejected_sha256)
        try:
            return self._renew(tokens, min_validity_s, rejected_sha256)
        except InvalidGrant:
            # One refusal is a suspicion. The caller waits for the second opinion like everybody else.
            waiting = ProviderThrottled("confirming_refusal", retry_after_s=self.confirm_after_s)
            return self._spare(connection_id, rejected_sha256, waiting)
        except (ProviderError, RefreshInProgress) as error:
            return self._spare(connection_id, rejected_sha256, error)

    def refresh(self, connection_id: UUID) -> None:
        """Refresh ahead of time what is due, for workers: a hint that comes twice makes no second call.

        Somebody else's refresh in flight is as good as ours.
        """
        tokens = self._read(connection_id)
        if self._is_due(tokens):
            lease = self._lease(tokens)
            if lease is not None:
                self._call(lease)

    def hold(self, connection_id: UUID) -> StoredTokens:
        """Take the refresh lease and return the tokens read under it: nobody rotates them for ``LEASE_S``.

        For whoever ends a connection. When another refresh does not finish in time, the tokens are returned
        without the lease: ending goes on. Raises ``UnknownConnection``.
        """
        deadline = time.monotonic() + self.wait_s
        while True:
            with self.store.transaction() as tx:
                tokens = tx.tokens.current(connection_id)
                if tokens is None:
                    raise UnknownConnection
                parent = tokens.connection.generation
                lease = tx.tokens.lease(connection_id, self.owner(), uuid4(), LEASE_S, parent=parent)
            if lease is not None or time.monotonic() >= deadline:
                return lease.tokens if lease is not None else tokens
            self.sleep(POLL_S)

    def _is_due(self, tokens: StoredTokens) -> bool:
        now, due_at, held_until = self.clock(), tokens.refresh_due_at, tokens.next_attempt_at
        is_wanted = tokens.suspected_since is not None or (due_at is not None and due_at <= now)
        return is_wanted and (held_until is None or held_until <= now)

    def _read(self, connection_id: UUID) -> StoredTokens:
        with self.store.reading() as tx:
            tokens = tx.tokens.current(connection_id)
        if tokens is None:
            raise UnknownConnection
        return _usable(tokens)

    def _fresh(self, tokens: StoredTokens, min_validity_s: float, rejected: str | None) -> AccessToken | None:
        """Return the stored token if it serves, without network."""
        expires_at, now = tokens.connection.access_expires_at, self.clock()
        if (
            tokens.sealed_access is None
            or expires_at is None
            or (expires_at - now).total_seconds() < max(min_validity_s, 1)
        ):
            return None
        token = self._open(tokens, "access_token", tokens.sealed_access, tokens.connection.generation)
        if rejected is not None and token.sha256() == rejected:
            return None
        return AccessToken(token, expires_at, tokens.connection.granted_scopes, tokens.connection.generation)

    def _refuse_unattainable(self, connection: Connection, min_validity_s: float) -> None:
        """Refuse a wish that no refresh can fulfil, before it makes a call on every request."""
        issued_at, expires_at = connection.last_refreshed_at, connection.access_expires_at
        if issued_at and expires_at and (expires_at - issued_at).total_seconds() < min_validity_s:
            raise ValidityUnattainable

    def _refuse_repeated(self, connection: Connection, rejected: str | None) -> None:
        """Refuse to throw away a token that is seconds old: a caller in a loop must not drive the provider."""
        issued_at = connection.last_refreshed_at
        if rejected is None or issued_at is None:
            return
        wait_s = REJECTIONS_APART_S - (self.clock() - issued_at).total_seconds()
        if wait_s > 0:
            raise ProviderThrottled("refreshed_just_now", retry_after_s=wait_s)

    def _renew(self, tokens: StoredTokens, min_validity_s: float, rejected: str | None) -> AccessToken:
        """Refresh, or wait for whoever does, until a token serves."""
        deadline, pause_s = time.monotonic() + self.wait_s, POLL_S
        while True:
            self._hold_back(tokens)
            lease = self._lease(tokens) if tokens.lease_free else None
            if lease is not None:
                self._call(lease)
            elif time.monotonic() >= deadline:
                raise RefreshInProgress
            else:
                self.sleep(pause_s)
                pause_s = min(pause_s * 1.5, POLL_MOST_S)
            tokens = self._read(tokens.connection.id)
            current = self._fresh(tokens, min_validity_s, rejected)
            if current is not None:
                return current
            if lease is not None:
                raise ValidityUnattainable

    def _hold_back(self, tokens: StoredTokens) -> None:
        """Refuse to call a provider that failed a moment ago: callers must not multiply an outage."""
        until, now = tokens.next_attempt_at, self.clock()
        if until is not None and until > now:
            raise ProviderThrottled("backing_off", retry_after_s=(until - now).total_seconds())

    def _spare(self, connection_id: UUID, rejected: str | None, error: LatchkeyError) -> AccessToken:
        """Return the old token with a warning while it lasts; otherwise raise ``error``."""
        current = self._fresh(self._read(connection_id), 1, rejected)
        if current is None:
            raise error
        return replace(current, warning=error.code)

    def _lease(self, tokens: StoredTokens) -> Lease | None:
        with self.store.transaction() as tx:
            return tx.tokens.lease(
                tokens.connection.id, self.owner(), uuid4(), LEASE_S, parent=tokens.connection.generation
            )

    def _call(self, lease: Lease) -> None:
        """Make the one call of ``lease`` and store what comes. Raises what the provider's refusal means."""
        connection = lease.tokens.connection
        try:
            provider = self.providers.get(connection.provider)
            # Opened before the call: after the answer nothing may be needed but the database.
            key = self.sealer.open_data_key(connection.id, lease.tokens.wrapped_key)
            refresh_token = self._refresh_token(lease, key)
            answer = provider.refresh(refresh_token, connection.granted_scopes)
        except InvalidGrant as error:
            self._refused(lease, error)
            raise
        except LatchkeyError as error:
            self._failed(lease, error)
            raise
        self._keep(lease, connection, key, answer)

    def _refresh_token(self, lease: Lease, key: DataKey) -> Secret:
        tokens = lease.tokens
        if tokens.sealed_refresh is None:
            raise InvalidGrant("no_refresh_token", reason=Reason.GRANT_REJECTED)
        context = _context(tokens.connection, "refresh_token", tokens.refresh_generation)
        return key.open(tokens.sealed_refresh, context)

    def _keep(self, lease: Lease, connection: Connection, key: DataKey, answer: TokenAnswer) -> None:
        """Seal and append the answer; keep trying while the database is away."""
        place = Place(connection.id, lease.generation, lease.epoch, connection.generation, "refresh")
        sealed = seal_generation(key, connection, connection.id, lease.generation, answer)
        row = new_generation(place, sealed, answer, self.clock(), self.spread())
        give_up_at = time.monotonic() + STORE_RETRY_S
        while not self._append(lease, row):
            if time.monotonic() >= give_up_at:
                raise StoreUnavailable("refresh answer")
            self.sleep(STORE_RETRY_PAUSE_S)
        self._revoke_if_disconnected(connection, answer)

    def _append(self, lease: Lease, row: NewGeneration) -> bool:
        try:
            with self.store.transaction() as tx:
                tx.tokens.append(row)
                tx.tokens.close_attempt(lease, "stored", None, self.clock())
        except StoreUnavailable:
            return False
        return True

    def _revoke_if_disconnected(self, connection: Connection, answer: TokenAnswer) -> None:
        """Revoke what came for a person who disconnected during the call: nothing may live on at the provider."""
        with self.store.reading() as tx:
            now = tx.connections.get(connection.id)
        if (now is None or now.status is Status.DISCONNECTED) and answer.refresh_token is not None:
            self.providers.get(connection.provider).revoke(answer.refresh_token)

    def _failed(self, lease: Lease, error: LatchkeyError) -> None:
        """Write down a failure that says nothing about the grant, and hold back for a while."""
        ambiguous = isinstance(error, ProviderUnavailable)
        outcome = "ambiguous" if ambiguous else "failed"
        self._close(lease, outcome, error.code, self._hold_until(lease, error), failed=True)

    def _hold_until(self, lease: Lease, error: LatchkeyError) -> datetime:
        """Return when to try again: later with every failure, and as late as the provider asks.

        An ambiguous call may have used a strict provider's refresh token up, and using it again may revoke the
        whole family: then the living access token is made use of first.
        """
        first = 3 if isinstance(error, ProviderRejected) else 1
        delay = retry_delay_s(first + lease.tokens.failures, self.spread())
        if isinstance(error, ProviderThrottled) and error.retry_after_s is not None:
            delay = max(delay, error.retry_after_s)
        again, connection = self.clock() + timedelta(seconds=delay), lease.tokens.connection
        expires_at = connection.access_expires_at
        if isinstance(error, ProviderUnavailable) and expires_at is not None and self._is_strict(connection):
            return max(again, expires_at - timedelta(seconds=LAST_CHANCE_S))
        return again

    def _is_strict(self, connection: Connection) -> bool:
        return self.providers.get(connection.provider).rotation is RotationClass.STRICT

    def _refused(self, lease: Lease, error: InvalidGrant) -> None:
        """Handle ``invalid_grant``: the first is a suspicion, a second one later ends the connection."""
        now, connection = self.clock(), lease.tokens.connection
        with self.store.transaction() as tx:
            first = tx.tokens.suspect(lease, now)
            confirmed = (now - first).total_seconds() >= self.confirm_after_s
            if confirmed and tx.connections.mark_needs_reconnect(
                connection.id, connection.generation, Reason(error.reason), now
            ):
                tx.audit.event(
                    "needs_reconnect", now, person_id=connection.person_id, connection_id=connection.id,
                    detail={"reason": error.reason},
                )  # fmt: skip
        again = None if confirmed else first + timedelta(seconds=self.confirm_after_s)
        self._close(lease, "refused", error.detail or error.code, again, failed=False)
        if confirmed:
            raise ReconnectRequired(error.reason) from error

    def _close(self, lease: Lease, outcome: str, code: str, again: datetime | None, *, failed: bool) -> None:
        with self.store.transaction() as tx:
            tx.tokens.close_attempt(lease, outcome, code, self.clock())
            tx.tokens.release(lease, next_attempt_at=again, failed=failed)

    def _open(self, tokens: StoredTokens, field: str, sealed: bytes, generation: int) -> Secret:
        key = self.sealer.open_data_key(tokens.connection.id, tokens.wrapped_key)
        return key.open(sealed, _context(tokens.connection, field, generation))


def _usable(tokens: StoredTokens) -> StoredTokens:
    """Return ``tokens`` if their connection is in a state to serve; raises what stands against it."""
    if tokens.connection.status is Status.DISCONNECTED:
        raise UnknownConnection
    if tokens.connection.status is Status.NEEDS_RECONNECT:
        raise ReconnectRequired(tokens.connection.reason or Reason.GRANT_REJECTED)
    return tokens


def _context(connection: Connection, field: str, generation: int) -> SealContext:
    return SealContext(connection.id, connection.issuer, connection.subject, field, generation)
