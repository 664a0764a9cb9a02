"""The error tables of the providers."""

import pytest

from app.domain.connections import Reason
from app.domain.errors import InvalidGrant, ProviderRejected, ProviderThrottled, ProviderUnavailable
from app.providers.credential_list import CredentialRefused
from app.providers.google.token_refusals import TABLE as GOOGLE_ERRORS
from app.providers.google.token_refusals import classify as google
from app.providers.microsoft.token_refusals import CODES as ENTRA_CODES
from app.providers.microsoft.token_refusals import ERRORS as ENTRA_ERRORS
from app.providers.microsoft.token_refusals import SUBERRORS as ENTRA_SUBERRORS
from app.providers.microsoft.token_refusals import classify as entra
from app.providers.oidc.token_refusals import TABLE as OIDC_ERRORS
from app.providers.oidc.token_refusals import classify as oidc
from app.providers.refusal_table import Kind
from app.providers.token_answers import Refusal

OURS = ["invalid_client", "unauthorized_client", "invalid_scope", "invalid_request", "unsupported_grant_type"]


@pytest.mark.parametrize("classify", [google, entra, oidc])
@pytest.mark.parametrize("error", OURS)
def test_what_concerns_our_registration_never_ends_a_grant(classify, error):
    assert isinstance(classify(Refusal(400, error)), ProviderRejected)
    assert isinstance(classify(Refusal(401, error)), ProviderRejected)


@pytest.mark.parametrize("classify", [google, entra, oidc])
def test_an_unreadable_refusal_is_an_outage(classify):
    assert isinstance(classify(Refusal(400, "unknown_error")), ProviderUnavailable)


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (Refusal(400, "invalid_grant", description="Token has been expired or revoked."), Reason.GRANT_REJECTED),
        (Refusal(400, "invalid_grant", description="Bad Request"), Reason.GRANT_REJECTED),
        (Refusal(400, "invalid_grant", "invalid_rapt"), Reason.SESSION_POLICY),
        (Refusal(400, "invalid_grant", "rapt_required"), Reason.SESSION_POLICY),
        (Refusal(400, "invalid_grant", "something_new"), Reason.GRANT_REJECTED),
        (Refusal(400, "invalid_grant", description="Account has been deleted"), Reason.ACCOUNT_DISABLED),
        (Refusal(400, "admin_policy_enforced"), Reason.REVOKED_BY_ADMIN),
    ],
)
def test_google_reasons(refusal, reason):
    error = google(refusal)

    assert isinstance(error, InvalidGrant)
    assert error.reason is reason


@pytest.mark.parametrize("error", ["deleted_client", "redirect_uri_mismatch", "org_internal"])
def test_google_registration_faults(error):
    assert isinstance(google(Refusal(401, error)), ProviderRejected)


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (Refusal(400, "invalid_grant", "bad_token", (50173,)), Reason.CREDENTIAL_CHANGED),
        (Refusal(400, "invalid_grant", "token_expired", (700082,)), Reason.EXPIRED_INACTIVE),
        (Refusal(400, "invalid_grant", "token_expired"), Reason.EXPIRED_INACTIVE),
        (Refusal(400, "invalid_grant", "", (70043,)), Reason.SESSION_POLICY),
        (Refusal(400, "invalid_grant", "", (50057,)), Reason.ACCOUNT_DISABLED),
        (Refusal(400, "invalid_grant", "consent_required", (65001,)), Reason.CONSENT_NEEDED),
        (Refusal(400, "consent_required"), Reason.CONSENT_NEEDED),
        (Refusal(400, "interaction_required", "basic_action", (50076,)), Reason.SESSION_POLICY),
        (Refusal(400, "interaction_required"), Reason.SESSION_POLICY),
        (Refusal(400, "invalid_grant", "basic_action", (99999,)), Reason.SESSION_POLICY),
        (Refusal(400, "access_denied", "", (53003,)), Reason.SESSION_POLICY),
        (Refusal(400, "invalid_grant", "", (50105,)), Reason.REVOKED_BY_ADMIN),
        (Refusal(400, "invalid_grant", "bad_token", (70000,)), Reason.GRANT_REJECTED),
        (Refusal(400, "invalid_grant"), Reason.GRANT_REJECTED),
    ],
)
def test_entra_reasons(refusal, reason):
    error = entra(refusal)

    assert isinstance(error, InvalidGrant)
    assert error.reason is reason


@pytest.mark.parametrize("code", [50196, 90055])
def test_entra_throttling_in_disguise_is_throttling(code):
    error = entra(Refusal(400, "invalid_grant", "bad_token", (code,), retry_after_s=30))

    assert isinstance(error, ProviderThrottled)
    assert error.retry_after_s == 30


@pytest.mark.parametrize("code", [90033, 50033, 90006])
def test_entra_transient_faults_are_outages(code):
    assert isinstance(entra(Refusal(400, "invalid_grant", "", (code,))), ProviderUnavailable)


@pytest.mark.parametrize("code", [700005, 700084])
def test_entra_registration_faults_in_disguise_are_ours(code):
    assert isinstance(entra(Refusal(400, "invalid_grant", "", (code,))), ProviderRejected)


def test_entra_details_name_the_code():
    assert entra(Refusal(401, "invalid_client", "", (7000222,))).detail == "AADSTS7000222"


@pytest.mark.parametrize("status", [401, 403, 500])
def test_invalid_grant_with_another_status_is_no_verdict_elsewhere(status):
    assert not isinstance(google(Refusal(status, "invalid_grant")), InvalidGrant)
    assert not isinstance(oidc(Refusal(status, "invalid_grant")), InvalidGrant)


# --- the tables, entry by entry

EXPECTED = {
    Kind.ACT: InvalidGrant,
    Kind.WAIT: ProviderUnavailable,
    Kind.SLOW_DOWN: ProviderThrottled,
    Kind.OURS: ProviderRejected,
    Kind.CREDENTIAL: CredentialRefused,
}


@pytest.mark.parametrize(
    ("classify", "error", "meaning"),
    [
        (classify, error, meaning)
        for classify, table in ((google, GOOGLE_ERRORS), (entra, ENTRA_ERRORS), (oidc, OIDC_ERRORS))
        for error, meaning in table.items()
    ],
)
def test_every_error_means_what_its_table_says(classify, error, meaning):
    raised = classify(Refusal(400, error, retry_after_s=9))

    assert type(raised) is EXPECTED[meaning.kind]
    assert getattr(raised, "reason", None) == (meaning.reason if meaning.kind is Kind.ACT else None)


@pytest.mark.parametrize(("code", "meaning"), ENTRA_CODES.items())
@pytest.mark.parametrize("error", ["invalid_grant", "interaction_required", "invalid_client", "unauthorized_client"])
def test_every_entra_code_gives_the_reason_and_only_those_that_spare_a_grant_decide(error, code, meaning):
    raised = entra(Refusal(400, error, "", (code,), retry_after_s=9))

    if meaning.kind is not Kind.ACT:
        assert type(raised) is EXPECTED[meaning.kind]
    elif error in ("invalid_grant", "interaction_required"):
        assert raised.reason is meaning.reason
    else:
        assert isinstance(raised, ProviderRejected)
    assert raised.detail == f"AADSTS{code}"


@pytest.mark.parametrize(
    ("codes", "error"),
    [
        ((50196,), ProviderThrottled),
        ((50173, 50196), ProviderThrottled),
        ((90033,), ProviderUnavailable),
        ((7000215,), CredentialRefused),
        ((7000222,), CredentialRefused),
        ((700027,), CredentialRefused),
        ((700016,), ProviderRejected),
        ((700084,), ProviderRejected),
        ((700024,), ProviderRejected),
        ((65001,), InvalidGrant),
        ((50076,), InvalidGrant),
        ((50057,), InvalidGrant),
    ],
)
def test_entra_codes_that_matter_most(codes, error):
    assert type(entra(Refusal(400, "invalid_grant", "", codes))) is error


@pytest.mark.parametrize(("suberror", "reason"), ENTRA_SUBERRORS.items())
def test_every_entra_suberror_gives_its_reason_where_no_code_does(suberror, reason):
    assert entra(Refusal(400, "invalid_grant", suberror)).reason is reason
    assert entra(Refusal(400, "invalid_grant", suberror, (99999,))).reason is reason
    assert entra(Refusal(400, "invalid_grant", suberror, (50057,))).reason is Reason.ACCOUNT_DISABLED


def test_a_refresh_token_of_another_client_is_our_fault():
    assert type(entra(Refusal(400, "invalid_grant", "client_mismatch"))) is ProviderRejected


@pytest.mark.parametrize("classify", [google, entra, oidc])
def test_what_no_table_knows_is_ours(classify):
    assert type(classify(Refusal(400, "something_new"))) is ProviderRejected
