"""The OIDC provider's token endpoint: single-use codes, PKCE, and refresh under the chosen rotation."""

from dataclasses import dataclass
from typing import Any

from flask import Request

from app.sandbox.accounts import Account
from app.sandbox.authorization import verifier_matches
from app.sandbox.client_authentication import authenticated_client, needed
from app.sandbox.grants import Grant
from app.sandbox.id_tokens import signed_id_token
from app.sandbox.issuing import RefreshRefused, find_refresh, issue_access, issue_refresh, use_refresh
from app.sandbox.keys import half_hash
from app.sandbox.oauth_errors import OAuthFault
from app.sandbox.pending import AuthorizationCode
from app.sandbox.settings import ClientRegistration
from app.sandbox.state import Sandbox

USUAL_LIFETIME_S = 300


@dataclass(frozen=True)
class _Issue:
    """What one token answer covers."""

    client: ClientRegistration
    account: Account
    grant: Grant
    scopes: set[str]
    auth_time: int | None = None
    nonce: str | None = None


def answer_token_request(state: Sandbox, request: Request) -> dict[str, Any]:
    """Return the JSON of a good token answer.

    Raises OAuthFault for everything that is refused. The caller holds the sandbox's lock.
    """
    client = authenticated_client(state, request, "oidc")
    match needed(request, "grant_type"):
        case "authorization_code":
            return _exchange(state, request, client)
        case "refresh_token":
            return _refresh(state, request, client)
        case _:
            raise OAuthFault(400, "unsupported_grant_type", "The grant type is not supported.")


def _exchange(state: Sandbox, request: Request, client: ClientRegistration) -> dict[str, Any]:
    code = _checked_code(state, request, client)
    code.is_used = True
    grant = state.grants.find("oidc", code.account_key, client.client_id)
    if grant is None or not grant.scopes:
        raise OAuthFault(400, "invalid_grant", "The consent was taken back.")
    account = state.accounts.by_key("oidc", code.account_key)
    body = _token_answer(state, _Issue(client, account, grant, set(code.scopes), code.auth_time, code.nonce))
    if code.is_offline:
        body["refresh_token"] = issue_refresh(
            state, grant, code.scopes, prefix="", family=code.family, covers_whole_grant=False
        )
    return body


def _checked_code(state: Sandbox, request: Request, client: ClientRegistration) -> AuthorizationCode:
    code = state.pending.code(needed(request, "code"))
    if code is None or code.provider != "oidc" or code.client_id != client.client_id:
        raise OAuthFault(400, "invalid_grant", "The code is not valid.")
    if code.is_used:
        # A code that comes twice was stolen or replayed: what it yielded is taken back (RFC 6749 section 4.1.2).
        state.grants.revoke_family(code.family)
        raise OAuthFault(400, "invalid_grant", "The code was used before.")
    if code.expires_at <= state.clock.now() or code.redirect_uri != needed(request, "redirect_uri"):
        raise OAuthFault(400, "invalid_grant", "The code has expired or was issued for another redirect URI.")
    if not verifier_matches(code, needed(request, "code_verifier")):
        raise OAuthFault(400, "invalid_grant", "The code verifier does not match.")
    return code


def _refresh(state: Sandbox, request: Request, client: ClientRegistration) -> dict[str, Any]:
    try:
        grant, token = find_refresh(
            state, needed(request, "refresh_token"), provider="oidc", client_id=client.client_id, idle_days=None
        )
    except RefreshRefused as refusal:
        raise OAuthFault(400, "invalid_grant", "The refresh token is not valid.") from refusal
    scopes = token.scopes & grant.scopes
    if asked := request.form.get("scope"):
        if not set(asked.split()) <= scopes:
            raise OAuthFault(400, "invalid_scope", "More was asked than granted.")
        scopes = set(asked.split())
    refreshed = use_refresh(state, grant, token, prefix="")
    account = state.accounts.by_key("oidc", grant.account_key)
    body = _token_answer(state, _Issue(client, account, grant, scopes))
    if refreshed.replacement is not None:
        body["refresh_token"] = refreshed.replacement
    return body


def _token_answer(state: Sandbox, issue: _Issue) -> dict[str, Any]:
    lifetime_s = state.runtime.access_token_lifetime_s or USUAL_LIFETIME_S
    access_token = issue_access(state, issue.grant, issue.scopes, prefix="", lifetime_s=lifetime_s)
    body: dict[str, Any] = {
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": lifetime_s,
        "scope": " ".join(sorted(issue.scopes)),
    }
    if "openid" in issue.scopes:
        body["id_token"] = signed_id_token(state, "oidc", _id_claims(state, issue, access_token))
    return body


def _id_claims(state: Sandbox, issue: _Issue, access_token: str) -> dict[str, Any]:
    now_s = state.clock.timestamp()
    claims = {
        "iss": state.settings.oidc_issuer,
        "aud": issue.client.client_id,
        "iat": now_s,
        "exp": now_s + 600,
        "at_hash": half_hash(access_token),
        **profile_claims(issue.account, issue.scopes),
    }
    if issue.auth_time is not None:
        claims["auth_time"] = issue.auth_time
    return claims if issue.nonce is None else {**claims, "nonce": issue.nonce}


def profile_claims(account: Account, scopes: set[str] | frozenset[str]) -> dict[str, Any]:
    """Return the claims about an account that `scopes` open (OIDC Core 5.4)."""
    claims: dict[str, Any] = {"sub": account.sub}
    if "email" in scopes:
        claims |= {"email": account.email, "email_verified": True}
    if "profile" in scopes:
        names = {"name": account.name, "given_name": account.given_name, "family_name": account.family_name}
        claims |= names | {"zoneinfo": account.time_zone}
    return claims
