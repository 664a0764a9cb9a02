"""What Entra's token endpoint means by its refusals.

Decided by status, ``error`` and ``suberror``; Microsoft calls the numeric codes diagnostics that may change, so
they refine the reason, with one exception: throttling that arrives as ``invalid_grant`` can only be told by its code.
Source: Microsoft identity platform, "authentication and authorization error codes".
"""

from __future__ import annotations

from app.domain.connections import Reason
from app.domain.errors import InvalidGrant, ProviderError, ProviderRejected, ProviderThrottled, ProviderUnavailable
from app.providers.token_answers import Refusal

_THROTTLED = frozenset({50196, 90055})
_TRANSIENT = frozenset({90033, 90006, 90024, 90012, 90090, 50033, 50087, 40010})
_CODE_OF_ANOTHER_AUTHORITY = frozenset({700005, 700084})
"""Wrong tenant segment; redirect URI registered as single-page application: registration faults."""

_GRANT_ERRORS = frozenset(
    {"invalid_grant", "interaction_required", "consent_required", "login_required", "access_denied"}
)

_REASONS: tuple[tuple[Reason, frozenset[int]], ...] = (
    (Reason.CONSENT_NEEDED, frozenset({65001, 65004, 90094, 90095, 90093, 90008})),
    (Reason.CREDENTIAL_CHANGED, frozenset({50173, 50132, 50133})),
    (Reason.EXPIRED_INACTIVE, frozenset({700082, 70008})),
    (Reason.ACCOUNT_DISABLED, frozenset({50057, 50034, 50020, 16000, 90072})),
    (Reason.REVOKED_BY_ADMIN, frozenset({50105})),
    (
        Reason.SESSION_POLICY,
        frozenset(
            {50076, 50079, 50072, 50074, 50078, 50158, 70043, 50089, 50085}
            | {53000, 53001, 53003, 530032, 53011, 50131, 50097}
        ),
    ),
)
_SUBERROR_REASONS = {
    "consent_required": Reason.CONSENT_NEEDED,
    "token_expired": Reason.EXPIRED_INACTIVE,
    "basic_action": Reason.SESSION_POLICY,
    "additional_action": Reason.SESSION_POLICY,
    "user_password_expired": Reason.CREDENTIAL_CHANGED,
}
_ERROR_REASONS = {
    "consent_required": Reason.CONSENT_NEEDED,
    "interaction_required": Reason.SESSION_POLICY,
    "login_required": Reason.SESSION_POLICY,
}


def classify(refusal: Refusal) -> ProviderError:
    """Return the error that ``refusal`` stands for."""
    codes, detail = set(refusal.codes), _detail(refusal)
    if codes & _THROTTLED:
        return ProviderThrottled(detail, retry_after_s=refusal.retry_after_s)
    if codes & _TRANSIENT or refusal.error == "unknown_error":
        return ProviderUnavailable(detail)
    if refusal.error in _GRANT_ERRORS and not codes & _CODE_OF_ANOTHER_AUTHORITY:
        return InvalidGrant(detail, reason=_reason(refusal))
    return ProviderRejected(detail)


def _reason(refusal: Refusal) -> Reason:
    by_code = next((reason for reason, codes in _REASONS if codes.intersection(refusal.codes)), None)
    by_word = _SUBERROR_REASONS.get(refusal.suberror) or _ERROR_REASONS.get(refusal.error)
    return by_code or by_word or Reason.GRANT_REJECTED


def _detail(refusal: Refusal) -> str:
    return f"AADSTS{refusal.codes[0]}" if refusal.codes else refusal.suberror or refusal.error
