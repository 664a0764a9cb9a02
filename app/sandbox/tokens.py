"""Check access tokens, and issue, rotate and find tokens."""

from dataclasses import dataclass
from enum import StrEnum

from flask import Request

from app.sandbox.accounts import Account
from app.sandbox.grants import AccessToken, Grant, digest_of
from app.sandbox.state import Sandbox, current_sandbox


class DenialKind(StrEnum):
    """Why an access token was not accepted."""

    MISSING = "missing"
    """No bearer token was sent (401)."""
    INVALID = "invalid"
    """The token was never issued, or by another provider (401)."""
    EXPIRED = "expired"
    """Its lifetime is over (401)."""
    REVOKED = "revoked"
    """The grant it came from was taken back (401)."""
    SCOPE = "scope"
    """The token is good, but for other things (403)."""


class AccessDenied(Exception):
    """The access token does not allow the call; the route renders it in its provider's words."""

    def __init__(self, kind: DenialKind) -> None:
        """Keep the reason; `status` follows from it."""
        super().__init__(kind.value)
        self.kind = kind
        self.status = 403 if kind is DenialKind.SCOPE else 401


@dataclass(frozen=True)
class Access:
    """What a good access token allows."""

    account: Account
    scopes: frozenset[str]
    """Google: full scope addresses. Microsoft: short names such as `Calendars.Read`. OIDC: as asked."""
    client_id: str
    grant_id: str


def check_access(header: str | None, provider: str, any_of_scopes: set[str]) -> Access:
    """Return what the bearer token in an Authorization header allows.

    `any_of_scopes`: one of them is enough; Google's full addresses or Microsoft's short names (compared without regard
    to case); an empty set asks only for a good token. Raises AccessDenied.
    """
    state = current_sandbox()
    with state.lock:
        token = _good_token(state, header, provider)
        grant = state.grants.grants[token.grant_id]
    held = {scope.lower() for scope in token.scopes}
    if any_of_scopes and not held & {scope.lower() for scope in any_of_scopes}:
        raise AccessDenied(DenialKind.SCOPE)
    account = state.accounts.by_key(grant.provider, grant.account_key)
    return Access(account, frozenset(token.scopes), grant.client_id, grant.grant_id)


def _good_token(state: Sandbox, header: str | None, provider: str) -> AccessToken:
    value = bearer_value(header)
    if value is None:
        raise AccessDenied(DenialKind.MISSING)
    token = state.grants.access_tokens.get(digest_of(value))
    if token is None or state.grants.grants[token.grant_id].provider != provider:
        raise AccessDenied(DenialKind.INVALID)
    if token.is_revoked:
        raise AccessDenied(DenialKind.REVOKED)
    if token.expires_at <= state.clock.now():
        raise AccessDenied(DenialKind.EXPIRED)
    return token


def bearer_value(header: str | None) -> str | None:
    """Return the token of an `Authorization: Bearer` header, None when there is none."""
    scheme, _, value = (header or "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" and value.strip() else None


def grant_of_request(state: Sandbox, request: Request) -> Grant | None:
    """Return the grant behind the bearer token of a request, which need not be good any more; None without one."""
    bearer = bearer_value(request.headers.get("Authorization"))
    if bearer is None:
        return None
    with state.lock:
        token = state.grants.access_tokens.get(digest_of(bearer))
        return state.grants.grants[token.grant_id] if token else None


def subject_of_request(state: Sandbox, request: Request) -> tuple[str | None, str | None]:
    """Return account key and refresh token family that a request is about, each None when it does not say.

    Reads the bearer token, else the `refresh_token`, `token` or `code` form parameter; the token need not be good.
    """
    with state.lock:
        bearer = bearer_value(request.headers.get("Authorization"))
        if bearer is not None:
            token = state.grants.access_tokens.get(digest_of(bearer))
            return (state.grants.grants[token.grant_id].account_key if token else None), None
        sent = request.form.get("refresh_token") or request.form.get("token") or ""
        refresh_token = state.grants.refresh_tokens.get(digest_of(sent))
        if refresh_token is not None:
            return state.grants.grants[refresh_token.grant_id].account_key, refresh_token.family
        code = state.pending.code(request.form.get("code", ""))
        return (code.account_key if code else None), None
