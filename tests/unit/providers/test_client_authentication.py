"""The ways of client authentication, and Entra's spellings of scopes and accounts."""

import base64
import hashlib
from datetime import UTC, datetime
from urllib.parse import unquote_plus

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.domain.errors import ConfigurationError
from app.domain.secret import Secret
from app.providers.client_authentication import ASSERTION_TYPE, SecretInBody, SecretInHeader, SignedAssertion
from app.providers.configured_credentials import authentications
from app.providers.http import OutboundClient
from app.providers.microsoft.identity import _is_account
from app.providers.microsoft.scopes import for_refresh, short_list
from app.providers.registry import build_providers
from app.providers.settings import ProviderSettings

ISSUER = "https://idp.example.test"


def test_a_secret_in_the_header_is_encoded_twice_and_not_repeated_in_the_body():
    proof = SecretInHeader("id:1", Secret("p w:%ü")).credentials()

    pair = base64.b64decode(proof.headers["Authorization"].removeprefix("Basic ")).decode()
    assert [unquote_plus(part) for part in pair.split(":")] == ["id:1", "p w:%ü"]
    assert proof.form == {}


def test_a_secret_in_the_body_sets_no_header():
    proof = SecretInBody("id", Secret("secret")).credentials()

    assert (proof.form, proof.headers) == ({"client_id": "id", "client_secret": "secret"}, {})


def test_credentials_are_not_shown():
    assert "secret" not in repr(SecretInBody("id", Secret("secret")).credentials())


def test_x03_assertions_are_fresh_and_meant_for_the_configured_issuer_alone():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    method = SignedAssertion("id", ISSUER, key, None, lambda: datetime.now(UTC))

    proofs = [method.credentials().form for _ in range(2)]
    claims = [
        jwt.decode(proof["client_assertion"], key.public_key(), algorithms=["PS256"], audience=ISSUER)
        for proof in proofs
    ]

    assert proofs[0]["client_assertion_type"] == ASSERTION_TYPE
    assert claims[0]["iss"] == claims[0]["sub"] == "id"
    assert claims[0]["exp"] - claims[0]["iat"] == 300
    assert claims[0]["jti"] != claims[1]["jti"]


def test_x03_no_key_signs_for_two_issuers(tmp_path):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    files = [tmp_path / name for name in ("one.pem", "two.pem")]
    for file in files:
        file.write_bytes(pem)

    def client(name, issuer, file):
        return ProviderSettings(
            name, "oidc", name, "id", issuer=issuer, private_key_file=file, token_auth_method="private_key_jwt"
        )

    def build(*settings):
        return build_providers(settings, OutboundClient(), "https://latchkey.example.test", lambda: datetime.now(UTC))

    one = client("one", ISSUER, files[0])
    for file in files:
        with pytest.raises(ConfigurationError, match=r"two: .* signs for another issuer"):
            build(one, client("two", "https://other.example.test", file))
    assert build(one, client("again", ISSUER, files[1]))


def test_x03_the_audience_is_the_configured_issuer(tmp_path):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    file = tmp_path / "key.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    settings = ProviderSettings(
        "acme", "oidc", "Acme", "id", issuer=ISSUER, private_key_file=file, token_auth_method="private_key_jwt"
    )

    (method,) = authentications(settings, lambda: datetime.now(UTC))()

    assertion = method.credentials().form["client_assertion"]
    assert jwt.decode(assertion, key.public_key(), algorithms=["PS256"], audience=ISSUER)["aud"] == ISSUER


def test_assertions_name_their_certificate():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    class Certificate:
        def fingerprint(self, _algorithm):
            return hashlib.sha256(b"certificate").digest()

    assertion = SignedAssertion("id", ISSUER, key, Certificate(), lambda: datetime.now(UTC)).credentials().form

    header = jwt.get_unverified_header(assertion["client_assertion"])
    assert base64.urlsafe_b64decode(header["x5t#S256"] + "=") == hashlib.sha256(b"certificate").digest()


def test_entra_scopes_get_one_spelling():
    answered = "https://graph.microsoft.com/calendars.read HTTPS://graph.microsoft.com/User.Read openid Some.New"

    assert short_list(answered) == "Calendars.Read User.Read openid Some.New"


def test_a_refresh_asks_for_graph_scopes_alone():
    assert for_refresh(["openid", "profile", "offline_access", "email", "calendars.read"]) == [
        "Calendars.Read",
        "email",
    ]


@pytest.mark.parametrize(
    ("graph_id", "oid", "same"),
    [
        ("a1b2c3d4-0000-4000-8000-000000000001", "a1b2c3d4-0000-4000-8000-000000000001", True),
        ("f2a1b2c3d4e5f6a7", "00000000-0000-0000-f2a1-b2c3d4e5f6a7", True),
        ("8000000000000001", "a1b2c3d4-0000-4000-8000-000000000001", False),
        ("other", "a1b2c3d4-0000-4000-8000-000000000001", False),
        (None, "a1b2c3d4-0000-4000-8000-000000000001", False),
    ],
)
def test_graph_and_entra_name_one_account_in_two_ways(graph_id, oid, same):
    assert _is_account(graph_id, oid) is same
