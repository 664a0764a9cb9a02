"""How a service proves itself."""

from __future__ import annotations

import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fake_latchkey import Reply
from latchkey_client import InvalidClient, WorkloadTokenFile
from latchkey_client.private_key import PrivateKey

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
KEYS = {
    "ES256": lambda: generate_private_key(SECP256R1()),
    "PS256": lambda: generate_rsa_key(65537, 2048),
    "EdDSA": Ed25519PrivateKey.generate,
}


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_private_key_signs_what_latchkey_asks_for(latchkey, ask, algorithm):
    key = KEYS[algorithm]()
    ask.use(PrivateKey("planner", key, "key-1"), issuer="https://latchkey.example.com")

    ask.token()

    (asked,) = latchkey.service_calls()
    assertion = asked.form["client_assertion"]
    claims = jwt.decode(assertion, key.public_key(), [algorithm], audience="https://latchkey.example.com")
    assert asked.form["client_assertion_type"] == ASSERTION
    assert asked.form["client_id"] == claims["iss"] == claims["sub"] == "planner"
    assert claims["exp"] - claims["iat"] == 60
    assert abs(claims["iat"] - time.time()) < 30
    assert jwt.get_unverified_header(assertion) == {
        "alg": algorithm, "typ": "client-authentication+jwt", "kid": "key-1",
    }  # fmt: skip
    assert "authorization" not in asked.headers


def test_an_assertion_is_used_once(latchkey, ask):
    latchkey.service_replies.append(Reply(503, {}, {"Retry-After": "0"}))
    ask.use(PrivateKey("planner", KEYS["ES256"]()))

    ask.token()

    first, second = (asked.form["client_assertion"] for asked in latchkey.service_calls())
    assert first != second


def test_the_audience_is_the_address_unless_latchkey_calls_itself_otherwise(latchkey, ask):
    key = KEYS["ES256"]()
    ask.use(PrivateKey("planner", key), url=f"{latchkey.url}/")

    ask.token()

    assertion = latchkey.service_calls()[0].form["client_assertion"]
    assert jwt.decode(assertion, key.public_key(), ["ES256"], audience=latchkey.url)


def test_a_key_file_may_be_replaced(latchkey, ask, tmp_path):
    file, keys = tmp_path / "key.pem", [KEYS["ES256"](), KEYS["EdDSA"]()]
    latchkey.service_expires_in = 1
    ask.use(PrivateKey("planner", file))
    for number, key in enumerate(keys):
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        ask.token(purpose=str(number))
        time.sleep(1)

    for asked, key, algorithm in zip(latchkey.service_calls(), keys, ["ES256", "EdDSA"], strict=True):
        assert jwt.decode(asked.form["client_assertion"], key.public_key(), [algorithm], audience=latchkey.url)


def test_a_key_latchkey_would_refuse_is_refused_here(ask):
    ask.use(PrivateKey("planner", generate_private_key(SECP384R1())))

    with pytest.raises(TypeError):
        ask.token()


def test_a_workload_token_is_read_again_for_every_proof(latchkey, ask, tmp_path):
    file = tmp_path / "token"
    latchkey.service_replies.append(Reply(401, {"error": "invalid_client"}))
    ask.use(WorkloadTokenFile(file))
    file.write_text("old.workload.token\n")
    with pytest.raises(InvalidClient):
        ask.token()
    file.write_text("new.workload.token\n")

    ask.token()

    forms = [asked.form for asked in latchkey.service_calls()]
    assert [form["client_assertion"] for form in forms] == ["old.workload.token", "new.workload.token"]
    assert forms[0]["client_assertion_type"] == ASSERTION
    assert "client_id" not in forms[0]


def test_a_missing_file_is_named_by_the_system(ask, tmp_path):
    ask.use(WorkloadTokenFile(tmp_path / "nothing"))

    with pytest.raises(FileNotFoundError):
        ask.token()


def test_no_credential_shows_when_it_is_printed(ask):
    shown = repr(PrivateKey("planner", "/secret/place")) + repr(ask.client._credential)

    assert "place" not in shown
    assert "a secret" not in shown
