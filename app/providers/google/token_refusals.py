"""What Google's token endpoint means by its refusals.

Decided on ``error`` alone: the same revoked token is described in one way now and in another hours later, so
descriptions and subtypes only refine the reason.
"""

from __future__ import annotations

from app.domain.connections import Reason
from app.domain.errors import ProviderError
from app.providers.refusal_table import CREDENTIAL, OURS, WAIT, Table, act, error_for
from app.providers.token_answers import Refusal

TABLE: Table = {
    # "Refresh token expiration", Using OAuth 2.0 to Access Google APIs: revoked, unused for six months, password
    # changed with Gmail scopes, too many tokens, seven days in test mode, time-based access over.
    "invalid_grant": act(Reason.GRANT_REJECTED),
    # The same page: an administrator set a service to Restricted, or blocked the application.
    "admin_policy_enforced": act(Reason.REVOKED_BY_ADMIN),
    # RFC 6749 section 5.2; Google answers 401 for a wrong or disabled secret.
    "invalid_client": CREDENTIAL,
    # "Authorization errors", Using OAuth 2.0 for Web Server Applications: the client was deleted, and can be restored.
    "deleted_client": OURS,
    # RFC 6749 section 5.2; Google says so of a token that was issued to another client id: the client id was changed.
    "unauthorized_client": OURS,
    # The same page: the application is open to its own organisation alone.
    "org_internal": OURS,
    # RFC 6749 section 5.2: malformed calls, ours to mend.
    "invalid_request": OURS,
    "invalid_scope": OURS,
    "unsupported_grant_type": OURS,
    "redirect_uri_mismatch": OURS,
    # Not a code at all: a page of some server in between.
    "unknown_error": WAIT,
}
"""What is not in here is ours: nothing unknown ends a grant."""

SUBTYPE_REASONS = {
    # "Set session length for Google Cloud services", Workspace administrator help: sign in anew.
    "invalid_rapt": Reason.SESSION_POLICY,
    "rapt_required": Reason.SESSION_POLICY,
}
_ACCOUNT_GONE = ("account has been deleted", "account has been disabled", "account disabled")


def classify(refusal: Refusal) -> ProviderError:
    """Return the error that ``refusal`` stands for; nothing but ``error`` ends a grant."""
    if refusal.error == "invalid_grant":
        meaning = act(_reason(refusal)) if refusal.status == 400 else OURS
        return error_for(meaning, refusal, refusal.suberror or refusal.error)
    detail = f"http_{refusal.status}" if refusal.error == "unknown_error" else refusal.error
    return error_for(TABLE.get(refusal.error, OURS), refusal, detail)


def _reason(refusal: Refusal) -> Reason:
    if refusal.description.lower().startswith(_ACCOUNT_GONE):
        return Reason.ACCOUNT_DISABLED
    return SUBTYPE_REASONS.get(refusal.suberror, Reason.GRANT_REJECTED)
