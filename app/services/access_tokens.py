"""The only way to a provider access token, and the only one that starts a refresh.

A reader gets the current token while it is fresh: one query, one decryption, no lock, no network. Otherwise one
caller takes the lease and makes the call (``refreshing``); everybody else waits for it and never calls the provider.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

from app.domain.connections import Connection, Reason, Status
from app.domain.errors import (
    InvalidGrant,
    LatchkeyError,
    ProviderError,
    ProviderThrottled,
    ReconnectRequired,
    RefreshInProgress,
    UnknownConnection,
    ValidityUnattainable,
)
from app.domain.secret import AccountToken
from app.domain.tokens import AccessToken
from app.ports import Clock, Sealer, Store, StoredTokens
from app.services.refreshing import LEASE_S, Refresher, seal_context
from app.services.shared_look import SharedLook

WAIT_S = 21.0
"""How long a reader waits for somebody else's refresh: a call ends within 20 s, whatever the provider does."""

MOST_WAITING = 24
"""Threads of one process that may wait at a time. The rest is told to come again, so that a slow provider
cannot take all threads from callers whose token is alive."""

WORK_VALIDITY_S = 30.0
"""What our own work asks for: enough for a page, little enough for providers with tokens of a minute."""

REJECTIONS_APART_S = 3.0
"""A token that a caller says was rejected is replaced only when it is at least this old."""

POLL_S = 0.05
POLL_MOST_S = 0.15
"""Who waits for another process looks again ever more seldom."""


@dataclass(frozen=True)
class AccessTokens:
    """Hands out the provider access token of a connection, refreshing it when that is needed."""

    store: Store
    refresher: Refresher
    sealer: Sealer
    clock: Clock
    wait_s: float = WAIT_S
    sleep: Callable[[float], None] = time.sleep
    waiting: threading.Semaphore = field(default_factory=lambda: threading.BoundedSemaphore(MOST_WAITING))
    shared: SharedLook[UUID, StoredTokens] = field(default_factory=SharedLook)

    def get(
        self, connection_id: UUID, min_validity_s: float = WORK_VALIDITY_S, rejected_sha256: str | None = None
    ) -> AccessToken:
        """Return a token that is valid for at least ``min_validity_s`` seconds and is not the rejected one.

        Raises ``UnknownConnection``, ``ReconnectRequired``, ``ProviderUnavailable``, ``ProviderThrottled``,
        ``ProviderRejected``, ``RefreshInProgress``.
        """
        return self.serve(self._read(connection_id), min_validity_s, rejected_sha256)

    def serve(
        self,
        tokens: StoredTokens,
        min_validity_s: float,
        rejected_sha256: str | None = None,
        *,
        at_least_s: float = 1.0,
    ) -> AccessToken:
        """Do as ``get`` for a caller that has just read ``tokens``; they are read again before any refresh.

        When a refresh is wanted and not to be had, a token that lives ``at_least_s`` seconds more is returned with
        a warning: pass the caller's own demand, so that only our own prudence is ever let go.
        """
        self._refuse_ended(tokens)
        current = self._fresh(tokens, min_validity_s, rejected_sha256)
        if current is not None:
            return _with_warning_of(tokens.connection, current)
        connection_id = tokens.connection.id
        tokens = self._read(connection_id)
        # Somebody else may have refreshed since the caller read: a lease taken now would be for a second call.
        current = self._fresh(tokens, min_validity_s, rejected_sha256)
        if current is not None:
            return _with_warning_of(tokens.connection, current)
        try:
            self._refuse_hopeless(tokens.connection, min_validity_s, rejected_sha256)
            return self._renew(tokens, min_validity_s, rejected_sha256)
        except InvalidGrant:
            # One refusal is a suspicion. The caller waits for the second opinion like everybody else.
            wait_s = self.refresher.confirm_after_s
            error: LatchkeyError = ProviderThrottled("confirming_refusal", retry_after_s=wait_s)
        except (ProviderError, RefreshInProgress, ReconnectRequired) as caught:
            error = caught
        return self._spare(connection_id, min_validity_s, rejected_sha256, at_least_s, error)

    def refresh(self, connection_id: UUID) -> None:
        """Refresh ahead of time what is due, for workers: a hint that comes twice makes no second call.

        Somebody else's refresh in flight is as good as ours. When the provider may not be called now, the row is
        put off until it may.
        """
        tokens = self._read(connection_id)
        if not self._is_due(tokens):
            return
        try:
            lease = self.refresher.lease(tokens)
        except ProviderThrottled as error:
            until = self.clock() + timedelta(seconds=error.retry_after_s or POLL_S)
            with self.store.transaction() as tx:
                tx.tokens.put_off(connection_id, until)
            raise
        if lease is not None:
            self.refresher.call(lease)

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
                parent, held_until = tokens.connection.generation, tokens.next_attempt_at
                lease = tx.tokens.lease(
                    connection_id, self.refresher.owner, uuid4(), LEASE_S, parent=parent, held_until=held_until
                )
            if lease is not None or time.monotonic() >= deadline:
                return lease.tokens if lease is not None else tokens
            self.sleep(POLL_S)

    def _is_due(self, tokens: StoredTokens) -> bool:
        now, due_at, held_until = self.clock(), tokens.refresh_due_at, tokens.next_attempt_at
        is_wanted = tokens.suspected_since is not None or (due_at is not None and due_at <= now)
        is_active = tokens.connection.status is Status.ACTIVE
        return is_active and is_wanted and (held_until is None or held_until <= now)

    def _read(self, connection_id: UUID) -> StoredTokens:
        with self.store.reading() as tx:
            tokens = tx.tokens.current(connection_id)
        if tokens is None:
            raise UnknownConnection
        self._refuse_ended(tokens)
        return tokens

    def _refuse_ended(self, tokens: StoredTokens) -> None:
        """Raise what stands against serving; a lost rotation ended the refresh token alone, not what still lives."""
        connection = tokens.connection
        if connection.status is Status.DISCONNECTED:
            raise UnknownConnection
        if connection.status is Status.NEEDS_RECONNECT and not connection.still_serves(self.clock()):
            raise ReconnectRequired(connection.reason or Reason.GRANT_REJECTED)

    def _fresh(self, tokens: StoredTokens, min_validity_s: float, rejected: str | None) -> AccessToken | None:
        """Return the stored token if it serves, without network."""
        expires_at, now = tokens.connection.access_expires_at, self.clock()
        if (
            tokens.sealed_access is None
            or expires_at is None
            or (expires_at - now).total_seconds() < max(min_validity_s, 1)
        ):
            return None
        key = self.sealer.open_data_key(tokens.connection.id, tokens.wrapped_key)
        context = seal_context(tokens.connection, "access_token", tokens.connection.generation)
        token = key.open(tokens.sealed_access, context)
        if rejected is not None and token.sha256() == rejected:
            return None
        connection = tokens.connection
        owned = AccountToken.of(token, f"{connection.provider}/{connection.issuer}/{connection.subject}")
        return AccessToken(owned, expires_at, connection.granted_scopes, connection.generation)

    def _refuse_hopeless(self, connection: Connection, min_validity_s: float, rejected: str | None) -> None:
        """Refuse, before any call, what no refresh can fulfil and what a caller in a loop would drive."""
        issued_at, expires_at = connection.last_refreshed_at, connection.access_expires_at
        if issued_at and expires_at and (expires_at - issued_at).total_seconds() < min_validity_s:
            raise ValidityUnattainable
        if rejected is None or issued_at is None:
            return
        wait_s = REJECTIONS_APART_S - (self.clock() - issued_at).total_seconds()
        if wait_s > 0:
            raise ProviderThrottled("refreshed_just_now", retry_after_s=wait_s)

    def _renew(self, tokens: StoredTokens, min_validity_s: float, rejected: str | None) -> AccessToken:
        """Refresh, or wait for whoever does, until a token serves.

        Of all threads of this process that want a token of one connection, one goes for it and the others wait for
        that one. Who needs more than it brought, goes once itself.
        """
        with self._place_to_wait():
            for _ in range(2):
                bring = partial(self._bring, tokens, min_validity_s, rejected)
                tokens = self.shared.at(tokens.connection.id, bring)
                current = self._fresh(tokens, min_validity_s, rejected)
                if current is not None:
                    return current
        raise ValidityUnattainable

    def _bring(self, tokens: StoredTokens, min_validity_s: float, rejected: str | None) -> StoredTokens:
        """Return tokens that were refreshed here, or that somebody else's refresh has made serve."""
        for pause_s in self._pauses():
            if pause_s:
                self.sleep(pause_s)
                tokens = self._read(tokens.connection.id)
                if self._fresh(tokens, min_validity_s, rejected) is not None:
                    return tokens
            self._hold_back(tokens)
            lease = self.refresher.lease(tokens) if tokens.lease_free else None
            if lease is not None:
                self.refresher.call(lease)
                return self._read(tokens.connection.id)
        raise RefreshInProgress

    @contextmanager
    def _place_to_wait(self) -> Iterator[None]:
        if not self.waiting.acquire(blocking=False):
            raise RefreshInProgress
        try:
            yield
        finally:
            self.waiting.release()

    def _pauses(self) -> Iterator[float]:
        """Yield seconds to pause before each look until the time for waiting is over; nothing before the first."""
        deadline, pause_s = time.monotonic() + self.wait_s, POLL_S
        yield 0.0
        while time.monotonic() < deadline:
            yield pause_s
            pause_s = min(pause_s * 1.5, POLL_MOST_S)

    def _hold_back(self, tokens: StoredTokens) -> None:
        """Refuse to call a provider that failed a moment ago: callers must not multiply an outage."""
        if tokens.connection.status is not Status.ACTIVE:
            raise ReconnectRequired(tokens.connection.reason or Reason.GRANT_REJECTED)
        until, now = tokens.next_attempt_at, self.clock()
        if until is not None and until > now:
            raise ProviderThrottled("backing_off", retry_after_s=(until - now).total_seconds())

    def _spare(
        self,
        connection_id: UUID,
        min_validity_s: float,
        rejected: str | None,
        at_least_s: float,
        error: LatchkeyError,
    ) -> AccessToken:
        """Return what another refresh brought meanwhile, or the old token with a warning; else raise ``error``."""
        tokens = self._read(connection_id)
        current = self._fresh(tokens, min_validity_s, rejected)
        if current is not None:
            return _with_warning_of(tokens.connection, current)
        current = self._fresh(tokens, at_least_s, rejected)
        if current is None:
            raise error
        return replace(current, warning=error.code)


def _with_warning_of(connection: Connection, token: AccessToken) -> AccessToken:
    """Say with the last token of a connection that no further one will come."""
    if connection.status is Status.NEEDS_RECONNECT and connection.reason is not None:
        return replace(token, warning=connection.reason.value)
    return token
