"""Show the sandbox's identity half to clients nobody here wrote: requests-oauthlib, google-auth and msal, over TLS."""

import datetime as dt

import msal
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import AuthorizedSession, Request
from google.oauth2 import id_token as google_id_token
from google.oauth2.credentials import Credentials
from requests_oauthlib import OAuth2Session

from tests.contract.sandbox_walk import CALLBACKS, CLIENT_IDS, ISSUER, SECRETS, Walker, route, tls_sandbox

GOOGLE = "https://www.googleapis.com/auth/"
GOOGLE_SCOPES = ["openid", GOOGLE + "userinfo.email", GOOGLE + "calendar.events.readonly"]
AUTHORITY = "https://login.microsoftonline.com/organizations"


@pytest.fixture(scope="module")
def certificate():
    """A key and self-signed certificate as PEM, as an operator would register."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "latchkey.example.com")])
    start = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=36500))
        .sign(key, hashes.SHA256())
    )
    private_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private_pem.decode(), signed.public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture
def tls(certificate):
    with tls_sandbox(certificate_pem=certificate[1]) as served:
        yield served


@pytest.fixture
def walker(tls):
    running, ca_path = tls
    walker = Walker(running.base_url)
    walker.http.verify = ca_path
    with walker.http:
        yield walker


@pytest.fixture
def routed(tls):
    running, ca_path = tls
    with route(requests.Session(), running.base_url, ca_path) as session:
        yield session


def oauth2_session(tls, provider, scope):
    running, ca_path = tls
    session = OAuth2Session(CLIENT_IDS[provider], redirect_uri=CALLBACKS[provider], scope=scope, pkce="S256")
    return route(session, running.base_url, ca_path)


def on_sandbox(walker, url, path):
    """Return an authorization address of a real host as the browser would use it here."""
    return f"{walker.base_url}{path}?{url.split('?', 1)[1]}"


def callback_of(walker, url, account):
    answer = walker.control("approve", {"url": url, "account": account})
    assert answer.status_code == 200, answer.text
    # The library refuses a plain address; the product's own is behind TLS in production.
    return answer.json()["location"].replace("http://localhost:8000", "https://localhost:8000")


def test_requests_oauthlib_gets_and_refreshes_google_tokens(tls, walker):
    with oauth2_session(tls, "google", GOOGLE_SCOPES) as session:
        url, _ = session.authorization_url("https://accounts.google.com/o/oauth2/v2/auth", access_type="offline")
        location = callback_of(walker, on_sandbox(walker, url, "/o/oauth2/v2/auth"), "ada")

        first = session.fetch_token(
            "https://oauth2.googleapis.com/token",
            authorization_response=location,
            client_secret=SECRETS["google"],
        )
        second = session.refresh_token(
            "https://oauth2.googleapis.com/token",
            client_id=CLIENT_IDS["google"],
            client_secret=SECRETS["google"],
        )
        profile = session.get("https://openidconnect.googleapis.com/v1/userinfo").json()

    assert set(first["scope"]) == set(GOOGLE_SCOPES)
    assert second["access_token"] != first["access_token"]
    assert second["refresh_token"] == first["refresh_token"]
    assert profile["email"] == "ada@example.com"


def test_requests_oauthlib_gets_and_refreshes_oidc_tokens(tls, walker):
    with oauth2_session(tls, "oidc", ["openid", "email", "offline_access"]) as session:
        url, _ = session.authorization_url(f"{ISSUER}/authorize", nonce="n-1")
        location = callback_of(walker, on_sandbox(walker, url, "/idp/authorize"), "farid")

        first = session.fetch_token(f"{ISSUER}/token", authorization_response=location, client_secret=SECRETS["oidc"])
        second = session.refresh_token(f"{ISSUER}/token", client_id=CLIENT_IDS["oidc"], client_secret=SECRETS["oidc"])

    assert second["refresh_token"] != first["refresh_token"]


def google_credentials(token):
    return Credentials(
        None,
        refresh_token=token["refresh_token"],
        token_uri="https://oauth2.googleapis.com/token",
        client_id=CLIENT_IDS["google"],
        client_secret=SECRETS["google"],
        scopes=token["scope"].split(),
    )


def test_google_auth_refreshes_and_reads_with_the_new_token(walker, routed):
    token = walker.connect("google", "ada", "openid email " + GOOGLE + "calendar.readonly", prompt="consent")
    credentials = google_credentials(token)

    credentials.refresh(Request(session=routed))

    assert credentials.valid
    assert not credentials.expired
    assert credentials.granted_scopes == token["scope"].split()
    with AuthorizedSession(credentials, auth_request=Request(session=routed)) as session:
        route(session, walker.base_url, walker.http.verify)
        assert session.get("https://openidconnect.googleapis.com/v1/userinfo").json()["hd"] == "example.com"


def test_google_auth_reports_a_revoked_grant_as_refresh_error(walker, routed):
    token = walker.connect("google", "ada", "openid email")
    walker.control("grants/revoke", {"provider": "google", "account": "ada"})

    with pytest.raises(RefreshError, match="invalid_grant"):
        google_credentials(token).refresh(Request(session=routed))


def test_google_auth_verifies_the_id_token_by_key_set_and_by_certificates(walker, routed):
    token = walker.connect("google", "bruno", "openid email profile", nonce="n-2")

    by_certificate = google_id_token.verify_oauth2_token(
        token["id_token"], Request(session=routed), CLIENT_IDS["google"], clock_skew_in_seconds=5
    )
    by_key_set = google_id_token.verify_token(
        token["id_token"],
        Request(session=routed),
        CLIENT_IDS["google"],
        certs_url="https://www.googleapis.com/oauth2/v3/certs",
        clock_skew_in_seconds=5,
    )

    assert by_certificate == by_key_set
    assert by_certificate["email"] == "bruno@example.com"
    assert by_certificate["nonce"] == "n-2"


def test_google_auth_verifies_tokens_signed_before_and_after_key_rotation(walker, routed):
    before = walker.connect("google", "ada", "openid email")
    walker.control("keys/rotate", {"provider": "google"})
    after = walker.connect("google", "ada", "openid email", prompt="consent")

    for token in (before, after):
        claims = google_id_token.verify_oauth2_token(
            token["id_token"], Request(session=routed), CLIENT_IDS["google"], clock_skew_in_seconds=5
        )
        assert claims["iss"] == "https://accounts.google.com"


def msal_application(routed, credential):
    return msal.ConfidentialClientApplication(
        CLIENT_IDS["microsoft"],
        client_credential=credential,
        authority=AUTHORITY,
        http_client=routed,
        instance_discovery=False,
    )


def msal_round(application, walker, account):
    """Return the first token answer and the one of a forced refresh."""
    flow = application.initiate_auth_code_flow(
        ["User.Read", "Calendars.Read"], redirect_uri=CALLBACKS["microsoft"], response_mode="form_post"
    )
    assert flow["auth_uri"].startswith(f"{AUTHORITY}/oauth2/v2.0/authorize")
    url = on_sandbox(walker, flow["auth_uri"], "/organizations/oauth2/v2.0/authorize")
    answer = walker.control("approve", {"url": url, "account": account}).json()
    first = application.acquire_token_by_auth_code_flow(flow, answer["form"])
    assert "error" not in first, first
    [known] = application.get_accounts()
    second = application.acquire_token_silent(["Calendars.Read"], known, force_refresh=True)
    return first, second


def test_msal_signs_in_and_refreshes_with_a_secret(walker, routed):
    application = msal_application(routed, SECRETS["microsoft"])

    first, second = msal_round(application, walker, "chiara")

    assert first["id_token_claims"]["preferred_username"] == "chiara@alder.example.org"
    assert {"User.Read", "Calendars.Read"} <= set(first["scope"].split())
    assert second["access_token"] != first["access_token"]


def test_msal_signs_in_and_refreshes_with_a_certificate(walker, routed, certificate):
    private_pem, public_pem = certificate
    application = msal_application(routed, {"private_key": private_pem, "public_certificate": public_pem})

    first, second = msal_round(application, walker, "devon")

    assert "email" not in first["id_token_claims"]
    assert second["access_token"] != first["access_token"]


def test_msal_signs_in_with_the_legacy_thumbprint(walker, routed, certificate):
    private_pem, public_pem = certificate
    thumbprint = x509.load_pem_x509_certificate(public_pem.encode()).fingerprint(hashes.SHA1()).hex()  # noqa: S303
    application = msal_application(routed, {"private_key": private_pem, "thumbprint": thumbprint})

    first, _ = msal_round(application, walker, "chiara")

    assert first["token_type"] == "Bearer"


def test_msal_is_refused_with_a_certificate_that_is_not_registered(walker, routed):
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    application = msal_application(routed, {"private_key": other.decode(), "thumbprint": "00" * 20})

    answer = application.acquire_token_by_refresh_token("anything", ["User.Read"])

    assert answer["error"] == "invalid_client"
    assert answer["error_codes"] == [700027]


def test_msal_discovers_the_instance_when_it_is_left_to(routed):
    application = msal.ConfidentialClientApplication(
        CLIENT_IDS["microsoft"], client_credential=SECRETS["microsoft"], authority=AUTHORITY, http_client=routed
    )

    answer = application.acquire_token_by_refresh_token("unknown", ["User.Read"])

    assert answer["error"] == "invalid_grant"
