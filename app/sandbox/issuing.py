"""Issue access and refresh tokens, and run refreshes under each kind of rotation."""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from app.sandbox.grants import AccessToken, Grant, RefreshState, RefreshToken, digest_of
from app.sandbox.state import Sandbox
from app.sandbox.token_ledger import note_issued

ACCESS_TOKEN_BYTES = 96
REFRESH_TOKEN_BYTES = 64
FORGET_EVERY = 256


class RefreshProblem(StrEnum):
    """Why a refresh token was refused."""

    UNKNOWN = "unknown"
    REVOKED = "revoked"
    REUSED = "reused"
    """It was replaced before; its whole family is dead now."""
    FOREIGN = "foreign"
    """It belongs to another client."""
    IDLE = "idle"
    """It was not used for too long."""


class RefreshRefused(Exception):
    """A refresh token that does not work; the token endpoint says so in its provider's words."""

    def __init__(self, problem: RefreshProblem) -> None:
        """Keep the reason."""
        super().__init__(problem.value)
        self.problem = problem


@dataclass(frozen=True)
class Refreshed:
    """A refresh token that was accepted, and what replaces it."""

    grant: Grant
    token: RefreshToken
    replacement: str | None
    """Text of the new refresh token; None when the old one stays."""


def issue_access(state: Sandbox, grant: Grant, scopes: set[str], *, prefix: str, lifetime_s: int) -> str:
    """Keep a new access token and return its text."""
    now = state.clock.now()
    text = prefix + secrets.token_urlsafe(ACCESS_TOKEN_BYTES)
    token = AccessToken(digest_of(text), grant.grant_id, set(scopes), now, now + timedelta(seconds=lifetime_s))
    state.grants.access_tokens[token.digest] = token
    note_issued(access=token.digest)
    _forget_dead(state)
    return text


def issue_refresh(
    state: Sandbox, grant: Grant, scopes: set[str], *, prefix: str, family: str, covers_whole_grant: bool
) -> str:
    """Keep a new refresh token and return its text."""
    now = state.clock.now()
    text = prefix + secrets.token_urlsafe(REFRESH_TOKEN_BYTES)
    state.grants.refresh_tokens[digest_of(text)] = RefreshToken(
        digest=digest_of(text),
        grant_id=grant.grant_id,
        family=family,
        scopes=set(scopes),
        issued_at=now,
        last_used_at=now,
        covers_whole_grant=covers_whole_grant,
    )
    note_issued(refresh=digest_of(text), family=family)
    return text


def find_refresh(
    state: Sandbox, text: str, *, provider: str, client_id: str, idle_days: int | None
) -> tuple[Grant, RefreshToken]:
    """Return grant and record of a refresh token that may be used now, changing nothing unless it is a reuse.

    `idle_days`: how long it may lie unused; None: for ever. Raises RefreshRefused.
    """
    token = state.grants.refresh_tokens.get(digest_of(text))
    grant = state.grants.grants[token.grant_id] if token else None
    if token is None or grant is None or grant.provider != provider:
        raise RefreshRefused(RefreshProblem.UNKNOWN)
    if grant.client_id != client_id:
        raise RefreshRefused(RefreshProblem.FOREIGN)
    if token.state is RefreshState.REVOKED or not grant.scopes:
        raise RefreshRefused(RefreshProblem.REVOKED)
    if token.state is RefreshState.ROTATED and not _old_one_works(state, grant, token):
        state.grants.revoke_family(token.family)
        raise RefreshRefused(RefreshProblem.REUSED)
    if idle_days is not None and state.clock.now() - token.last_used_at > timedelta(days=idle_days):
        raise RefreshRefused(RefreshProblem.IDLE)
    return grant, token


def use_refresh(state: Sandbox, grant: Grant, token: RefreshToken, *, prefix: str) -> Refreshed:
    """Mark a refresh token as used now and replace it when the provider's rotation says so."""
    now = state.clock.now()
    token.last_used_at = now
    rotation = state.runtime.refresh_rotation[grant.provider]
    if rotation == "none" and not grant.rotates_next:
        return Refreshed(grant, token, None)
    grant.rotates_next = False
    if token.state is RefreshState.LIVE:
        token.state, token.rotated_at = RefreshState.ROTATED, now
    replacement = issue_refresh(
        state,
        grant,
        token.scopes,
        prefix=prefix,
        family=token.family,
        covers_whole_grant=token.covers_whole_grant,
    )
    return Refreshed(grant, token, replacement)


def _old_one_works(state: Sandbox, grant: Grant, token: RefreshToken) -> bool:
    rotation = state.runtime.refresh_rotation[grant.provider]
    if rotation == "grace" and token.rotated_at is not None:
        return state.clock.now() - token.rotated_at <= timedelta(seconds=state.runtime.rotation_grace_s)
    return rotation in ("none", "overlap")


def _forget_dead(state: Sandbox) -> None:
    # A day after its end an access token is told from an unknown one by nobody; keeping them all would grow for ever.
    tokens = state.grants.access_tokens
    # Looking at all of them for each new one would make a crowd's tokens dear.
    if len(tokens) % FORGET_EVERY:
        return
    horizon = state.clock.now() - timedelta(days=1)
    for digest in [d for d, t in tokens.items() if t.expires_at < horizon]:
        del tokens[digest]
