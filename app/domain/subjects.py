"""Whom a token exchange is for, and how the calling service came to name that person.

Two levels of trust that are never mixed: either the person's own token of the product was shown (present), or the
service says whom it works for (absent), which policy must allow with ``act_as``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class SubjectMode(StrEnum):
    """How the person of an exchange was named."""

    PRESENT = "present"
    """By their own user token, made by a configured issuer: the service may act for this person alone."""
    ABSENT = "absent"
    """By the service itself, in a signed statement or by an id; needs a policy with ``act_as``."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The subject of one exchange (RFC 8693 section 2.1), already verified.

    At least one of ``person_id`` and ``connection_id`` is set, unless a genuine user token names somebody who never
    signed in here. An id that came as a handle is not looked up here: neither person nor connection need exist.
    """

    mode: SubjectMode
    person_id: UUID | None = None
    """The person; null when a connection was named, whose person policy then has to look at."""
    connection_id: UUID | None = None
    """The one connection asked for; null lets the provider asked for decide among the person's connections."""
    purpose: str | None = None
    """What the signed statement is good for; null when it does not say. A request for another purpose must fail."""

    @property
    def names_somebody(self) -> bool:
        """Return whether there is an id; there is none of somebody who never signed in here."""
        return self.person_id is not None or self.connection_id is not None
