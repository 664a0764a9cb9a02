"""Discovery documents: what is believed and for how long."""

import pytest

from app.domain.errors import ProviderRejected, ProviderUnavailable
from app.providers.metadata import MetadataSource
from tests.unit.providers.scripted_http import ScriptedHTTP, SetClock

ISSUER = "https://idp.example.test"
WELL_KNOWN = f"{ISSUER}/.well-known/openid-configuration"


def document(**changes):
    whole = {
        "issuer": ISSUER,
        "authorization_endpoint": f"{ISSUER}/authorize",
        "token_endpoint": f"{ISSUER}/token",
        "jwks_uri": f"{ISSUER}/jwks",
        "code_challenge_methods_supported": ["S256"],
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not ...}


class Setting:
    def __init__(self, served, **options):
        self.http, self.clock = ScriptedHTTP(), SetClock()
        self.http.serve(WELL_KNOWN, served)
        self.source = MetadataSource(self.http, ISSUER, self.clock, **options)


def test_an_ordinary_document_is_read():
    metadata = Setting(
        document(
            id_token_signing_alg_values_supported=["ES256", 7],
            authorization_response_iss_parameter_supported=True,
            revocation_endpoint=f"{ISSUER}/revoke",
        )
    ).source.get()

    assert metadata.id_token_algorithms == {"ES256"}
    assert metadata.token_auth_methods == {"client_secret_basic"}
    assert metadata.promises_iss
    assert metadata.revocation_endpoint == f"{ISSUER}/revoke"
    assert metadata.userinfo_endpoint is None


@pytest.mark.parametrize("issuer", [..., None, ISSUER + "/", ISSUER.upper(), "https://other.example.test", [ISSUER]])
def test_t11_another_issuer_is_rejected(issuer):
    with pytest.raises(ProviderRejected, match="discovery_issuer"):
        Setting(document(issuer=issuer)).source.get()


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example.test/token",
        "http://idp.example.test/token",
        "https://idp.example.test:8443/token",
        "https://idp.example.test.evil.example/token",
        "https://user@idp.example.test/token",
        "https://idp.example.test/token#x",
        "https://10.0.0.1/token",
        "https://[::1/token",
        "/token",
        7,
        [],
    ],
)
@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"])
def test_t11_an_endpoint_elsewhere_is_rejected(name, address):
    with pytest.raises(ProviderRejected, match=f"discovery_{name}"):
        Setting(document(**{name: address})).source.get()


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
def test_a_needed_endpoint_must_be_there(name):
    with pytest.raises(ProviderRejected, match=f"discovery_{name}"):
        Setting(document(**{name: ...})).source.get()


def test_the_operator_can_name_more_hosts():
    other = "https://keys.example.test/jwks"

    source = Setting(document(jwks_uri=other), allowed_hosts=frozenset({"keys.example.test"})).source

    assert source.get().jwks_uri == other


@pytest.mark.parametrize("methods", [["plain"], [], "S256", [None]])
def test_f11_a_provider_that_denies_s256_is_rejected(methods):
    with pytest.raises(ProviderRejected, match="discovery_pkce"):
        Setting(document(code_challenge_methods_supported=methods)).source.get()


def test_f11_silence_about_pkce_is_accepted():
    assert Setting(document(code_challenge_methods_supported=...)).source.get()


@pytest.mark.parametrize("promise", [None, False, "true", 1])
def test_only_true_promises_the_issuer(promise):
    served = document(authorization_response_iss_parameter_supported=promise)

    assert not Setting(served).source.get().promises_iss


def test_the_document_is_renewed_hourly():
    setting = Setting(document())
    for hours in (0, 0.9, 0.2, 0.9):
        setting.clock.advance(hours=hours)
        setting.source.get()

    assert len(setting.http.asked) == 2


def test_an_outage_is_bridged_for_a_day_and_asked_about_twice_a_minute():
    setting = Setting(document())
    setting.source.get()
    setting.http.fail(WELL_KNOWN)

    setting.clock.advance(hours=2)
    for _ in range(5):
        assert setting.source.get().issuer == ISSUER
    assert len(setting.http.asked) == 2
    setting.clock.advance(hours=23)
    with pytest.raises(ProviderUnavailable):
        setting.source.get()


def test_a_changed_issuer_is_not_hidden_by_the_old_copy():
    setting = Setting(document())
    setting.source.get()
    setting.http.serve(WELL_KNOWN, document(issuer="https://other.example.test"))
    setting.clock.advance(hours=2)

    for _ in range(2):
        setting.clock.advance(seconds=2)
        with pytest.raises(ProviderRejected):
            setting.source.get()


@pytest.mark.parametrize("status", [301, 404, 500])
def test_an_answer_that_is_no_document_is_an_outage(status):
    setting = Setting(document())
    setting.http.serve(WELL_KNOWN, document(), status=status)

    with pytest.raises(ProviderUnavailable, match=f"discovery_http_{status}"):
        setting.source.get()
