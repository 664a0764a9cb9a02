"""The one refresh: a lease with an epoch and a written attempt, one call, and nothing that reached us ever lost.

The order is fixed. The attempt is committed before the call; the data key is opened before the call, so that
afterwards nothing but the database is needed; the answer is appended before anything is judged; what the
database cannot take is put on disk, sealed, and taken in later. Only ``AccessTokens`` uses this.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from app.domain.connections import Connection, Reason, Status
from app.domain.errors import (
    CipherError,
    InvalidGrant,
    LatchkeyError,
    ProviderRejected,
    ProviderThrottled,
    ProviderUnavailable,
    ReconnectRequired,
    StoreUnavailable,
)
from app.domain.secret import Secret
from app.domain.tokens import RotationClass, TokenAnswer, retry_at, retry_delay_s
from app.ports import (
    Clock,
    DataKey,
    Escrow,
    Lease,
    NewGeneration,
    ProviderGate,
    Providers,
    SealContext,
    Sealer,
    Spread,
    Store,
    StoredTokens,
    Transaction,
)
from app.services.grants import Place, new_generation, seal_generation

LEASE_S = 120.0
"""Far above the 20 s deadline of a token call: a lease must never end under a call in flight."""

STORE_RETRY_PAUSE_S = 0.5
STORE_RETRY_S = 5.0
"""How long the caller's thread tries to store an answer; then the sealed copy on disk is left to the watch."""

LOST_ROTATIONS = (RotationClass.GRACE, RotationClass.STRICT)
"""Where an answer that never reached us takes the refresh token with it."""

logger = logging.getLogger("latchkey.tokens")


@dataclass(frozen=True)
class _Ending:
    """How an attempt ended, in case the database could not be told."""

    lease: Lease
    outcome: str
    code: str
    again: datetime | None
    failed: bool


@dataclass(frozen=True)
class Refresher:
    """Leases, calls, stores."""

    store: Store
    providers: Providers
    sealer: Sealer
    gate: ProviderGate
    escrow: Escrow
    clock: Clock
    spread: Spread
    owner: str
    """Identity of this process, as ``Presence`` announces it."""
    confirm_after_s: float
    store_retry_s: float = STORE_RETRY_S
    sleep: Callable[[float], None] = time.sleep
    _calling: set[UUID] = field(default_factory=set)
    _untold: dict[UUID, _Ending] = field(default_factory=dict)
    _telling: threading.Lock = field(default_factory=threading.Lock)

    def lease(self, tokens: StoredTokens) -> Lease | None:
        """Take the lease of a connection if its provider may be called.

        Null when somebody else holds it, or has called since ``tokens`` were read.
        Raises ``BreakerOpen`` and ``ProviderThrottled`` before anything is written.
        """
        connection = tokens.connection
        return self._admitted(
            connection,
            lambda tx: tx.tokens.lease(
                connection.id,
                self.owner,
                uuid4(),
                LEASE_S,
                parent=connection.generation,
                held_until=tokens.next_attempt_at,
            ),
        )

    def call(self, lease: Lease) -> None:
        """Make the call of ``lease`` and store what comes; raises what the provider's refusal means.

        A further call follows at once in two cases: a refused token has an unused sibling, or the answer of a
        provider with a grace period got lost (only there, and once, is repeating it safe).
        """
        begun = lease.attempt_id
        self._calling.add(begun)
        try:
            self._call(lease)
        finally:
            self._calling.discard(begun)

    def is_calling(self) -> bool:
        """Return whether a call is under way, or its answer not stored yet: this process must not end now."""
        return bool(self._calling)

    def _call(self, lease: Lease) -> None:
        may_replay = True
        while True:
            try:
                key, answer = self._ask(lease)
            except InvalidGrant as error:
                following = self._sibling(lease)
                if following is None:
                    self._refused(lease, error)
                    raise
            except LatchkeyError as error:
                following = self._replay(lease, error) if may_replay else None
                may_replay = False
                if following is None:
                    self._failed(lease, error)
                    raise
            else:
                # When this fails the answer is on disk and the lease stays: nobody may use the old token meanwhile.
                self._keep(lease, key, answer)
                return
            lease = following

    def settle(self) -> None:
        """Take in the answers on disk and tell the database how attempts ended; raises ``StoreUnavailable``."""
        for row in self.escrow.waiting():
            try:
                self._append(row)
            except StoreUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 - one row that never fits must not keep out all behind it
                # By its type alone: a database's message may show the row.
                logger.critical("answer of connection %s not taken in: %s", row.connection_id, type(error).__name__)
            else:
                self.escrow.drop(row)
                logger.warning("answer of connection %s taken in from disk", row.connection_id)
        with self._telling:
            for attempt_id, ending in list(self._untold.items()):
                self._tell(ending)
                del self._untold[attempt_id]

    def _ask(self, lease: Lease) -> tuple[DataKey, TokenAnswer]:
        """Make the call; the key to seal the answer with is ready before it."""
        connection = lease.tokens.connection
        try:
            provider = self.providers.get(connection.provider)
            key = self.sealer.open_data_key(connection.id, lease.tokens.wrapped_key)
            answer = provider.refresh(_refresh_token(lease.tokens, key), connection.granted_scopes)
        except LatchkeyError as error:
            self.gate.note(connection.provider, connection.id, error)
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, the lease and the place at the gate are given back
            # By its type alone: the message may hold what the provider sent.
            logger.critical("refresh of connection %s: %s", connection.id, type(error).__name__)
            unforeseen = ProviderUnavailable("unforeseen")
        else:
            return key, answer
        self.gate.note(connection.provider, connection.id, unforeseen)
        raise unforeseen

    def _keep(self, lease: Lease, key: DataKey, answer: TokenAnswer) -> None:
        connection = lease.tokens.connection
        place = Place(connection.id, lease.generation, lease.epoch, lease.parent, "refresh")
        sealed = seal_generation(key, connection, connection.id, lease.generation, answer)
        row = new_generation(place, sealed, answer, self.clock(), self.spread())
        try:
            self._store(row)
        finally:
            self.gate.note(connection.provider, connection.id, None)
        self._revoke_if_disconnected(connection, answer)

    def _store(self, row: NewGeneration) -> None:
        """Append the row; from the first failure on a sealed copy on disk survives this process."""
        give_up_at, is_on_disk = time.monotonic() + self.store_retry_s, False
        while True:
            try:
                self._append(row)
            except StoreUnavailable:
                is_on_disk = is_on_disk or self.escrow.put(row)
                # Without a copy on disk this thread holds the only living refresh token: it goes on for its lease.
                if time.monotonic() >= give_up_at + (0 if is_on_disk else LEASE_S / 2):
                    raise
                self.sleep(STORE_RETRY_PAUSE_S)
            except BaseException:
                # A mistake of ours, or the end of the process: mended, the watch takes the answer in.
                self.escrow.put(row)
                raise
            else:
                if is_on_disk:
                    self.escrow.drop(row)
                return

    def _append(self, row: NewGeneration) -> None:
        with self.store.transaction() as tx:
            moved = tx.tokens.append(row)
            _audit(tx, "refresh_stored", row.issued_at, row.connection_id, generation=str(row.generation),
                   used="current" if moved else "kept")  # fmt: skip

    def _revoke_if_disconnected(self, connection: Connection, answer: TokenAnswer) -> None:
        """Revoke what came for a person who disconnected during the call: nothing may live on at the provider."""
        with self.store.reading() as tx:
            now = tx.connections.get(connection.id)
        if (now is None or now.status is Status.DISCONNECTED) and answer.refresh_token is not None:
            self.providers.get(connection.provider).revoke(answer.refresh_token)

    def _sibling(self, lease: Lease) -> Lease | None:
        """Return a lease on a refresh token that came to us but never became current; null without one."""

        def follow(tx: Transaction) -> Lease | None:
            tx.tokens.refuse(lease)
            sibling = tx.tokens.sibling(lease)
            if sibling is None:
                return None
            tx.attempts.close(lease, "refused", "sibling_follows", self.clock())
            return tx.tokens.lease_again(lease, uuid4(), LEASE_S, sibling)

        with suppress(StoreUnavailable, ProviderThrottled):
            return self._admitted(lease.tokens.connection, follow)
        return None

    def _replay(self, lease: Lease, error: LatchkeyError) -> Lease | None:
        """Return a lease to ask again at once after an answer got lost within a grace period; null otherwise."""

        def follow(tx: Transaction) -> Lease | None:
            tx.attempts.close(lease, "ambiguous", error.code, self.clock())
            return tx.tokens.lease_again(lease, uuid4(), LEASE_S, None)

        if isinstance(error, ProviderUnavailable) and self._rotation(lease) is RotationClass.GRACE:
            with suppress(StoreUnavailable, ProviderThrottled):
                return self._admitted(lease.tokens.connection, follow)
        return None

    def _admitted(self, connection: Connection, take: Callable[[Transaction], Lease | None]) -> Lease | None:
        """Return the lease that ``take`` gets if the provider may be called; raises what the gate raises."""
        self.gate.admit(connection.provider, connection.id)
        lease, is_taken = None, False
        try:
            with self.store.transaction() as tx:
                lease = take(tx)
            is_taken = lease is not None
        finally:
            if not is_taken:
                self.gate.withdraw(connection.provider, connection.id)
                if lease is not None:
                    # Nobody knows whether that was committed. If it was, the lease would stand without a call.
                    self._end(_Ending(lease, "failed", "not_called", lease.tokens.next_attempt_at, failed=False))
        return lease

    def _failed(self, lease: Lease, error: LatchkeyError) -> None:
        """Write down a failure that says nothing about the grant, and hold back for a while."""
        if isinstance(error, CipherError):
            # A sibling sealed with a key that is gone never opens: the current token's refusal must count next time.
            with suppress(StoreUnavailable), self.store.transaction() as tx:
                tx.tokens.refuse(lease)
        outcome = "ambiguous" if isinstance(error, ProviderUnavailable) else "failed"
        self._end(_Ending(lease, outcome, error.code, self._again_at(lease, error), failed=True))

    def _again_at(self, lease: Lease, error: LatchkeyError) -> datetime:
        """Return when to try again: later with every failure, and as late as the provider asks."""
        first = 3 if isinstance(error, ProviderRejected) else 1
        delay_s = retry_delay_s(first + lease.tokens.failures, self.spread())
        if isinstance(error, ProviderThrottled) and error.retry_after_s is not None:
            delay_s = max(delay_s, error.retry_after_s)
        if not isinstance(error, ProviderUnavailable):
            return self.clock() + timedelta(seconds=delay_s)
        return retry_at(self._rotation(lease), self.clock(), delay_s, lease.tokens.connection.access_expires_at)

    def _rotation(self, lease: Lease) -> RotationClass:
        return self.providers.get(lease.tokens.connection.provider).rotation

    def _refused(self, lease: Lease, error: InvalidGrant) -> None:
        """Handle ``invalid_grant``: the first is a suspicion, a second one later ends the connection.

        Unless many are refused at once: then it is the provider's or our own trouble, and nobody's grant is over.
        """
        now, reason, again = self.clock(), None, None
        is_storm = lease.tokens.connection.provider in self.gate.open_providers()
        # Without the database nothing is concluded; the provider will say it again.
        with suppress(StoreUnavailable), self.store.transaction() as tx:
            first = tx.tokens.suspect(lease, now)
            if not is_storm and (now - first).total_seconds() >= self.confirm_after_s:
                reason = self._end_connection(tx, lease, error, now)
            else:
                again = (now if is_storm else first) + timedelta(seconds=self.confirm_after_s)
        self._end(_Ending(lease, "refused", error.detail or error.code, again, failed=False))
        if reason is not None:
            raise ReconnectRequired(reason) from error

    def _end_connection(self, tx: Transaction, lease: Lease, error: InvalidGrant, now: datetime) -> Reason:
        """Mark the connection; an earlier attempt without answer tells whose fault it was."""
        connection = lease.tokens.connection
        lost = tx.attempts.lost(connection.id, connection.generation)
        is_lost = lost is not None and self._rotation(lease) in LOST_ROTATIONS
        reason = Reason.ROTATION_LOST if is_lost else Reason(error.reason)
        if tx.connections.mark_needs_reconnect(connection.id, connection.generation, reason, now):
            attempt = {"attempt": str(lost)} if is_lost else {}
            tx.audit.event(
                "needs_reconnect", now, person_id=connection.person_id, connection_id=connection.id,
                detail={"reason": reason.value, **attempt},
            )  # fmt: skip
        return reason

    def _end(self, ending: _Ending) -> None:
        """Close the attempt; when the database is away the watch tells it later."""
        try:
            self._tell(ending)
        except StoreUnavailable:
            with self._telling:
                self._untold[ending.lease.attempt_id] = ending

    def _tell(self, ending: _Ending) -> None:
        now, lease = self.clock(), ending.lease
        with self.store.transaction() as tx:
            if not tx.attempts.close(lease, ending.outcome, ending.code, now):
                # It was never committed, and its epoch may be somebody else's.
                return
            tx.tokens.release(lease, next_attempt_at=ending.again, failed=ending.failed)
            _audit(tx, f"refresh_{ending.outcome}", now, lease.connection_id, code=ending.code)


def _refresh_token(tokens: StoredTokens, key: DataKey) -> Secret:
    """Return the refresh token in clear; a connection without one is as good as refused."""
    if tokens.sealed_refresh is None:
        raise InvalidGrant("no_refresh_token", reason=Reason.GRANT_REJECTED)
    return key.open(tokens.sealed_refresh, seal_context(tokens.connection, "refresh_token", tokens.refresh_generation))


def seal_context(connection: Connection, column: str, generation: int) -> SealContext:
    """Return what a sealed token of ``connection`` is bound to."""
    return SealContext(connection.id, connection.issuer, connection.subject, column, generation)


def _audit(tx: Transaction, kind: str, now: datetime, connection_id: UUID, **detail: str) -> None:
    tx.audit.event(kind, now, connection_id=connection_id, detail=detail)
