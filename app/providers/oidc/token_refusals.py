"""What a standard token endpoint means by its refusals. Source: RFC 6749 section 5.2, where nothing else is named."""

from __future__ import annotations

from app.domain.connections import Reason
from app.domain.errors import ProviderError
from app.providers.refusal_table import CREDENTIAL, OURS, WAIT, Table, act, error_for
from app.providers.token_answers import Refusal

TABLE: Table = {
    "invalid_grant": act(Reason.GRANT_REJECTED),
    # OpenID Connect Core section 3.1.2.6; meant for the browser's leg, sent here by servers with session policies.
    "interaction_required": act(Reason.SESSION_POLICY),
    "login_required": act(Reason.SESSION_POLICY),
    "account_selection_required": act(Reason.SESSION_POLICY),
    "consent_required": act(Reason.CONSENT_NEEDED),
    # Never ends a grant: a server said so while its own database was down.
    "invalid_client": CREDENTIAL,
    "unauthorized_client": OURS,
    "invalid_request": OURS,
    "invalid_scope": OURS,
    "unsupported_grant_type": OURS,
    # RFC 8707 section 2: a resource we do not ask for.
    "invalid_target": OURS,
    # RFC 9449 section 8: proofs of possession, which we do not send.
    "use_dpop_nonce": OURS,
    "invalid_dpop_proof": OURS,
    # Not a code at all: a page of some server in between.
    "unknown_error": WAIT,
}
"""What is not in here is ours: nothing unknown ends a grant."""


def classify(refusal: Refusal) -> ProviderError:
    """Return the error that ``refusal`` stands for."""
    meaning = TABLE.get(refusal.error, OURS)
    if refusal.error == "invalid_grant" and refusal.status != 400:
        meaning = OURS
    detail = f"http_{refusal.status}" if refusal.error == "unknown_error" else refusal.error
    return error_for(meaning, refusal, detail)
