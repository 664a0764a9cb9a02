"""What people granted to which client: grants, and the codes and tokens that came from them.

Tokens are kept as SHA-256 digests, so neither the state file nor a page can show one.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

T = TypeVar("T")


class RefreshState(StrEnum):
    """Where a refresh token is in its life."""

    LIVE = "live"
    ROTATED = "rotated"
    """Replaced by a newer one; whether it still works depends on the rotation."""
    REVOKED = "revoked"


@dataclass
class Grant:
    """What one account allowed one client; there is at most one per account and client."""

    grant_id: str
    provider: str
    account_key: str
    client_id: str
    scopes: set[str]
    created_at: datetime
    rotates_next: bool = False
    """True: the next refresh returns a new refresh token even where the provider usually keeps the old one."""


@dataclass
class RefreshToken:
    """One refresh token, by digest."""

    digest: str
    grant_id: str
    family: str
    """Shared by all refresh tokens that came from one authorization code."""
    scopes: set[str]
    issued_at: datetime
    last_used_at: datetime
    covers_whole_grant: bool = False
    """True: yields whatever the grant holds at the time of the refresh; False: only `scopes`."""
    state: RefreshState = RefreshState.LIVE
    rotated_at: datetime | None = None
    """When a newer one replaced it; None while live."""


@dataclass
class AccessToken:
    """One access token, by digest."""

    digest: str
    grant_id: str
    scopes: set[str]
    issued_at: datetime
    expires_at: datetime
    is_revoked: bool = False


def digest_of(token: str) -> str:
    """Return the SHA-256 of a token as hexadecimal digits."""
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass
class GrantBook:
    """All grants and tokens of one sandbox. The caller holds the sandbox's lock."""

    grants: dict[str, Grant] = field(default_factory=dict)
    refresh_tokens: dict[str, RefreshToken] = field(default_factory=dict)
    access_tokens: dict[str, AccessToken] = field(default_factory=dict)
    tenant_consents: dict[str, set[str]] = field(default_factory=dict)
    """Microsoft: scopes an administrator allowed for everyone, by `<tenant id> <client id>`."""

    def find(self, provider: str, account_key: str, client_id: str) -> Grant | None:
        """Return the grant of an account to a client, None when nothing was granted."""
        wanted = (provider, account_key, client_id)
        found = (g for g in self.grants.values() if (g.provider, g.account_key, g.client_id) == wanted)
        return next(found, None)

    def of_account(self, provider: str, account_key: str) -> list[Grant]:
        """Return all grants of an account, oldest first."""
        mine = [g for g in self.grants.values() if (g.provider, g.account_key) == (provider, account_key)]
        return sorted(mine, key=lambda g: g.created_at)

    def allow(self, provider: str, account_key: str, client_id: str, scopes: set[str], now: datetime) -> Grant:
        """Add `scopes` to the grant of an account to a client, making the grant when there is none."""
        grant = self.find(provider, account_key, client_id)
        if grant is None:
            grant = Grant(secrets.token_hex(8), provider, account_key, client_id, set(), now)
            self.grants[grant.grant_id] = grant
        grant.scopes |= scopes
        return grant

    def allow_tenant(self, tid: str, client_id: str, scopes: set[str]) -> None:
        """Record that an administrator consented to `scopes` for everyone in a tenant."""
        self.tenant_consents.setdefault(f"{tid} {client_id}", set()).update(scopes)

    def tenant_scopes(self, tid: str, client_id: str) -> set[str]:
        """Return what an administrator consented to for everyone in a tenant."""
        return set(self.tenant_consents.get(f"{tid} {client_id}", ()))

    def refresh_tokens_of(self, grant: Grant) -> list[RefreshToken]:
        """Return all refresh tokens of a grant, oldest first."""
        mine = [t for t in self.refresh_tokens.values() if t.grant_id == grant.grant_id]
        return sorted(mine, key=lambda t: t.issued_at)

    def access_tokens_of(self, grant: Grant) -> Iterator[AccessToken]:
        """Yield all access tokens of a grant."""
        return (t for t in self.access_tokens.values() if t.grant_id == grant.grant_id)

    def revoke_grant(self, grant: Grant) -> None:
        """Take back all: the consent, every refresh token and every access token."""
        for refresh_token in self.refresh_tokens_of(grant):
            refresh_token.state = RefreshState.REVOKED
        for access_token in self.access_tokens_of(grant):
            access_token.is_revoked = True
        grant.scopes = set()
        # The emptied record stays: dead tokens still name the account they belonged to in the request log.

    def revoke_family(self, family: str) -> None:
        """Kill all refresh tokens that came from one authorization code, and the grant's access tokens."""
        for token in self.refresh_tokens.values():
            if token.family == family:
                token.state = RefreshState.REVOKED
                for access_token in self.access_tokens_of(self.grants[token.grant_id]):
                    access_token.is_revoked = True

    def expire_access_tokens(self, grant: Grant, now: datetime) -> int:
        """Let all access tokens of a grant expire now; return how many were still good."""
        good = [t for t in self.access_tokens_of(grant) if t.expires_at > now]
        for token in good:
            token.expires_at = now
        return len(good)

    def dump(self) -> dict[str, Any]:
        """Return everything as a JSON object."""
        return {
            "grants": [_to_json(g) for g in self.grants.values()],
            "refresh_tokens": [_to_json(t) for t in self.refresh_tokens.values()],
            "access_tokens": [_to_json(t) for t in self.access_tokens.values()],
            "tenant_consents": {name: sorted(scopes) for name, scopes in self.tenant_consents.items()},
        }

    def load(self, body: dict[str, Any]) -> None:
        """Replace everything by what `dump` returned."""
        grants: list[Grant] = [_from_json(Grant, g) for g in body["grants"]]
        refresh_tokens: list[RefreshToken] = [_from_json(RefreshToken, t) for t in body["refresh_tokens"]]
        access_tokens: list[AccessToken] = [_from_json(AccessToken, t) for t in body["access_tokens"]]
        self.grants = {g.grant_id: g for g in grants}
        self.refresh_tokens = {t.digest: t for t in refresh_tokens}
        self.access_tokens = {t.digest: t for t in access_tokens}
        self.tenant_consents = {name: set(scopes) for name, scopes in body["tenant_consents"].items()}


def _to_json(record: Any) -> dict[str, Any]:  # noqa: ANN401 - any of the three records above
    return {name: _plain(value) for name, value in asdict(record).items()}


def _plain(value: object) -> object:
    if isinstance(value, set):
        return sorted(value)
    return value.isoformat() if isinstance(value, datetime) else value


def _from_json(record: Callable[..., T], body: dict[str, Any]) -> T:
    return record(**{name: _rich(name, value) for name, value in body.items()})


def _rich(name: str, value: Any) -> Any:  # noqa: ANN401 - the value of any field of the records above
    if name == "scopes":
        return set(value)
    if name == "state":
        return RefreshState(value)
    return datetime.fromisoformat(value) if name.endswith("_at") and value else value
