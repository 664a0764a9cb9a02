"""What the use cases need from the store for the audit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from app.domain.audit import AuditEntry, Detail, Head, Links, LoggedEntry


@dataclass(frozen=True, slots=True)
class HandOut:
    """One decision about a hand-out, for the audit."""

    id: UUID
    service_id: UUID
    connection_id: UUID | None
    person_id: UUID | None
    purpose: str | None
    features: tuple[str, ...]
    scopes: tuple[str, ...]
    decision: str
    """``released`` or ``denied``."""
    reason: str | None
    token_fingerprint: bytes | None
    """Keyed; null when nothing was released."""
    at: datetime


class AuditStore(Protocol):
    """What happened, append only."""

    def event(
        self,
        kind: str,
        at: datetime,
        *,
        service_id: UUID | None = None,
        person_id: UUID | None = None,
        connection_id: UUID | None = None,
        detail: Detail | None = None,
    ) -> None:
        """Write an event with the transaction; it is chained moments after the commit. No secrets in ``detail``."""

    def of_connection(self, connection_id: UUID, limit: int) -> tuple[tuple[datetime, str, Mapping[str, str]], ...]:
        """Return a connection's latest events without hand-outs, newest first, those not yet chained included."""


class AuditLogStore(Protocol):
    """The chained log."""

    def lock(self) -> tuple[Head, datetime]:
        """Wait until nobody else appends, until the end of the transaction; return the head and the database's now."""

    def known(self, ids: Collection[UUID]) -> frozenset[UUID]:
        """Return which entries the log has already."""

    def take_events(self, limit: int) -> tuple[AuditEntry, ...]:
        """Return the oldest events that wait to be chained, and remove them."""

    def append(self, links: Links) -> None:
        """Append to the log; needs the lock. Raises ``StoreConflict`` when it has one of the entries already."""

    def after(
        self, seq: int, limit: int, *, person_id: UUID | None = None, connection_id: UUID | None = None
    ) -> tuple[LoggedEntry, ...]:
        """Return entries with a greater ``seq``, in order; of one person or connection if one is named."""


class Spool(Protocol):
    """Lines on a local disk, on their way into the log."""

    def append(self, entry: AuditEntry) -> None:
        """Return when the entry would survive the end of this process; raises ``StoreUnavailable``."""

    def drain(self, take: Callable[[Sequence[str]], object]) -> None:
        """Give ``take`` this process's lines in batches, in order; what it has returned from is not given again."""

    def adopt(self, take: Callable[[Sequence[str]], object]) -> None:
        """Give ``take`` the lines of processes that have ended, some perhaps once more, and remove their files."""

    def close(self) -> None:
        """Let go of this process's files; lines that were not drained stay to be adopted."""
