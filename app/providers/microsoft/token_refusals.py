"""What Entra's token endpoint means by its refusals.

Decided by status, ``error`` and ``suberror``; Microsoft calls the numeric codes diagnostics that may change. So a
code that asks the person to act gives the reason and no more. Codes that say "wait" or "ours" do decide: throttling
that arrives as ``invalid_grant`` can only be told by its code, and taking a fault of ours for the end of a grant would
cost people their connections. Source: Microsoft identity platform, "authentication and authorization error codes",
where nothing else is named.
"""

from __future__ import annotations

from app.domain.connections import Reason
from app.domain.errors import ProviderError
from app.providers.refusal_table import CREDENTIAL, OURS, SLOW_DOWN, WAIT, Kind, Meaning, Table, act, error_for
from app.providers.token_answers import Refusal

CODES: dict[int, Meaning] = {
    # --- act
    # Consent is missing for a scope, was declined, or is an administrator's to give.
    **dict.fromkeys((65001, 65004, 90094, 90095, 90093, 90008), act(Reason.CONSENT_NEEDED)),
    # Sessions or grants revoked, by an administrator's reset of the password above all.
    **dict.fromkeys((50173, 50132, 50133), act(Reason.CREDENTIAL_CHANGED)),
    # Unused for 90 days ("refresh tokens": lifetime), or otherwise expired.
    **dict.fromkeys((700082, 70008), act(Reason.EXPIRED_INACTIVE)),
    # The account is disabled, gone, not in this tenant, or another one than asked for.
    **dict.fromkeys((50057, 50034, 50020, 16000, 90072), act(Reason.ACCOUNT_DISABLED)),
    # The tenant lets only assigned people use the application.
    50105: act(Reason.REVOKED_BY_ADMIN),
    # Multi-factor sign-in: asked for, to be set up, expired, or with an outside provider.
    **dict.fromkeys((50076, 50079, 50072, 50074, 50078, 50158), act(Reason.SESSION_POLICY)),
    # Sign-in frequency, and sessions that ended.
    **dict.fromkeys((70043, 50089, 50085), act(Reason.SESSION_POLICY)),
    # Conditional Access: device, location, risk.
    **dict.fromkeys((53000, 53001, 53003, 530032, 53011, 50131, 50097), act(Reason.SESSION_POLICY)),
    # The grant is malformed or unknown; the code was redeemed before; PKCE does not fit (the code's leg alone).
    **dict.fromkeys((70000, 54005, 501481, 50147, 501491), act(Reason.GRANT_REJECTED)),
    # --- wait
    # Too many like requests of one client ("loop detected"), often as ``invalid_grant``; the tenant is throttled.
    **dict.fromkeys((50196, 90055), SLOW_DOWN),
    # "Transient" in the list of codes: try again.
    **dict.fromkeys((90033, 90006, 90024, 90012, 90090, 50033, 50087, 40010), WAIT),
    # --- ours: this credential
    # Secret wrong, secret expired; certificate not registered, its signature wrong, its subject not accepted.
    **dict.fromkeys((7000215, 7000222, 700027, 50012, 700030), CREDENTIAL),
    # The assertion is malformed, or not within its time: the latter is this machine's clock, and no other key mends it.
    50027: CREDENTIAL,
    700024: OURS,
    # --- ours
    # No credential came, or one for a registration without.
    **dict.fromkeys((7000218, 700025), OURS),
    # The application is unknown or disabled in the tenant, or asked for the wrong tenant.
    **dict.fromkeys((700016, 700011, 70001, 7000112), OURS),
    # Its registration lacks the permission or the resource, or is misconfigured.
    **dict.fromkeys((65005, 650052, 650053, 650054, 650055, 650056, 650057), OURS),
    # A code of another authority; a redirect URI registered as single-page application: its tokens last 24 hours.
    **dict.fromkeys((700005, 700084), OURS),
    # The redirect URI is not registered.
    50011: OURS,
    # Scopes: unknown, none, of several resources.
    **dict.fromkeys((70011, 28002, 28003, 700022, 700023), OURS),
    # No such tenant, or one of a national cloud.
    **dict.fromkeys((90002, 90038, 900382, 900432), OURS),
    # The audience of the registration does not fit the tenant segment.
    **dict.fromkeys((50194, 9002332, 90130, 9001023), OURS),
    # An on-behalf-of assertion expired: no flow of ours.
    500133: OURS,
}

SUBERRORS: dict[str, Reason] = {
    # "Handle errors and exceptions in MSAL": the classes of what the person has to do.
    "consent_required": Reason.CONSENT_NEEDED,
    "basic_action": Reason.SESSION_POLICY,
    "additional_action": Reason.SESSION_POLICY,
    "message_only": Reason.SESSION_POLICY,
    "user_password_expired": Reason.CREDENTIAL_CHANGED,
    # As seen on the wire, and in msal's list of what it keeps to itself.
    "token_expired": Reason.EXPIRED_INACTIVE,
    "bad_token": Reason.GRANT_REJECTED,
    "protection_policy_required": Reason.SESSION_POLICY,
    "device_authentication_failed": Reason.SESSION_POLICY,
}

ERRORS: Table = {
    # RFC 6749 section 5.2.
    "invalid_grant": act(Reason.GRANT_REJECTED),
    "invalid_client": CREDENTIAL,
    # OpenID Connect Core section 3.1.2.6, which Entra uses here, too.
    "interaction_required": act(Reason.SESSION_POLICY),
    "login_required": act(Reason.SESSION_POLICY),
    "consent_required": act(Reason.CONSENT_NEEDED),
    # RFC 6749 section 4.1.2.1; here for Conditional Access and assignment.
    "access_denied": act(Reason.GRANT_REJECTED),
    # Not a code at all: a page of some server in between.
    "unknown_error": WAIT,
}
"""What is not in here is ours: nothing unknown ends a grant."""

CLIENT_MISMATCH = "client_mismatch"
"""A refresh token of another client id (msal's list): the client id was changed, the grants are what they were."""


def classify(refusal: Refusal) -> ProviderError:
    """Return the error that ``refusal`` stands for."""
    detail = f"AADSTS{refusal.codes[0]}" if refusal.codes else refusal.suberror or refusal.error
    return error_for(_meaning(refusal), refusal, detail)


def _meaning(refusal: Refusal) -> Meaning:
    by_code = [CODES[code] for code in refusal.codes if code in CODES]
    decisive = next((meaning for meaning in by_code if meaning.kind is not Kind.ACT), None)
    if decisive is not None:
        return decisive
    if refusal.suberror == CLIENT_MISMATCH:
        return OURS
    by_error = ERRORS.get(refusal.error, OURS)
    if by_error.kind is not Kind.ACT:
        return by_error
    by_suberror = act(SUBERRORS[refusal.suberror]) if refusal.suberror in SUBERRORS else by_error
    return by_code[0] if by_code else by_suberror
