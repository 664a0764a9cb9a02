"""Name the person a token is for, in one of the three ways Latchkey knows (RFC 8693 section 2.1)."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Connection:
    """One connected account by its connection id; for work without the person present."""

    subject_token: str
    subject_token_type: ClassVar[str] = "urn:latchkey:params:oauth:token-type:connection"
    json_name: ClassVar[str] = "connection_id"


@dataclass(frozen=True, slots=True)
class Person:
    """A person by Latchkey's id; for work without the person present."""

    subject_token: str
    subject_token_type: ClassVar[str] = "urn:latchkey:params:oauth:token-type:person"
    json_name: ClassVar[str] = "person_id"


@dataclass(frozen=True, slots=True)
class UserToken:
    """The person who is present, by the JWT your product's sign-in gave them."""

    subject_token: str = field(repr=False)
    subject_token_type: ClassVar[str] = "urn:ietf:params:oauth:token-type:jwt"
    json_name: ClassVar[str] = "subject_token"

    def ends_at(self) -> datetime | None:
        """Return the JWT's own end (`exp`, RFC 7519 section 4.1.4), aware UTC; null when none can be read.

        Nothing is verified here: Latchkey does that. The end only keeps a cached answer from outliving the question.
        """
        try:
            payload = self.subject_token.split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            return datetime.fromtimestamp(claims["exp"], UTC)
        except (IndexError, KeyError, TypeError, ValueError, OverflowError, OSError):
            return None


User = Connection | Person | UserToken
