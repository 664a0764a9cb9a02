"""Google's token endpoint: code exchange, refresh, and the ID token."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask import Request

from app.sandbox.accounts import Account
from app.sandbox.authorization import verifier_matches
from app.sandbox.client_authentication import authenticated_client, needed
from app.sandbox.grants import Grant, RefreshState, RefreshToken
from app.sandbox.id_tokens import signed_id_token
from app.sandbox.issuing import (
    RefreshProblem,
    RefreshRefused,
    find_refresh,
    issue_access,
    issue_refresh,
    use_refresh,
)
from app.sandbox.keys import half_hash
from app.sandbox.oauth_errors import OAuthFault
from app.sandbox.pending import AuthorizationCode
from app.sandbox.scopes import GOOGLE_PREFIX, google_scopes
from app.sandbox.settings import ClientRegistration
from app.sandbox.state import Sandbox

ISSUER = "https://accounts.google.com"
USUAL_LIFETIME_S = 3599
LIVE_REFRESH_TOKENS = 100
"""Per account and client; one more kills the oldest (developers.google.com/identity/protocols/oauth2#expiration)."""
IDLE_DAYS = 180
"""Six months without use end a refresh token (same page)."""
DEAD_WORDS = "Token has been expired or revoked."


@dataclass(frozen=True)
class _Issue:
    """What one token answer covers."""

    client: ClientRegistration
    account: Account
    grant: Grant
    scopes: set[str]
    nonce: str | None = None


def answer_token_request(state: Sandbox, request: Request) -> dict[str, Any]:
    """Return the JSON of a good token answer.

    Raises OAuthFault for everything Google refuses. The caller holds the sandbox's lock.
    """
    client = authenticated_client(state, request, "google")
    match needed(request, "grant_type"):
        case "authorization_code":
            return _exchange(state, request, client)
        case "refresh_token":
            return _refresh(state, request, client)
        case other:
            raise OAuthFault(400, "unsupported_grant_type", f"Invalid grant_type: {other}")


def _exchange(state: Sandbox, request: Request, client: ClientRegistration) -> dict[str, Any]:
    code = state.pending.code(needed(request, "code"))
    if code is None or code.provider != "google" or code.is_used or code.expires_at <= state.clock.now():
        raise OAuthFault(400, "invalid_grant", "Malformed auth code." if code is None else "Bad Request")
    if code.client_id != client.client_id:
        raise OAuthFault(400, "invalid_grant", "Bad Request")
    if code.redirect_uri != needed(request, "redirect_uri"):
        raise OAuthFault(400, "redirect_uri_mismatch", "Bad Request")
    _check_verifier(code, request.form.get("code_verifier"))
    code.is_used = True
    grant = state.grants.find("google", code.account_key, client.client_id)
    if grant is None or not grant.scopes:
        raise OAuthFault(400, "invalid_grant", "Bad Request")
    account = state.accounts.by_key("google", code.account_key)
    body = _token_answer(state, _Issue(client, account, grant, code.scopes & grant.scopes, code.nonce))
    if code.is_offline:
        body["refresh_token"] = issue_refresh(
            state,
            grant,
            code.scopes,
            prefix="1//0",
            family=code.family,
            covers_whole_grant=code.covers_whole_grant,
        )
        _keep_newest(state, grant)
        if state.runtime.google_refresh_life_s is not None:
            body["refresh_token_expires_in"] = state.runtime.google_refresh_life_s
    return body


def _check_verifier(code: AuthorizationCode, verifier: str | None) -> None:
    if code.code_challenge is None:
        if verifier is not None:
            raise OAuthFault(400, "invalid_grant", "code_verifier or verifier is not needed.")
        return
    if verifier is None:
        raise OAuthFault(400, "invalid_grant", "Missing code verifier.")
    if not verifier_matches(code, verifier):
        raise OAuthFault(400, "invalid_grant", "Invalid code verifier.")


def _refresh(state: Sandbox, request: Request, client: ClientRegistration) -> dict[str, Any]:
    try:
        grant, token = find_refresh(
            state,
            needed(request, "refresh_token"),
            provider="google",
            client_id=client.client_id,
            idle_days=IDLE_DAYS,
        )
    except RefreshRefused as refusal:
        if refusal.problem is RefreshProblem.FOREIGN:
            raise OAuthFault(401, "unauthorized_client", "Unauthorized") from refusal
        words = "Bad Request" if refusal.problem is RefreshProblem.UNKNOWN else DEAD_WORDS
        raise OAuthFault(400, "invalid_grant", words) from refusal
    left_s = _left_s(state, token)
    if left_s is not None and left_s <= 0:
        raise OAuthFault(400, "invalid_grant", DEAD_WORDS)
    held = grant.scopes if token.covers_whole_grant else token.scopes & grant.scopes
    scopes = _narrowed(held, request.form.get("scope"))
    refreshed = use_refresh(state, grant, token, prefix="1//0")
    account = state.accounts.by_key("google", grant.account_key)
    body = _token_answer(state, _Issue(client, account, grant, scopes))
    if refreshed.replacement is not None:
        body["refresh_token"] = refreshed.replacement
    if left_s is not None:
        body["refresh_token_expires_in"] = left_s
    return body


def _left_s(state: Sandbox, token: RefreshToken) -> int | None:
    """Return how long a refresh token still lives, None when there is no end set."""
    life_s = state.runtime.google_refresh_life_s
    if life_s is None:
        return None
    return int((token.issued_at + timedelta(seconds=life_s) - state.clock.now()).total_seconds())


def _narrowed(held: set[str], asked: str | None) -> set[str]:
    if not asked:
        return set(held)
    wanted = set(google_scopes(asked))
    if not wanted <= held:
        raise OAuthFault(400, "invalid_scope", "Some requested scopes were invalid.")
    return wanted


def _token_answer(state: Sandbox, issue: _Issue) -> dict[str, Any]:
    lifetime_s = state.runtime.access_token_lifetime_s or USUAL_LIFETIME_S
    access_token = issue_access(state, issue.grant, issue.scopes, prefix="ya29.a0", lifetime_s=lifetime_s)
    body: dict[str, Any] = {
        "access_token": access_token,
        "expires_in": lifetime_s,
        # Google does not keep the order in which scopes were asked.
        "scope": " ".join(sorted(issue.scopes, reverse=True)),
        "token_type": "Bearer",
    }
    if "openid" in issue.scopes:
        body["id_token"] = signed_id_token(state, "google", _id_claims(state, issue, access_token))
    return body


def _id_claims(state: Sandbox, issue: _Issue, access_token: str) -> dict[str, Any]:
    now_s = state.clock.timestamp()
    claims = {
        "iss": ISSUER,
        "azp": issue.client.client_id,
        "aud": issue.client.client_id,
        "at_hash": half_hash(access_token),
        **profile_claims(issue.account, issue.scopes),
        "iat": now_s,
        "exp": now_s + 3600,
    }
    return claims if issue.nonce is None else {**claims, "nonce": issue.nonce}


def profile_claims(account: Account, scopes: set[str] | frozenset[str]) -> dict[str, Any]:
    """Return the claims about an account that `scopes` open, as in ID token and userinfo."""
    claims: dict[str, Any] = {"sub": account.sub}
    if GOOGLE_PREFIX + "userinfo.email" in scopes:
        claims |= {"email": account.email, "email_verified": True}
    if account.hd is not None:
        claims["hd"] = account.hd
    if GOOGLE_PREFIX + "userinfo.profile" in scopes:
        claims |= {"name": account.name, "given_name": account.given_name, "family_name": account.family_name}
    return claims


def _keep_newest(state: Sandbox, grant: Grant) -> None:
    live = [t for t in state.grants.refresh_tokens_of(grant) if t.state is RefreshState.LIVE]
    for token in live[:-LIVE_REFRESH_TOKENS]:
        token.state = RefreshState.REVOKED
