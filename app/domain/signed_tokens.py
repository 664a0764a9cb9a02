"""What a signed token of somebody else must say to be believed, once its signature has been verified.

Sources: RFC 7519 section 4.1 (claims); RFC 7523 section 3 and RFC 8725 (assertions); OpenID Connect Core section 9
(``private_key_jwt``); the draft that succeeds RFC 7523 (audience is the issuer alone, type
``client-authentication+jwt``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from app.domain.errors import SignedTokenInvalid

Claims = Mapping[str, object]

LONGEST_LIFE_S = 60
"""Of a statement a service signs for one call."""
FARTHEST_END_S = 300
"""Seconds from now; leaves a clock that runs ahead some room, and bounds how long an id must be remembered."""
SKEW_S = 30
"""Seconds by which an issuer's clock may be ahead of ours."""
LONGEST_TEXT = 255
"""Characters of a subject or an id; longer ones are somebody's attempt to fill our tables."""

LONGEST_NAME = 64
"""Characters of a service's name."""
LATEST_MOMENT = 250_000_000_000
"""Shortly before the year 9900, where dates end; JSON numbers do not."""

CLIENT_AUTHENTICATION_TYPE = "client-authentication+jwt"
PLAIN_TYPES = frozenset({None, "jwt"})
"""``typ`` of a token that does not say what it is for; compared in lower case."""


@dataclass(frozen=True, slots=True)
class SignedToken:
    """Header and claims of a token, as they stand in it."""

    header: Claims
    claims: Claims

    @property
    def issuer(self) -> str:
        """Return ``iss``; raises ``SignedTokenInvalid`` when it is missing or no text."""
        return self.text("iss")

    @property
    def subject(self) -> str:
        """Return ``sub``; raises ``SignedTokenInvalid`` when it is missing or no text."""
        return self.text("sub")

    def text(self, name: str) -> str:
        """Return a claim that must be a printable text of 1 to 255 characters; raises ``SignedTokenInvalid``."""
        value = self.claims.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TEXT or not value.isprintable():
            raise SignedTokenInvalid(name)
        return value

    def moment(self, name: str) -> float:
        """Return a claim that must be a number of seconds since 1970; raises ``SignedTokenInvalid``."""
        value = self.claims.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < LATEST_MOMENT:
            raise SignedTokenInvalid(name)
        return float(value)

    def has_type(self, allowed: frozenset[str | None]) -> bool:
        """Return whether ``typ`` is one of ``allowed`` (lower case; null: absent), RFC 7515 section 4.1.9."""
        value = self.header.get("typ")
        return None in allowed if value is None else isinstance(value, str) and value.lower() in allowed


@dataclass(frozen=True, slots=True)
class OneUse:
    """What makes a statement usable once."""

    jti: str
    expires_at: datetime
    """After this it is refused anyway and its id need not be remembered."""


def check_statement(token: SignedToken, audience: str, types: frozenset[str | None], now: datetime) -> OneUse:
    """Check a statement that a service signed for one call; raises ``SignedTokenInvalid`` naming the check.

    The audience is our issuer and a single text: a list, even of one, was meant for somebody else as well.
    """
    if not token.has_type(types):
        raise SignedTokenInvalid("typ")
    if token.claims.get("aud") != audience:
        raise SignedTokenInvalid("aud")
    at, expires, issued = now.timestamp(), token.moment("exp"), token.moment("iat")
    if not at < expires <= at + FARTHEST_END_S or not 0 < expires - issued <= LONGEST_LIFE_S:
        raise SignedTokenInvalid("exp")
    _check_not_before(token, at + FARTHEST_END_S)
    return OneUse(token.text("jti"), datetime.fromtimestamp(expires, UTC))


def check_issued(token: SignedToken, audience: str, now: datetime, *, alone: bool) -> datetime:
    """Check a token that a trusted issuer made for us and return when it ends; raises ``SignedTokenInvalid``.

    ``alone``: no other audience may stand beside ours, because that party could use the token here.
    """
    audiences = token.claims.get("aud")
    listed = audiences if isinstance(audiences, list) else [audiences]
    if audience not in listed or (alone and len(listed) != 1):
        raise SignedTokenInvalid("aud")
    at, expires = now.timestamp(), token.moment("exp")
    if expires <= at:
        raise SignedTokenInvalid("exp")
    if "iat" in token.claims and token.moment("iat") > at + SKEW_S:
        raise SignedTokenInvalid("iat")
    _check_not_before(token, at + SKEW_S)
    return datetime.fromtimestamp(expires, UTC)


def _check_not_before(token: SignedToken, latest: float) -> None:
    if "nbf" in token.claims and token.moment("nbf") > latest:
        raise SignedTokenInvalid("nbf")
