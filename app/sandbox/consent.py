"""Decide authorization requests: for the pages a person clicks through, and for tests that have no browser."""

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

from app.sandbox.accounts import Account
from app.sandbox.authorization import AuthorizationRequest, Callback, ConsentRules
from app.sandbox.fault_plan import FaultKind
from app.sandbox.google_consent import GoogleConsent
from app.sandbox.microsoft_consent import MicrosoftConsent
from app.sandbox.oidc_consent import OIDCConsent
from app.sandbox.state import Sandbox

RULES: Mapping[str, ConsentRules] = {
    "google": GoogleConsent(),
    "microsoft": MicrosoftConsent(),
    "oidc": OIDCConsent(),
}


def hinted_account(state: Sandbox, rules: ConsentRules, asked: AuthorizationRequest) -> Account | None:
    """Return the account that `login_hint` names by address or subject, None when it names none to choose."""
    hint = asked.login_hint or ""
    choices = rules.accounts(state, asked)
    return next((a for a in choices if hint.lower() == a.email.lower() or hint == a.subject), None)


def settle(
    state: Sandbox, asked: AuthorizationRequest, account: Account, *, allows: bool, ticked: set[str] | None = None
) -> Callback:
    """Carry out a person's decision and return the callback.

    `ticked`: the boxed scopes left ticked; None: all of them. An obstacle turns consent into a refusal.
    """
    rules = RULES[asked.provider]
    obstacle = rules.obstacle(state, asked, account)
    if obstacle is not None or not allows:
        return rules.refuse(state, asked, "access_denied", obstacle)
    boxed = rules.question(state, asked, account).boxed
    unticked = boxed - ticked if ticked is not None else frozenset()
    return rules.allow(state, asked, account, set(asked.scopes) - unticked)


def settle_silently(state: Sandbox, asked: AuthorizationRequest, session_key: str | None) -> Callback:
    """Answer `prompt=none`: a code when the account is known and nothing is left to ask, else an error."""
    rules = RULES[asked.provider]
    choices = {account.key: account for account in rules.accounts(state, asked)}
    account = hinted_account(state, rules, asked) or choices.get(session_key or "")
    if account is None:
        return rules.refuse(state, asked, "login_required", None)
    if rules.obstacle(state, asked, account) or rules.question(state, asked, account).scopes:
        return rules.refuse(state, asked, "interaction_required", None)
    return rules.allow(state, asked, account, set(asked.scopes))


def meet_fault(state: Sandbox, asked: AuthorizationRequest, account: Account) -> AuthorizationRequest | Callback:
    """Apply a fault scripted for `<provider>.authorize`: return the request to go on with, or a forced callback."""
    fault = state.faults.take(f"{asked.provider}.authorize", account.key)
    if fault is None:
        return asked
    if fault.kind is FaultKind.ADMIN_CONSENT:
        return replace(asked, needs_admin=True)
    if fault.kind is FaultKind.OAUTH_ERROR:
        return RULES[asked.provider].refuse(state, asked, fault.error, fault.description)
    return asked


def approve(
    state: Sandbox, url: str, account_key: str, *, allows: bool = True, unticked: frozenset[str] = frozenset()
) -> Callback:
    """Walk an authorization URL as a person would, without a browser.

    Raises PageFault or CallbackFault for a bad request, UnknownAccountError, and ValueError for a foreign path.
    """
    parts = urlsplit(url)
    provider, tenant = _endpoint(parts.path)
    rules = RULES[provider]
    asked = rules.read(state, dict(parse_qsl(parts.query, keep_blank_values=True)), tenant)
    account = state.accounts.by_key(provider, account_key)
    met = meet_fault(state, asked, account)
    if isinstance(met, Callback):
        return met
    boxed = rules.question(state, met, account).boxed
    return settle(state, met, account, allows=allows, ticked=set(boxed - unticked))


def _endpoint(path: str) -> tuple[str, str | None]:
    if path == "/o/oauth2/v2/auth":
        return "google", None
    if path == "/idp/authorize":
        return "oidc", None
    segments = path.strip("/").split("/")
    if segments[1:] == ["oauth2", "v2.0", "authorize"]:
        return "microsoft", segments[0]
    raise ValueError(f"not an authorization endpoint: {path}")
