"""What Google's token endpoint means by its refusals.

Decided on ``error`` alone: the same revoked token is described in one way now and in another hours later, so
descriptions and subtypes only refine the reason. Source: Google's OAuth 2.0 pages on refresh token expiration.
"""

from __future__ import annotations

from app.domain.connections import Reason
from app.domain.errors import InvalidGrant, ProviderError, ProviderRejected, ProviderUnavailable
from app.providers.token_answers import Refusal

_SESSION_POLICY = frozenset({"invalid_rapt", "rapt_required"})
_ACCOUNT_GONE = ("account has been deleted", "account has been disabled", "account disabled")


def classify(refusal: Refusal) -> ProviderError:
    """Return the error that ``refusal`` stands for; nothing but ``error`` ends a grant."""
    if refusal.error == "invalid_grant" and refusal.status == 400:
        return InvalidGrant(refusal.suberror or refusal.error, reason=_reason(refusal))
    if refusal.error == "admin_policy_enforced":
        return InvalidGrant(refusal.error, reason=Reason.REVOKED_BY_ADMIN)
    if refusal.error == "unknown_error":
        return ProviderUnavailable(f"http_{refusal.status}")
    return ProviderRejected(refusal.error)


def _reason(refusal: Refusal) -> Reason:
    if refusal.suberror in _SESSION_POLICY:
        return Reason.SESSION_POLICY
    if refusal.description.lower().startswith(_ACCOUNT_GONE):
        return Reason.ACCOUNT_DISABLED
    return Reason.GRANT_REJECTED
