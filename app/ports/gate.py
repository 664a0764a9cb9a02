"""The gate in front of a provider application: whether a token call may be made now, and how it ended."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from app.domain.errors import LatchkeyError


class ProviderGate(Protocol):
    """Asked before every token call. Answers at once, and keeps answering without Redis or PostgreSQL."""

    def admit(self, provider: str, connection_id: UUID) -> None:
        """Let one token call pass.

        Raises ``BreakerOpen`` (calls to the application are paused) or ``ProviderThrottled`` (``budget``: too many
        calls lately; ``in_flight``: too many under way), both with ``retry_after_s``. Neither says anything about
        the connection: no attempt was made, so nothing is to be counted against it.
        """

    def note(self, provider: str, connection_id: UUID, error: LatchkeyError | None) -> None:
        """Take in how a call that was admitted ended; ``error`` null is a success. Never raises."""

    def withdraw(self, provider: str, connection_id: UUID) -> None:
        """Take back an admission that was not used: no call was made. Never raises."""

    def open_providers(self) -> tuple[str, ...]:
        """Return the keys of the providers whose calls are paused: their due connections are not to be claimed.

        Empty when the database does not answer.
        """
