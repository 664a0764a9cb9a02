"""How long grants are kept that nobody uses, or that are dead, and how a grant in test mode is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID


class IdlePolicy(StrEnum):
    """What becomes of a grant nobody uses any more."""

    KEEP_ALIVE = "keep_alive"
    """It is refreshed seldom, and often enough that the provider does not let it die."""
    LET_GO = "let_go"
    """It is disconnected, and the person's history says so."""


REST = timedelta(days=25)
"""How long an unused grant rests between two refreshes. Microsoft ends a grant after 90 days without use, Google after
six months: one that could not be refreshed once, or twice, is still alive. Other issuers do not say what they do, so
their grants do not rest."""

RESTING_KINDS = ("google", "microsoft")

TEST_MODE_LIFE = timedelta(days=7)
TEST_MODE_TOLERANCE = timedelta(hours=12)
"""Google ends the grants of an application in publishing status "Testing" seven days after consent, and says so in the
token answer: ``refresh_token_expires_in`` of about 604,800 (Using OAuth 2.0 to Access Google APIs, "Refresh token
expiration")."""

TEST_MODE_LATENESS = timedelta(hours=3)
"""A death is noticed with the next refresh after it, and confirmed a little later."""

TEST_MODE_DEATHS = 3
"""Without that member: so many grants that were refused just when they were seven days old, and none that is older."""


@dataclass(frozen=True, slots=True)
class DeadGrant:
    """A connection that has needed its person for so long that its tokens are of no use to anybody."""

    connection_id: UUID
    provider: str
    reason: str
    """A value of ``Reason``."""
    since: datetime


@dataclass(frozen=True, slots=True)
class IdleGrant:
    """A connection nobody used for as long as the idle policy allows."""

    connection_id: UUID
    person_id: UUID
    provider: str
    used_at: datetime
    """When it was last used, or connected."""
