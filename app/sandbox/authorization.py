"""The front half of the authorization code flow, as far as the emulated providers agree on it."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Protocol
from urllib.parse import urlencode, urlsplit, urlunsplit

from app.sandbox.accounts import Account
from app.sandbox.pending import AuthorizationCode
from app.sandbox.settings import Provider
from app.sandbox.state import Sandbox

CODE_LIFETIME_S = 600
"""Ten minutes: the longest RFC 6749 section 4.1.2 recommends, and what Microsoft documents."""


@dataclass(frozen=True)
class AuthorizationRequest:
    """One authorization request that passed the provider's checks."""

    provider: Provider
    client_id: str
    redirect_uri: str
    scopes: tuple[str, ...]
    """In the provider's own spelling."""
    state: str | None = field(repr=False)
    nonce: str | None = field(repr=False)
    code_challenge: str | None
    code_challenge_method: str
    prompt: frozenset[str]
    login_hint: str | None
    response_mode: str = "query"
    is_offline: bool = False
    includes_granted: bool = False
    tenant_segment: str | None = None
    """Microsoft: the first path segment, such as `organizations`."""
    wants_client_info: bool = False
    needs_admin: bool = False
    """True: a scripted fault demands an administrator, whatever the tenant's policy."""
    request_id: str = field(default_factory=lambda: secrets.token_urlsafe(12))

    def without_obstacle(self) -> "AuthorizationRequest":
        """Return the same request after an administrator approved it."""
        return replace(self, needs_admin=False)


@dataclass(frozen=True)
class Question:
    """What a person is asked to agree to."""

    scopes: tuple[str, ...]
    """Empty: nothing is left to ask."""
    boxed: frozenset[str] = frozenset()
    """Those of `scopes` that can be unticked one by one."""


@dataclass(frozen=True)
class Callback:
    """What the browser brings to the client's redirect URI."""

    redirect_uri: str
    parameters: dict[str, str] = field(repr=False)
    mode: str = "query"

    @property
    def location(self) -> str:
        """Return the address to redirect to; for `form_post` the bare redirect URI."""
        if self.mode == "form_post":
            return self.redirect_uri
        parts = urlsplit(self.redirect_uri)
        encoded = urlencode(self.parameters)
        if self.mode == "fragment":
            return urlunsplit(parts._replace(fragment=encoded))
        return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, encoded)))))


class PageFault(Exception):
    """An authorization request that ends on the provider's own page; the client never hears of it."""

    def __init__(self, status: int, error: str, words: str) -> None:
        """Keep the HTTP status, the error code and the words of the page."""
        super().__init__(error)
        self.status = status
        self.error = error
        self.words = words


class CallbackFault(Exception):
    """An authorization request that is refused at the client's redirect URI."""

    def __init__(self, callback: Callback) -> None:
        """Keep where the browser is sent."""
        super().__init__(callback.parameters.get("error", ""))
        self.callback = callback


class ConsentRules(Protocol):
    """How one provider runs its consent."""

    @property
    def provider(self) -> Provider:
        """The provider's key."""

    @property
    def title(self) -> str:
        """The name on its pages."""

    def read(self, state: Sandbox, args: Mapping[str, str], tenant: str | None) -> AuthorizationRequest:
        """Check a request; raise PageFault or CallbackFault."""

    def accounts(self, state: Sandbox, request: AuthorizationRequest) -> list[Account]:
        """Return the accounts that can be chosen."""

    def question(self, state: Sandbox, request: AuthorizationRequest, account: Account) -> Question:
        """Return what the person is asked; nothing when all was granted before."""

    def obstacle(self, state: Sandbox, request: AuthorizationRequest, account: Account) -> str | None:
        """Return why the person may not consent (words for a page), or None."""

    def allow(self, state: Sandbox, request: AuthorizationRequest, account: Account, chosen: set[str]) -> Callback:
        """Record the consent and return the callback with the code."""

    def refuse(self, state: Sandbox, request: AuthorizationRequest, error: str, words: str | None) -> Callback:
        """Return the callback with an error."""


def new_code(
    state: Sandbox, request: AuthorizationRequest, account: Account, *, prefix: str, granted: set[str], is_offline: bool
) -> str:
    """Keep an authorization code for `granted` and return its text; `is_offline`: it yields a refresh token."""
    now = state.clock.now()
    state.pending.forget_before(now)
    code = AuthorizationCode(
        provider=request.provider,
        account_key=account.key,
        client_id=request.client_id,
        redirect_uri=request.redirect_uri,
        scopes=granted,
        expires_at=now + timedelta(seconds=CODE_LIFETIME_S),
        nonce=request.nonce,
        code_challenge=request.code_challenge,
        code_challenge_method=request.code_challenge_method,
        is_offline=is_offline,
        covers_whole_grant=request.includes_granted,
        tenant_segment=request.tenant_segment,
        auth_time=state.clock.timestamp(),
    )
    return state.pending.add_code(prefix, code)


def verifier_matches(code: AuthorizationCode, verifier: str) -> bool:
    """Tell whether a PKCE verifier belongs to the code's challenge (RFC 7636 section 4.6)."""
    expected = verifier
    if code.code_challenge_method == "S256":
        digest = hashlib.sha256(verifier.encode()).digest()
        expected = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return hmac.compare_digest((code.code_challenge or "").encode(), expected.encode())


def with_state(parameters: dict[str, str], request: AuthorizationRequest) -> dict[str, str]:
    """Return callback parameters with the request's `state`, when it had one."""
    return parameters if request.state is None else {**parameters, "state": request.state}
