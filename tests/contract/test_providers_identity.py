"""The identity side of all provider adapters against the sandbox, through the real outbound client."""

import base64
import itertools
import json
import logging
import secrets
import threading
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from app.domain.connections import Reason
from app.domain.errors import (
    AccessTokenRejected,
    ConfigurationError,
    IDTokenInvalid,
    InvalidGrant,
    ProviderRejected,
    ProviderThrottled,
    ProviderUnavailable,
    UnknownProvider,
)
from app.domain.features import Feature, granted_features, scopes_for
from app.domain.secret import Secret
from app.domain.tokens import RotationClass
from app.ports.providers import AuthorizationStart
from app.providers.http import OutboundClient
from app.providers.registry import build_providers
from app.providers.settings import ProviderSettings
from app.sandbox.faults import Fault, FaultKind
from app.sandbox.server import serve
from app.sandbox.settings import SandboxSettings
from tests.contract.sandbox_walk import CALLBACKS, CLIENT_IDS, ISSUER, REAL_ORIGINS, SECRETS, Walker, clients, flat

KINDS = ("google", "microsoft", "oidc")
ACCOUNTS = {"google": "ada", "microsoft": "chiara", "oidc": "ada"}
FEATURES = {
    "google": {Feature.CALENDAR_READ},
    "microsoft": {Feature.CALENDAR_READ, Feature.PREFERENCES_READ},
    "oidc": set(),
}
PAGES = {"google": "/o/oauth2/v2/auth", "microsoft": "/common/oauth2/v2.0/authorize", "oidc": "/idp/authorize"}


def now():
    return datetime.now(UTC)


@dataclass
class Installation:
    """A sandbox and the providers that reach it by their real names."""

    running: object
    walker: Walker
    http: OutboundClient
    settings: dict

    def providers(self, **changes):
        return build_providers(
            [replace(one, **changes.get(kind, {})) for kind, one in self.settings.items()],
            self.http,
            "http://localhost:8000",
            now,
        )

    def provider(self, kind, **changes):
        return self.providers(**{kind: changes}).get(self.settings[kind].key)

    def fault(self, operation, kind, **members):
        self.running.state.faults.add(Fault(operation, kind, **members))

    def calls(self, operation):
        return sum(1 for entry in self.running.state.request_log.entries() if entry.operation == operation)


def make_certificate(directory):
    """Write a fresh key and its certificate into ``directory`` and return it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "latchkey")])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - timedelta(days=1))
        .not_valid_after(now() + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    text = built.public_bytes(serialization.Encoding.PEM).decode()
    (directory / "certificate.pem").write_text(text)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "key.pem").write_bytes(private)
    return directory


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of the Microsoft client; yields (directory, certificate text)."""
    directory = make_certificate(tmp_path_factory.mktemp("certificate"))
    text = (directory / "certificate.pem").read_text()
    return directory, text


@pytest.fixture(scope="module")
def running(certificate):
    with serve(SandboxSettings(base_url="", clients=clients(certificate[1]))) as served:
        yield served


@pytest.fixture
def there(running):
    """An installation in front of a sandbox in which nobody has granted anything."""
    with running.state.lock:
        running.state.grants.load({"grants": [], "refresh_tokens": [], "access_tokens": [], "tenant_consents": {}})
    running.state.faults.clear()
    running.state.request_log.clear()
    walker = Walker(running.base_url)
    routes = dict.fromkeys(REAL_ORIGINS, running.base_url) | {ISSUER: f"{running.base_url}/idp"}
    http = OutboundClient(routes)
    settings = {
        kind: ProviderSettings(
            key="acme" if kind == "oidc" else kind,
            kind=kind,
            display_name=kind.title(),
            client_id=CLIENT_IDS[kind],
            client_secret=Secret(SECRETS[kind]),
            issuer=ISSUER if kind == "oidc" else None,
            authorization_endpoint=running.base_url + PAGES[kind],
        )
        for kind in KINDS
    }
    with walker.http:
        yield Installation(running, walker, http, settings)
    http.close()


def start_for(kind, **changes):
    start = AuthorizationStart(
        state=secrets.token_urlsafe(24),
        nonce=secrets.token_urlsafe(24),
        code_verifier=Secret(secrets.token_urlsafe(48)),
        redirect_uri=CALLBACKS[kind],
        scopes=tuple(sorted(scopes_for(kind, FEATURES[kind]))),
    )
    return replace(start, **changes)


def consent(there, kind, *, provider=None, account=None, **changes):
    """Walk one whole consent; returns (provider, start, token answer)."""
    provider = provider or there.provider(kind)
    start = start_for(kind, **changes)
    callback = there.walker.approve(provider.authorization_url(start), account or ACCOUNTS[kind])
    assert callback["state"] == start.state
    answer = provider.exchange_code(Secret(callback["code"]), start.code_verifier, start.redirect_uri)
    return provider, start, answer


def identity_of(provider, start, answer):
    return provider.identify(answer.id_token, nonce=start.nonce, access_token=answer.access_token)


@pytest.mark.parametrize("kind", KINDS)
def test_a_consent_brings_tokens_scopes_and_a_verified_identity(there, kind):
    provider, start, answer = consent(there, kind)
    identity = identity_of(provider, start, answer)
    account = there.running.state.accounts.by_key(kind, ACCOUNTS[kind])

    assert answer.access_token
    assert answer.refresh_token
    assert answer.expires_in_s > 60
    assert granted_features(kind, answer.granted_scopes()) >= FEATURES[kind]
    assert identity.subject == account.subject
    assert identity.email == account.email
    assert identity.tenant == (account.tid or account.hd)
    provider.probe(answer.access_token)


@pytest.mark.parametrize(
    ("kind", "issuer"),
    [
        ("google", "https://accounts.google.com"),
        ("microsoft", "https://login.microsoftonline.com/{tid}/v2.0"),
        ("oidc", ISSUER),
    ],
)
def test_the_stored_issuer_is_the_providers_own(there, kind, issuer):
    identity = identity_of(*consent(there, kind))

    assert identity.issuer == issuer.replace("{tid}", identity.tenant or "")


@pytest.mark.parametrize("kind", KINDS)
def test_one_refresh_is_one_call_and_keeps_the_scopes(there, kind):
    provider, _start, answer = consent(there, kind)
    before = there.calls(f"{kind}.token")

    refreshed = provider.refresh(answer.refresh_token, answer.granted_scopes())

    assert there.calls(f"{kind}.token") == before + 1
    assert refreshed.access_token
    assert refreshed.access_token != answer.access_token
    assert granted_features(kind, refreshed.granted_scopes()) >= FEATURES[kind]
    assert (refreshed.refresh_token is None) == (provider.rotation is RotationClass.NONE)
    provider.probe(refreshed.access_token)


@pytest.mark.parametrize("kind", KINDS)
def test_the_identity_survives_a_refresh(there, kind):
    provider, start, answer = consent(there, kind)

    refreshed = provider.refresh(answer.refresh_token, answer.granted_scopes())
    again = provider.identify(refreshed.id_token, nonce=None, access_token=refreshed.access_token)

    assert again == identity_of(provider, start, answer)


def test_an_old_token_at_the_strict_provider_ends_the_family(there):
    provider, _start, answer = consent(there, "oidc")
    rotated = provider.refresh(answer.refresh_token, ())

    with pytest.raises(InvalidGrant):
        provider.refresh(answer.refresh_token, ())
    with pytest.raises(InvalidGrant):
        provider.refresh(rotated.refresh_token, ())


def test_an_old_token_at_microsoft_stays_good(there):
    provider, _start, answer = consent(there, "microsoft")
    provider.refresh(answer.refresh_token, answer.granted_scopes())

    assert provider.refresh(answer.refresh_token, answer.granted_scopes()).access_token


@pytest.mark.parametrize("kind", ["google", "oidc"])
def test_revoking_kills_the_refresh_token_and_says_so(there, kind):
    provider, _start, answer = consent(there, kind)

    outcome = provider.revoke(answer.refresh_token)

    assert outcome.outcome == "revoked"
    with pytest.raises(InvalidGrant):
        provider.refresh(answer.refresh_token, ())


def test_revoking_twice_at_google_finds_the_token_dead(there):
    provider, _start, answer = consent(there, "google")
    provider.revoke(answer.refresh_token)

    assert provider.revoke(answer.refresh_token).outcome == "already_dead"


def test_microsoft_cannot_revoke_and_names_the_page_instead(there):
    provider, _start, answer = consent(there, "microsoft")

    outcome = provider.revoke(answer.refresh_token)

    assert (outcome.outcome, outcome.detail) == ("unsupported", "https://myapps.microsoft.com")


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_the_provider_withdrew_fails_the_probe_and_the_refresh(there, kind):
    provider, _start, answer = consent(there, kind)
    there.walker.control("grants/revoke", {"provider": kind, "account": ACCOUNTS[kind]})

    with pytest.raises(AccessTokenRejected):
        provider.probe(answer.access_token)
    with pytest.raises(InvalidGrant):
        provider.refresh(answer.refresh_token, answer.granted_scopes())


@pytest.mark.parametrize("kind", KINDS)
def test_a_code_works_once_and_only_with_its_verifier(there, kind):
    provider = there.provider(kind)
    start = start_for(kind)
    first = there.walker.approve(provider.authorization_url(start), ACCOUNTS[kind])
    second = there.walker.approve(provider.authorization_url(start), ACCOUNTS[kind])
    provider.exchange_code(Secret(first["code"]), start.code_verifier, start.redirect_uri)

    with pytest.raises(InvalidGrant):
        provider.exchange_code(Secret(first["code"]), start.code_verifier, start.redirect_uri)
    with pytest.raises((InvalidGrant, ProviderRejected)):
        provider.exchange_code(Secret(second["code"]), Secret("x" * 43), start.redirect_uri)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sign_in_asks_for_no_refresh_token(there, kind):
    scopes = tuple(sorted(scopes_for(kind, ())))

    provider, start, answer = consent(there, kind, offline=False, scopes=scopes)

    assert answer.refresh_token is None
    assert identity_of(provider, start, answer).subject


@pytest.mark.parametrize("kind", KINDS)
def test_the_nonce_of_another_request_is_refused(there, kind):
    provider, _start, answer = consent(there, kind)

    with pytest.raises(IDTokenInvalid, match="nonce"):
        provider.identify(answer.id_token, nonce="another", access_token=answer.access_token)


@pytest.mark.parametrize("kind", ["google", "oidc"])
def test_an_id_token_with_another_access_token_is_refused(there, kind):
    provider, start, answer = consent(there, kind)

    with pytest.raises(IDTokenInvalid, match="at_hash"):
        provider.identify(answer.id_token, nonce=start.nonce, access_token=Secret("another"))


def test_a_token_of_one_provider_is_refused_by_the_others(there):
    tokens = {kind: consent(there, kind) for kind in KINDS}

    for own, other in itertools.permutations(KINDS, 2):
        _provider, start, answer = tokens[own]
        with pytest.raises(IDTokenInvalid):
            tokens[other][0].identify(answer.id_token, nonce=start.nonce, access_token=None)


@pytest.mark.parametrize("kind", KINDS)
def test_new_signing_keys_are_found(there, kind):
    provider, start, answer = consent(there, kind)
    identity_of(provider, start, answer)
    fresh = there.provider(kind)
    there.walker.control("keys/rotate", {"provider": kind, "retire": True})

    _provider, start, answer = consent(there, kind, provider=provider)

    assert identity_of(provider, start, answer) == identity_of(fresh, start, answer)


@pytest.mark.parametrize("kind", KINDS)
def test_invented_key_ids_cause_one_forced_fetch(there, kind):
    provider, start, answer = consent(there, kind)
    identity_of(provider, start, answer)
    _head, payload, signature = answer.id_token.reveal().split(".")
    before = there.calls(f"{kind}.jwks")

    def forge(number):
        algorithm = "ES256" if kind == "oidc" else "RS256"
        head = base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "kid": f"k{number}"}).encode()).rstrip(b"=")
        with pytest.raises(IDTokenInvalid, match="key"):
            provider.identify(Secret(f"{head.decode()}.{payload}.{signature}"), nonce=None, access_token=None)

    threads = [threading.Thread(target=forge, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert there.calls(f"{kind}.jwks") - before == 1
    assert identity_of(provider, start, answer)


FAULTS = [
    ({"kind": FaultKind.INVALID_GRANT}, InvalidGrant),
    ({"kind": FaultKind.INVALID_CLIENT}, ProviderRejected),
    ({"kind": FaultKind.STATUS, "status": 500}, ProviderUnavailable),
    ({"kind": FaultKind.STATUS, "status": 503, "body": "html"}, ProviderUnavailable),
    ({"kind": FaultKind.STATUS, "status": 503, "retry_after": "7"}, ProviderThrottled),
    ({"kind": FaultKind.STATUS, "status": 429, "retry_after": "7"}, ProviderThrottled),
    ({"kind": FaultKind.STATUS, "status": 429, "body": "html"}, ProviderThrottled),
    ({"kind": FaultKind.STATUS, "status": 400, "body": "html"}, ProviderUnavailable),
    ({"kind": FaultKind.STATUS, "status": 302, "body": "empty"}, ProviderUnavailable),
    ({"kind": FaultKind.GARBAGE}, ProviderUnavailable),
    ({"kind": FaultKind.TRUNCATE}, ProviderUnavailable),
    ({"kind": FaultKind.RESET}, ProviderUnavailable),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("fault", "error"), FAULTS, ids=lambda value: str(getattr(value, "__name__", value))[:60])
def test_a_refresh_that_fails_has_the_right_error_and_is_not_repeated(there, kind, fault, error):
    provider, _start, answer = consent(there, kind)
    there.fault(f"{kind}.token", **fault)
    before = there.calls(f"{kind}.token")

    with pytest.raises(error) as caught:
        provider.refresh(answer.refresh_token, answer.granted_scopes())

    assert type(caught.value) is error
    assert there.calls(f"{kind}.token") == before + 1
    if fault.get("retry_after"):
        assert caught.value.retry_after_s == 7


@pytest.mark.parametrize("kind", KINDS)
def test_a_provider_that_recovered_is_reached_at_once(there, kind):
    provider, _start, answer = consent(there, kind)
    for fault in ({"kind": FaultKind.STATUS, "status": 503}, {"kind": FaultKind.INVALID_GRANT}):
        there.fault(f"{kind}.token", **fault)
        with pytest.raises((ProviderUnavailable, InvalidGrant)):
            provider.refresh(answer.refresh_token, answer.granted_scopes())

    assert provider.refresh(answer.refresh_token, answer.granted_scopes()).access_token


@pytest.mark.parametrize(
    ("kind", "members", "error", "reason"),
    [
        ("google", {"suberror": "invalid_rapt"}, InvalidGrant, Reason.SESSION_POLICY),
        ("google", {"description": "Account has been deleted"}, InvalidGrant, Reason.ACCOUNT_DISABLED),
        ("google", {"error": "admin_policy_enforced"}, InvalidGrant, Reason.REVOKED_BY_ADMIN),
        ("google", {"error": "unauthorized_client"}, ProviderRejected, None),
        ("google", {"error": "invalid_scope"}, ProviderRejected, None),
        ("microsoft", {"description": "AADSTS50173: revoked."}, InvalidGrant, Reason.CREDENTIAL_CHANGED),
        ("microsoft", {"description": "AADSTS700082: inactive."}, InvalidGrant, Reason.EXPIRED_INACTIVE),
        ("microsoft", {"description": "AADSTS50057: disabled."}, InvalidGrant, Reason.ACCOUNT_DISABLED),
        (
            "microsoft",
            {"description": "AADSTS65001: consent.", "suberror": "consent_required"},
            InvalidGrant,
            Reason.CONSENT_NEEDED,
        ),
        (
            "microsoft",
            {"error": "interaction_required", "description": "AADSTS50076: MFA.", "suberror": "basic_action"},
            InvalidGrant,
            Reason.SESSION_POLICY,
        ),
        ("microsoft", {"description": "AADSTS50196: loop."}, ProviderThrottled, None),
        ("microsoft", {"description": "AADSTS90055: throttled."}, ProviderThrottled, None),
        ("microsoft", {"error": "unauthorized_client", "description": "AADSTS700016: app."}, ProviderRejected, None),
    ],
)
def test_refusals_are_read_with_their_reason(there, kind, members, error, reason):
    provider, _start, answer = consent(there, kind)
    there.fault(f"{kind}.token", FaultKind.OAUTH_ERROR, **members)

    with pytest.raises(error) as caught:
        provider.refresh(answer.refresh_token, answer.granted_scopes())

    assert getattr(caught.value, "reason", None) == reason


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_client_credentials_are_our_fault_and_never_the_grants(there, kind):
    _provider, _start, answer = consent(there, kind)
    wrong = there.provider(kind, client_secret=Secret("wrong"))

    with pytest.raises(ProviderRejected):
        wrong.refresh(answer.refresh_token, answer.granted_scopes())


def test_microsoft_accepts_the_certificate(there, certificate):
    directory, _text = certificate
    files = {
        "client_secret": None,
        "certificate_file": directory / "certificate.pem",
        "private_key_file": directory / "key.pem",
    }
    provider, start, answer = consent(there, "microsoft", provider=there.provider("microsoft", **files))

    assert identity_of(provider, start, answer).subject
    assert provider.refresh(answer.refresh_token, answer.granted_scopes()).access_token


def test_microsoft_discovery_is_fetched_once_for_many_calls(there):
    provider, _start, answer = consent(there, "microsoft")
    for _ in range(3):
        provider.refresh(answer.refresh_token, answer.granted_scopes())

    paths = [entry.path for entry in there.running.state.request_log.entries()]
    assert sum(path.endswith("/v2.0/.well-known/openid-configuration") for path in paths) == 1
    assert not any("discovery/instance" in path for path in paths)


def test_personal_microsoft_accounts_can_be_kept_out(there):
    strict = there.provider("microsoft", allow_personal_accounts=False)
    _provider, start, answer = consent(there, "microsoft", provider=strict, account="ada-personal")

    with pytest.raises(IDTokenInvalid, match="tenant"):
        identity_of(strict, start, answer)
    assert identity_of(there.provider("microsoft"), start, answer).subject


def test_only_listed_microsoft_tenants_may_connect(there):
    provider, start, answer = consent(there, "microsoft")
    tenant = identity_of(provider, start, answer).tenant
    listed = there.provider("microsoft", allowed_tenants=(tenant.upper(),))
    unlisted = there.provider("microsoft", allowed_tenants=("11111111-2222-3333-4444-555555555555",))

    assert identity_of(listed, start, answer).tenant == tenant
    with pytest.raises(IDTokenInvalid, match="tenant"):
        identity_of(unlisted, start, answer)


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_the_oidc_client_proves_itself_as_configured(there, method):
    _provider, _start, answer = consent(there, "oidc", provider=there.provider("oidc", token_auth_method=method))

    assert answer.refresh_token


def test_an_authentication_method_the_issuer_does_not_list_is_not_tried(there, certificate):
    directory, _text = certificate
    provider = there.provider(
        "oidc", token_auth_method="private_key_jwt", private_key_file=directory / "key.pem", client_secret=None
    )

    with pytest.raises(ProviderRejected, match="token_auth_method"):
        provider.refresh(Secret("anything"), ())
    assert there.calls("oidc.token") == 0


def test_the_oidc_answer_names_the_issuer_and_the_metadata_promises_it(there):
    provider = there.provider("oidc")
    callback = there.walker.approve(provider.authorization_url(start_for("oidc")), "ada")

    assert provider.promises_iss()
    assert callback["iss"] == provider.issuer()


def test_the_authorization_urls_carry_what_each_provider_needs(there):
    starts = {kind: start_for(kind) for kind in KINDS}
    urls = {kind: there.provider(kind).authorization_url(start) for kind, start in starts.items()}
    hinted = flat(there.provider("google").authorization_url(start_for("google", login_hint="ada@example.com")))
    hinted_entra = flat(there.provider("microsoft").authorization_url(start_for("microsoft", login_hint="a@b.example")))

    for kind, url in urls.items():
        query = flat(url)
        assert url.startswith(there.running.base_url + PAGES[kind])
        assert query["code_challenge_method"] == "S256"
        assert starts[kind].code_verifier.reveal() not in url
        assert (query["state"], query["nonce"]) == (starts[kind].state, starts[kind].nonce)
        assert all(len(values) == 1 for values in parse_qs(urlsplit(url).query).values())
    assert flat(urls["google"])["prompt"] == "select_account consent"
    assert flat(urls["google"])["access_type"] == "offline"
    assert flat(urls["google"])["include_granted_scopes"] == "true"
    assert (hinted["login_hint"], hinted["prompt"]) == ("ada@example.com", "consent")
    assert flat(urls["microsoft"])["prompt"] == "select_account"
    assert "prompt" not in hinted_entra


def test_a_drip_is_cut_at_the_deadline(there, monkeypatch):
    provider, _start, answer = consent(there, "google")
    monkeypatch.setattr("app.providers.token_endpoint.DEADLINE_S", 0.6)
    there.fault("google.token", FaultKind.DRIP, seconds=8)
    started = time.monotonic()

    with pytest.raises(ProviderUnavailable, match="timeout"):
        provider.refresh(answer.refresh_token, ())

    assert time.monotonic() - started < 1.1


@pytest.mark.parametrize("kind", KINDS)
def test_no_secret_is_logged_or_shown(there, kind, caplog):
    caplog.set_level(logging.DEBUG)
    provider, start, answer = consent(there, kind)
    refreshed = provider.refresh(answer.refresh_token, answer.granted_scopes())
    there.fault(f"{kind}.token", FaultKind.GARBAGE)
    with pytest.raises(ProviderUnavailable) as caught:
        provider.refresh(refreshed.refresh_token or answer.refresh_token, answer.granted_scopes())

    tokens = (answer.access_token, answer.refresh_token, answer.id_token, refreshed.access_token, start.code_verifier)
    shown = caplog.text + repr(caught.value) + repr(answer) + repr(provider)
    assert not any(token.reveal() in shown for token in tokens)
    assert SECRETS[kind] not in shown
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("kind", "account"), [("google", "ada"), ("microsoft", "chiara"), ("microsoft", "ada-personal"), ("oidc", "ada")]
)
def test_t06_a_profile_of_somebody_else_is_refused(there, kind, account):
    provider, start, answer = consent(there, kind, account=account)
    subject = identity_of(provider, start, answer).subject

    provider.probe(answer.access_token, subject=subject)
    with pytest.raises(IDTokenInvalid, match="userinfo_sub"):
        provider.probe(answer.access_token, subject=subject[:-1] + ("0" if subject[-1] != "0" else "1"))


def test_the_registry_knows_its_providers_in_order(there):
    providers = there.providers()

    assert [provider.key for provider in providers.all()] == ["google", "microsoft", "acme"]
    assert [provider.calendars is not None for provider in providers.all()] == [True, True, False]
    with pytest.raises(UnknownProvider):
        providers.get("nobody")


def test_every_fault_of_the_settings_is_named_at_once(there, tmp_path):
    good = there.settings
    missing = tmp_path / "missing.pem"
    broken = [
        replace(good["google"], client_secret=None),
        replace(good["google"], kind="yahoo"),
        replace(good["microsoft"], private_key_file=missing, certificate_file=missing),
        replace(good["oidc"], issuer="http://idp.example.test"),
        replace(good["oidc"], key="other", token_auth_method="none"),
    ]

    with pytest.raises(ConfigurationError) as caught:
        build_providers(broken, there.http, "not an address", now)

    assert len(caught.value.faults) == 7
