"""What the use cases need from the store: connections, data keys, generations and leases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from app.domain.connections import Connection, Identity, Reason
from app.domain.features import Feature


@dataclass(frozen=True, slots=True)
class StoredTokens:
    """The current generation of a connection with what is needed to open it. One query."""

    connection: Connection
    wrapped_key: bytes
    sealed_access: bytes | None
    sealed_refresh: bytes | None
    refresh_generation: int
    """Generation the refresh token was sealed under; older than current when it was carried over."""
    lease_free: bool
    """Whether nobody holds the refresh lease now, by the database clock."""
    next_attempt_at: datetime | None
    """Until when automatic refreshes hold back after a failure; null when they need not."""
    refresh_due_at: datetime | None
    """When the token set should be refreshed ahead of its end; null before the first."""
    suspected_since: datetime | None
    """When the provider first said ``invalid_grant`` for this generation; null otherwise."""
    failures: int = 0
    """Refresh attempts that failed in a row, for the length of the next back-off."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to make one refresh call, with the attempt already written down."""

    attempt_id: UUID
    connection_id: UUID
    epoch: int
    """Fences the pointer: only the current epoch may move it."""
    generation: int
    """Number reserved for the answer."""
    parent: int
    """Generation whose refresh token is used: the answer descends from it."""
    tokens: StoredTokens
    """Read under the lease."""


@dataclass(frozen=True, slots=True)
class NewGeneration:
    """A token set ready to be appended: sealed, with what may be known in clear."""

    connection_id: UUID
    generation: int
    epoch: int
    parent: int
    origin: str
    """``consent`` or ``refresh``."""
    sealed_access: bytes | None
    sealed_refresh: bytes | None
    """Null when the answer brought none."""
    scopes: tuple[str, ...] | None
    """Null when the answer did not say: unchanged."""
    issued_at: datetime
    access_expires_at: datetime
    refresh_due_at: datetime
    refresh_expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """A refresh attempt whose process is dead: nobody knows whether the provider got the call."""

    attempt_id: UUID
    connection_id: UUID
    person_id: UUID
    provider: str
    epoch: int
    access_expires_at: datetime | None


class ConnectionStore(Protocol):
    """Connections and their data keys."""

    def get(self, connection_id: UUID) -> Connection | None:
        """Return one connection, disconnected ones included; null when unknown."""

    def of_person(self, person_id: UUID) -> tuple[Connection, ...]:
        """Return a person's connections that are not disconnected, oldest first."""

    def of_account(self, person_id: UUID, provider: str, identity: Identity) -> Connection | None:
        """Return the person's connection to exactly this account, disconnected ones included."""

    def visible_to(self, service_id: UUID, provider: str | None, now: datetime) -> tuple[Connection, ...]:
        """Return the connections a service has a policy for, neither disconnected nor kept from it by their owner."""

    def add(  # noqa: PLR0913, PLR0917 - one argument per fact about a new row
        self,
        connection_id: UUID,
        person_id: UUID,
        provider: str,
        kind: str,
        identity: Identity,
        features: Sequence[Feature],
        wrapped_key: bytes,
        now: datetime,
    ) -> None:
        """Store a new connection with its data key; raises ``StoreConflict`` when the person has this account."""

    def revive(
        self,
        connection_id: UUID,
        identity: Identity,
        features: Sequence[Feature],
        wrapped_key: bytes | None,
        now: datetime,
    ) -> None:
        """Make a connection active again after a consent.

        ``wrapped_key`` replaces a shredded data key; a key that is there stays, so read it back before sealing.
        """

    def mark_needs_reconnect(self, connection_id: UUID, generation: int, reason: Reason, now: datetime) -> bool:
        """End an active connection's good state if ``generation`` is still current; returns whether this did it."""

    def pause(self, connection_id: UUID, until: datetime | None) -> None:
        """Let nothing be handed out before ``until``; null ends a pause."""

    def due_calendar_list(self, connection_id: UUID, at: datetime) -> None:
        """Make reading the whole calendar list due."""

    def take_calendar_list(self, connection_id: UUID, now: datetime, hold_until: datetime) -> bool:
        """Return whether the calendar list was due, and put it off: of many takers one is told so."""

    def claim_calendar_lists(self, now: datetime, hold_until: datetime, limit: int) -> tuple[UUID, ...]:
        """Claim active connections whose calendar list is due; nobody else gets them before ``hold_until``."""

    def calendars_listed(self, connection_id: UUID, now: datetime, next_at: datetime) -> None:
        """Note a read calendar list and when the next is due."""

    def disconnect(self, connection_id: UUID, now: datetime) -> None:
        """Delete tokens, data key, calendars, events and channels of a connection; the row stays as a receipt."""


class TokenStore(Protocol):
    """Token generations, refresh attempts and the refresh lease."""

    def current(self, connection_id: UUID) -> StoredTokens | None:
        """Return the current generation; null when the connection is unknown or disconnected."""

    def reserve(self, connection_id: UUID) -> tuple[int, int, int]:
        """Return ``(generation, epoch, parent)`` for a token set that a consent brought; takes over any lease."""

    def lease(
        self,
        connection_id: UUID,
        owner: str,
        attempt_id: UUID,
        lease_s: float,
        *,
        parent: int,
        held_until: datetime | None = None,
    ) -> Lease | None:
        """Take the refresh lease and write the attempt down, by the database clock.

        Null when somebody else holds it, or when the caller's knowledge is old: the current generation is not
        ``parent`` any more, or the next attempt is not held back until ``held_until`` but another time.
        """

    def append(self, generation: NewGeneration) -> bool:
        """Append a generation, always, with the end of its attempt; say whether the pointer moved to it.

        It moves for the current epoch, and for a fenced writer whose parent still is current: then nobody else
        has brought anything. A moved pointer clears failures and suspicion; a lease of the same epoch is
        released. Safe to repeat when it is unknown whether the first time was committed. Only a disconnected
        connection gets nothing: its data key is gone, so nothing sealed for it can ever be read.
        """

    def lease_again(self, lease: Lease, attempt_id: UUID, lease_s: float, sibling: StoredTokens | None) -> Lease | None:
        """Begin a further attempt under a lease still held, with the tokens of ``sibling`` or the same ones.

        Null when the lease is not ours any more.
        """

    def sibling(self, lease: Lease) -> StoredTokens | None:
        """Return the newest refresh token beside the current one that was not refused yet; null without."""

    def refuse(self, lease: Lease) -> None:
        """Remember that the provider refused the refresh token of this attempt, if it is a sibling's."""

    def put_off(self, connection_id: UUID, until: datetime) -> None:
        """Let nobody claim the refresh before ``until``; callers who need a token are not held back."""

    def release(self, lease: Lease, *, next_attempt_at: datetime | None, failed: bool) -> None:
        """Give the lease back if the epoch is still ours; count a failure and hold back automatic refreshes."""

    def suspect(self, lease: Lease, now: datetime) -> datetime:
        """Note an ``invalid_grant`` for the parent generation and return when the first one was."""

    def claim_due(self, provider: str, now: datetime, hold_until: datetime, limit: int) -> tuple[UUID, ...]:
        """Claim a provider's active connections whose refresh is due; nobody else gets them before ``hold_until``.

        One provider at a time: the backlog of one stands in nobody else's way.
        """


class AttemptStore(Protocol):
    """Refresh attempts: each was written down before its call."""

    def close(self, lease: Lease, outcome: str, error_code: str | None, now: datetime) -> bool:
        """Write down how an attempt ended: ``refused``, ``failed`` or ``ambiguous``; false when it never began."""

    def lost(self, connection_id: UUID, parent: int) -> UUID | None:
        """Return the latest attempt from ``parent`` whose answer never came; null when all were answered."""

    def of_the_dead(self, silent_s: float, settled_s: float) -> tuple[OpenAttempt, ...]:
        """Return open attempts whose process is dead; nobody else gets them before this transaction ends.

        Dead is who holds no lock and was not heard of for ``silent_s`` seconds; nobody is while the database
        server is up for less than ``settled_s`` seconds.
        """

    def take_over(self, attempt: OpenAttempt, again_at: datetime) -> bool:
        """Close the attempt as ambiguous, free its lease, make the refresh due from ``again_at`` on.

        Returns false when it has ended meanwhile.
        """
