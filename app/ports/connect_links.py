"""What the use cases need from the store: connect links, and connections that wait for their host."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID

from app.domain.connect_links import ConnectLink
from app.domain.people import Service


class ConnectLinkStore(Protocol):
    """Connect links, the addresses they may lead back to, and the connections they made."""

    def add(self, link: ConnectLink) -> None:
        """Store a new link."""

    def by_secret(self, secret_hash: bytes) -> ConnectLink | None:
        """Return the link of an address; null when unknown, or when its service is frozen."""

    def get(self, link_id: UUID) -> ConnectLink | None:
        """Return one link; null when unknown, or when its service is frozen."""

    def lock(self, link_id: UUID) -> ConnectLink | None:
        """Return one link that nobody else changes until this transaction ends; null when unknown or frozen."""

    def put(self, link: ConnectLink) -> None:
        """Store how far a link has come: state, reason, browser, person, use, connection, completion."""

    def made_since(self, service_id: UUID, since: datetime) -> int:
        """Count a service's links made after ``since``; two makers of one service take turns from here on."""

    def claim_late(self, now: datetime, limit: int) -> tuple[ConnectLink, ...]:
        """Lock links whose time is over in a state that time ends; rows somebody else has locked are left out."""

    def forget(self, before: datetime, limit: int) -> None:
        """Delete links that expired before a moment."""

    def allow_return(self, service_name: str, uri: str, now: datetime) -> Service | None:
        """Let people be sent back to exactly ``uri``; doing so twice is no error. Null for an unknown service."""

    def may_return(self, service_id: UUID, uri: str) -> bool:
        """Return whether an operator has allowed exactly ``uri`` for the service."""

    def await_completion(self, connection_id: UUID, due_at: datetime) -> None:
        """Let a connection wait for its host until ``due_at``; its calendars are not read meanwhile."""

    def confirm(self, connection_id: UUID, now: datetime) -> bool:
        """End a connection's wait and make its calendar list due; returns whether it was waiting."""

    def claim_unconfirmed(self, now: datetime, hold_until: datetime, limit: int) -> tuple[UUID, ...]:
        """Claim connections whose host did not confirm them; nobody else gets them before ``hold_until``."""
