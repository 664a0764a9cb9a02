"""What the use cases need from the store: grants that are idle, dead, or of an application in test mode."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID

from app.domain.grant_care import DeadGrant, IdleGrant


class GrantCareStore(Protocol):
    """Looks over many connections at once; every method is safe to repeat."""

    def note_use(self, unused_since: datetime, limit: int) -> int:
        """Look up in the audit log when connections that seem unused were last used; returns how many were found."""

    def rest(self, unused_since: datetime, limit: int) -> int:
        """Put off the next refresh of connections unused since then; returns how many."""

    def idle(self, unused_since: datetime, limit: int) -> tuple[IdleGrant, ...]:
        """Return connections nobody used since then: no hand-out, and no calendar that is kept up to date."""

    def dead(self, dead_since: datetime, limit: int) -> tuple[DeadGrant, ...]:
        """Return connections that have needed their person since then or longer and still have tokens."""

    def bury(self, connection_id: UUID, dead_since: datetime, wrapped_key: bytes) -> bool:
        """Delete the tokens of a dead connection and put a fresh data key in place of the one that opens them.

        Returns whether this did it: not when the person came back meanwhile.
        """

    def explain_test_mode(self) -> tuple[UUID, ...]:
        """Tell Google grants that ended with test mode from other refusals; returns those whose reason changed."""

    def in_test_mode(self) -> tuple[tuple[str, int], ...]:
        """Return provider keys with the number of living grants that will end seven days after consent."""
