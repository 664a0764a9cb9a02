"""Clock, chance and the hints to workers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol
from uuid import UUID

Clock = Callable[[], datetime]
"""Returns now, aware UTC."""

Spread = Callable[[], float]
"""Returns a random number in [0, 1) for jitter."""


class Nudge(Protocol):
    """Tells workers that a row is due. Best effort: a lost nudge costs one tick of the scheduler."""

    def refresh(self, connection_id: UUID) -> None:
        """Hint that a connection should be refreshed."""

    def list_calendars(self, connection_id: UUID) -> None:
        """Hint that a connection's calendar list is due."""

    def sync_calendar(self, calendar_id: UUID, in_s: float = 0.0) -> None:
        """Hint that a calendar is due, or will be in so many seconds."""

    def open_channel(self, calendar_id: UUID) -> None:
        """Hint that a calendar needs a push channel."""
