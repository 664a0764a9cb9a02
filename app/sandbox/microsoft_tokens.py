"""Microsoft's token endpoint: code exchange and refresh under `/{tenant}/oauth2/v2.0/token`."""

import base64
import hashlib
import json
import random
import secrets
from dataclasses import dataclass
from typing import Any

from flask import Request

from app.sandbox.accounts import Account
from app.sandbox.authorization import verifier_matches
from app.sandbox.grants import Grant
from app.sandbox.id_tokens import signed_id_token
from app.sandbox.issuing import (
    RefreshProblem,
    RefreshRefused,
    find_refresh,
    issue_access,
    issue_refresh,
    use_refresh,
)
from app.sandbox.microsoft_clients import authenticated_client
from app.sandbox.microsoft_consent import client_info, held_scopes, is_known_segment, issuer_of
from app.sandbox.microsoft_errors import EntraFault
from app.sandbox.pending import AuthorizationCode
from app.sandbox.scopes import MICROSOFT_OIDC, microsoft_scopes, unknown_scopes
from app.sandbox.settings import ClientRegistration
from app.sandbox.state import Sandbox

SHORTEST_LIFETIME_S = 3600
LONGEST_LIFETIME_S = 5399
"""Access tokens live 60 to 90 minutes by chance (configurable token lifetimes)."""
LONG_LIFETIME_S = 86400
"""Clients that can handle claims challenges get tokens of 20 to 28 hours (continuous access evaluation)."""
IDLE_DAYS = 90
DEFAULT_SCOPE = ".default"
REFRESH_WORDS = {
    RefreshProblem.UNKNOWN: "AADSTS70000: Provided grant is invalid or malformed.",
    RefreshProblem.REVOKED: (
        "AADSTS50173: The provided grant has expired due to it being revoked, a fresh auth token is needed."
    ),
    RefreshProblem.REUSED: "AADSTS50173: The provided grant has expired due to it being revoked.",
    RefreshProblem.FOREIGN: "AADSTS700005: The refresh token was issued to another client.",
    RefreshProblem.IDLE: "AADSTS700082: The refresh token has expired due to inactivity.",
}


@dataclass(frozen=True)
class _Issue:
    """What one token answer covers."""

    client: ClientRegistration
    account: Account
    grant: Grant
    asked: set[str]
    nonce: str | None = None


def answer_token_request(state: Sandbox, request: Request, segment: str) -> dict[str, Any]:
    """Return the JSON of a good token answer.

    Raises EntraFault for everything Microsoft refuses. The caller holds the sandbox's lock.
    """
    if not is_known_segment(state, segment):
        raise EntraFault("invalid_request", f"AADSTS90002: Tenant '{segment}' not found.")
    client = authenticated_client(state, request, segment)
    match request.form.get("grant_type"):
        case "authorization_code":
            return _exchange(state, request, client, segment)
        case "refresh_token":
            return _refresh(state, request, client)
        case other:
            words = f"AADSTS70003: The app requested an unsupported grant type '{other}'."
            raise EntraFault("unsupported_grant_type", words)


def _exchange(state: Sandbox, request: Request, client: ClientRegistration, segment: str) -> dict[str, Any]:
    code = _checked_code(state, request, client, segment)
    code.is_used = True
    grant = state.grants.find("microsoft", code.account_key, client.client_id)
    if grant is None or not grant.scopes:
        raise EntraFault("invalid_grant", REFRESH_WORDS[RefreshProblem.REVOKED], suberror="bad_token")
    account = state.accounts.by_key("microsoft", code.account_key)
    asked = _asked(state, request, account, client) or set(code.scopes)
    body = _token_answer(state, request, _Issue(client, account, grant, asked, code.nonce))
    if code.is_offline:
        body["refresh_token"] = issue_refresh(
            state,
            grant,
            asked | {"offline_access"},
            prefix=_refresh_prefix(account),
            family=code.family,
            covers_whole_grant=True,
        )
    return body


def _checked_code(state: Sandbox, request: Request, client: ClientRegistration, segment: str) -> AuthorizationCode:
    code = state.pending.code(request.form.get("code", ""))
    if code is None or code.provider != "microsoft" or code.client_id != client.client_id:
        raise EntraFault("invalid_grant", "AADSTS70000: The provided value for the 'code' parameter is not valid.")
    if code.is_used:
        raise EntraFault("invalid_grant", "AADSTS54005: OAuth2 Authorization code was already redeemed.")
    if code.expires_at <= state.clock.now():
        raise EntraFault("invalid_grant", "AADSTS70008: The provided authorization code has expired.")
    if code.tenant_segment != segment:
        words = "AADSTS700005: The provided Authorization Code is intended to use against other tenant."
        raise EntraFault("invalid_grant", words)
    if code.redirect_uri != request.form.get("redirect_uri"):
        words = "AADSTS500112: The reply address does not match the one provided when requesting the code."
        raise EntraFault("invalid_client", words)
    verifier = request.form.get("code_verifier")
    if (code.code_challenge is None) != (verifier is None) or not _proof_fits(code, verifier):
        words = "AADSTS501481: The Code_Verifier does not match the code_challenge supplied in the request."
        raise EntraFault("invalid_grant", words)
    return code


def _proof_fits(code: AuthorizationCode, verifier: str | None) -> bool:
    return verifier is None or verifier_matches(code, verifier)


def _refresh(state: Sandbox, request: Request, client: ClientRegistration) -> dict[str, Any]:
    try:
        grant, token = find_refresh(
            state,
            request.form.get("refresh_token", ""),
            provider="microsoft",
            client_id=client.client_id,
            idle_days=IDLE_DAYS,
        )
    except RefreshRefused as refusal:
        is_dead = refusal.problem in (RefreshProblem.REVOKED, RefreshProblem.REUSED)
        words = REFRESH_WORDS[refusal.problem]
        raise EntraFault("invalid_grant", words, suberror="bad_token" if is_dead else None) from refusal
    account = state.accounts.by_key("microsoft", grant.account_key)
    # Without a `scope` parameter the answer covers what the token was first asked for.
    asked = _asked(state, request, account, client) or set(token.scopes)
    body = _token_answer(state, request, _Issue(client, account, grant, asked))
    refreshed = use_refresh(state, grant, token, prefix=_refresh_prefix(account))
    if refreshed.replacement is not None:
        body["refresh_token"] = refreshed.replacement
    return body


def _asked(state: Sandbox, request: Request, account: Account, client: ClientRegistration) -> set[str]:
    """Return the scopes a token request names, checked; empty when it names none."""
    asked = set(microsoft_scopes(request.form.get("scope", "")))
    held = held_scopes(state, account, client.client_id)
    if DEFAULT_SCOPE in asked:
        return asked - {DEFAULT_SCOPE} | held
    if unknown := unknown_scopes("microsoft", asked):
        words = f"AADSTS70011: The provided value for the input parameter 'scope' is not valid: {' '.join(unknown)}"
        raise EntraFault("invalid_scope", words)
    if asked - held - MICROSOFT_OIDC:
        words = "AADSTS65001: The user or administrator has not consented to use the application."
        raise EntraFault("invalid_grant", words, suberror="consent_required")
    return asked


def _token_answer(state: Sandbox, request: Request, issue: _Issue) -> dict[str, Any]:
    # A Graph token carries everything granted for Graph, not only what was asked this time.
    held = held_scopes(state, issue.account, issue.client.client_id)
    scopes = held - {"offline_access"}
    lifetime_s = _lifetime_s(state, request)
    access_token = issue_access(state, issue.grant, scopes, prefix=_access_prefix(issue.account), lifetime_s=lifetime_s)
    body: dict[str, Any] = {
        "token_type": "Bearer",
        "scope": " ".join(sorted(scopes)),
        "expires_in": lifetime_s,
        "ext_expires_in": lifetime_s,
        "access_token": access_token,
    }
    if lifetime_s >= LONG_LIFETIME_S:
        body["refresh_in"] = lifetime_s // 2
    if "openid" in issue.asked:
        ring = "microsoft-personal" if issue.account.is_personal else "microsoft"
        body["id_token"] = signed_id_token(state, ring, _id_claims(state, issue))
    if request.form.get("client_info") == "1":
        body["client_info"] = client_info(issue.account)
    return body


def _id_claims(state: Sandbox, issue: _Issue) -> dict[str, Any]:
    account, now_s = issue.account, state.clock.timestamp()
    claims: dict[str, Any] = {
        "ver": "2.0",
        "iss": issuer_of(account.tid or ""),
        "sub": pairwise_subject(account, issue.client.client_id),
        "aud": issue.client.client_id,
        "iat": now_s,
        "nbf": now_s,
        "exp": now_s + 3600,
        "tid": account.tid,
        "uti": secrets.token_urlsafe(16),
        "rh": "0.",
    }
    if "profile" in issue.asked:
        claims |= {"oid": account.oid, "name": account.name, "preferred_username": account.email}
    if "email" in issue.asked and account.has_email_claim:
        claims["email"] = account.email
    return claims if issue.nonce is None else {**claims, "nonce": issue.nonce}


def pairwise_subject(account: Account, client_id: str) -> str:
    """Return the `sub` of an account for one client; another client sees another one (OIDC Core 8.1)."""
    digest = hashlib.sha256(f"{client_id} {account.tid} {account.oid}".encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _lifetime_s(state: Sandbox, request: Request) -> int:
    if state.runtime.access_token_lifetime_s is not None:
        return state.runtime.access_token_lifetime_s
    if _handles_challenges(request.form.get("claims", "")):
        return LONG_LIFETIME_S
    return random.randint(SHORTEST_LIFETIME_S, LONGEST_LIFETIME_S)


def _handles_challenges(claims: str) -> bool:
    try:
        capabilities = json.loads(claims)["access_token"]["xms_cc"]["values"]
    except (ValueError, KeyError, TypeError):
        return False
    return isinstance(capabilities, list) and "cp1" in [str(name).lower() for name in capabilities]


def _access_prefix(account: Account) -> str:
    # Clients must not read Graph tokens; those of work accounts look like a JWT but are none here.
    return "EwB4A" if account.is_personal else "eyJ0eXAi."


def _refresh_prefix(account: Account) -> str:
    return "M.C533_BAY.0.U.-" if account.is_personal else "1.AXoA"
