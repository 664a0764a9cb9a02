"""People, their browser sessions, and the services that act for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

SESSION_LIFETIME = timedelta(days=14)
SESSION_IDLE = timedelta(days=3)
"""A browser session ends at the earlier of both (ASVS 5.0 V7.3)."""

UNKNOWN_ZONE = "UTC"
"""What a person's times are shown in until something tells their zone."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who signed in."""

    id: UUID
    display_name: str
    email: str | None
    """Display text only."""
    time_zone: str
    """IANA name the pages show times in."""


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """A signed-in browser."""

    id: UUID
    person: Person
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Service:
    """An internal client of Latchkey."""

    id: UUID
    name: str
    is_enabled: bool = True
    """False: frozen by operators; it can prove who it is and gets nothing."""
