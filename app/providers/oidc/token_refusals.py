"""What a standard token endpoint means by its refusals. Source: RFC 6749 section 5.2."""

from __future__ import annotations

from app.domain.connections import Reason
from app.domain.errors import InvalidGrant, ProviderError, ProviderRejected, ProviderUnavailable
from app.providers.token_answers import Refusal


def classify(refusal: Refusal) -> ProviderError:
    """Return the error that ``refusal`` stands for.

    ``invalid_client`` never ends a grant: a provider said so while its database was down.
    """
    if refusal.error == "invalid_grant" and refusal.status == 400:
        return InvalidGrant(refusal.error, reason=Reason.GRANT_REJECTED)
    if refusal.error == "interaction_required":
        return InvalidGrant(refusal.error, reason=Reason.SESSION_POLICY)
    if refusal.error == "consent_required":
        return InvalidGrant(refusal.error, reason=Reason.CONSENT_NEEDED)
    if refusal.error == "unknown_error":
        return ProviderUnavailable(f"http_{refusal.status}")
    return ProviderRejected(refusal.error)
