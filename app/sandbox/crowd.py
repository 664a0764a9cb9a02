"""Many people at once who have granted something already, for experiments with crowds; and what all of them hold."""

import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.sandbox.accounts import Account
from app.sandbox.grants import Grant
from app.sandbox.issuing import issue_access, issue_refresh
from app.sandbox.settings import PROVIDERS, Provider
from app.sandbox.state import Sandbox


@dataclass(frozen=True)
class Member:
    """One person of a crowd, with the tokens a client would hold."""

    account: str
    """Key of the account."""
    subject: str
    email: str
    access_token: str
    refresh_token: str


def settle_crowd(state: Sandbox, provider: str, scopes: Sequence[str], *, count: int, lifetime_s: int) -> list[Member]:
    """Make `count` accounts at `provider`, each with a grant to its first client and one token of each kind.

    `scopes` as `Access` spells them. Raises ValueError for an unknown provider or one without a client.
    """
    name = next((p for p in PROVIDERS if p == provider), None)
    client = next((c for c in state.settings.clients if c.provider == name), None)
    if name is None or client is None:
        raise ValueError("unknown provider, or one without a client")
    crowd = secrets.token_hex(4)
    members = []
    with state.lock:
        accounts = [_account(name, f"{crowd}-{number}", state) for number in range(count)]
        state.accounts.add(accounts)
        for account in accounts:
            grant = Grant(secrets.token_hex(8), name, account.key, client.client_id, set(scopes), state.clock.now())
            state.grants.grants[grant.grant_id] = grant
            members.append(_member(state, account, grant, lifetime_s))
    return members


def _account(provider: Provider, key: str, state: Sandbox) -> Account:
    tenant = next(iter(state.accounts.tenants.values()))
    # Microsoft's object ids are GUIDs, and clients check that.
    subject = str(uuid.uuid4()) if provider == "microsoft" else f"crowd-{key}"
    return Account(
        provider, key, subject, f"{key}@example.com", "Crowd", key, "UTC",
        tid=tenant.tid if provider == "microsoft" else None,
    )  # fmt: skip


def _member(state: Sandbox, account: Account, grant: Grant, lifetime_s: int) -> Member:
    return Member(
        account.key,
        account.subject,
        account.email,
        issue_access(state, grant, grant.scopes - {"offline_access"}, prefix="", lifetime_s=lifetime_s),
        issue_refresh(
            state, grant, grant.scopes, prefix="", family=secrets.token_hex(8), covers_whole_grant=True
        ),
    )  # fmt: skip


def ledger_of(state: Sandbox) -> dict[str, Any]:
    """Return all token calls and all tokens as JSON, tokens by digest."""
    with state.lock:
        grants = state.grants.grants
        return {
            "calls": state.token_ledger.as_json(),
            "refresh_tokens": [
                {
                    "digest": token.digest,
                    "provider": grants[token.grant_id].provider,
                    "account": grants[token.grant_id].account_key,
                    "family": token.family,
                    "state": token.state.value,
                    "rotated_at": token.rotated_at.isoformat() if token.rotated_at else None,
                }
                for token in state.grants.refresh_tokens.values()
            ],
            "access_tokens": [
                {
                    "digest": token.digest,
                    "provider": grants[token.grant_id].provider,
                    "account": grants[token.grant_id].account_key,
                    "expires_at": token.expires_at.isoformat(),
                }
                for token in state.grants.access_tokens.values()
            ],
        }
