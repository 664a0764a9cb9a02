"""What is under way between a browser and a client: authorization codes and half-finished consents."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from app.sandbox.grants import digest_of

if TYPE_CHECKING:
    from app.sandbox.authorization import AuthorizationRequest

KEPT_REQUESTS = 200
"""More than a person or a test leaves open; older ones are forgotten."""


@dataclass
class AuthorizationCode:
    """One authorization code and what it is bound to."""

    provider: str
    account_key: str
    client_id: str
    redirect_uri: str
    scopes: set[str]
    """What the person granted this time, together with earlier grants where the provider includes them."""
    expires_at: datetime
    nonce: str | None = None
    code_challenge: str | None = None
    code_challenge_method: str = "plain"
    is_offline: bool = False
    """True when the exchange is to return a refresh token."""
    covers_whole_grant: bool = False
    """True when its refresh tokens are to follow the grant as it grows."""
    tenant_segment: str | None = None
    """Microsoft: the path segment it was asked at; the exchange must use the same."""
    auth_time: int = 0
    family: str = ""
    """Family of the refresh tokens it yields; used to kill them when the code comes back a second time."""
    is_used: bool = False


@dataclass
class PendingBook:
    """All codes of one sandbox. The caller holds the sandbox's lock; nothing here survives a restart."""

    codes: dict[str, AuthorizationCode] = field(default_factory=dict)
    requests: dict[str, "AuthorizationRequest"] = field(default_factory=dict)
    """Authorization requests that wait for a person, by their id."""

    def add_request(self, request: "AuthorizationRequest") -> None:
        """Keep a request until a person decides."""
        self.requests[request.request_id] = request
        for stale in list(self.requests)[:-KEPT_REQUESTS]:
            del self.requests[stale]

    def add_code(self, prefix: str, code: AuthorizationCode) -> str:
        """Keep a code; return the text the browser carries."""
        text = prefix + secrets.token_urlsafe(32)
        code.family = secrets.token_hex(8)
        self.codes[digest_of(text)] = code
        return text

    def code(self, text: str) -> AuthorizationCode | None:
        """Return the code with that text, used or not; None when it was never given."""
        return self.codes.get(digest_of(text))

    def forget_before(self, now: datetime) -> None:
        """Drop codes that expired over an hour ago; until then their second use is told apart from an unknown code."""
        horizon = now - timedelta(hours=1)
        self.codes = {key: code for key, code in self.codes.items() if code.expires_at > horizon}
