"""Signatures of services and trusted issuers, made by a library that knows nothing of ours."""

import base64
import json
import threading

import jwt
import pytest

from app.domain.errors import KeysUnavailable, SignedTokenInvalid
from app.domain.people import Service
from app.providers.key_sets import KeySets
from app.providers.signed_tokens import SignedTokenReader
from app.providers.trusted_issuers import IssuerRegistry, IssuerSettings, PublishedIssuer
from tests.fakes import SERVICE
from tests.signing import Signer, signed_with_public_key, unsigned
from tests.unit.providers.scripted_http import ScriptedHTTP, SetClock

URL = "https://scheduler.example.test/jwks"
ISSUER = "https://cluster.example.test"
DISCOVERY = f"{ISSUER}/.well-known/openid-configuration"
CLAIMS = {"iss": ISSUER, "sub": "system:serviceaccount:prod:scheduler", "aud": ["latchkey"]}


@pytest.fixture
def http():
    return ScriptedHTTP()


@pytest.fixture
def reader(http):
    return SignedTokenReader(KeySets(http, SetClock()))


@pytest.fixture(scope="module")
def signers():
    return {name: Signer(name) for name in ("ES256", "PS256", "RS256", "EdDSA", "RS512")}


@pytest.mark.parametrize("algorithm", ["ES256", "PS256", "RS256", "EdDSA"])
def test_the_four_algorithms_are_verified(reader, signers, algorithm):
    signer = signers[algorithm]
    token = signer.sign(CLAIMS)

    assert reader.verify(token, [signer.jwk()]).claims == CLAIMS
    assert reader.verify(token, [reader.check_key(json.dumps(signer.jwk()))]).claims == CLAIMS


def test_x02_other_algorithms_are_not(reader, signers):
    strong, public = signers["RS512"], signers["RS256"]

    for token, keys in (
        (strong.sign(CLAIMS), [strong.jwk()]),
        (unsigned(CLAIMS), [public.jwk()]),
        (signed_with_public_key(CLAIMS, public), [public.jwk()]),
        (jwt.encode(CLAIMS, "s" * 32, "HS256", {"kid": "k1"}), [{"kty": "oct", "k": "c3Nzcw", "kid": "k1"}]),
    ):
        with pytest.raises(SignedTokenInvalid, match="alg"):
            reader.verify(token, keys)


def test_a_key_verifies_its_own_algorithm_alone(reader, signers):
    signer = signers["RS256"]

    with pytest.raises(SignedTokenInvalid, match="key"):
        reader.verify(signer.sign(CLAIMS), [signer.jwk(alg="PS256")])
    with pytest.raises(SignedTokenInvalid, match="key"):
        reader.verify(signer.sign(CLAIMS), [signers["ES256"].jwk()])


def test_a_token_that_names_no_key_is_tried_with_all_of_the_service(reader, signers):
    others, signer = [Signer(kid="old"), Signer(kid="new")], signers["ES256"]
    token = jwt.encode(CLAIMS, signer.key, "ES256")

    assert reader.verify(token, [*(other.jwk() for other in others), signer.jwk()])
    with pytest.raises(SignedTokenInvalid, match="signature"):
        reader.verify(token, [other.jwk() for other in others])


def test_somebody_elses_signature_is_refused(reader, signers):
    with pytest.raises(SignedTokenInvalid, match="signature"):
        reader.verify(Signer().sign(CLAIMS), [signers["ES256"].jwk()])
    with pytest.raises(SignedTokenInvalid, match="key"):
        reader.verify(signers["ES256"].sign(CLAIMS), [])


@pytest.mark.parametrize(
    "text", ["", "a", "a.b", "a.b.c", "....", "é.b.c", "e30.W10.c", "e30.bm90anNvbg.c", "A" * 20_000, "e30.e30.e30.x"]
)
def test_what_is_no_token_is_said_so(reader, text):
    with pytest.raises(SignedTokenInvalid):
        reader.glance(text)


@pytest.mark.parametrize("header", [{"crit": ["exp"]}, {"b64": False}, {"enc": "A128GCM"}])
def test_headers_that_change_the_meaning_are_refused(reader, signers, header):
    token = _with_header(signers["ES256"], header)

    with pytest.raises(SignedTokenInvalid, match="header"):
        reader.verify(token, [signers["ES256"].jwk()])


def _with_header(signer, extra):
    head, payload, signature = signer.sign(CLAIMS).split(".")
    members = json.loads(base64.urlsafe_b64decode(head + "==")) | extra
    changed = base64.urlsafe_b64encode(json.dumps(members).encode()).rstrip(b"=").decode()
    return f"{changed}.{payload}.{signature}"


def test_published_keys_are_fetched_and_a_new_one_is_found(reader, http, signers):
    http.serve(URL, {"keys": [signers["ES256"].jwk()]})
    assert reader.verify_published(signers["ES256"].sign(CLAIMS), URL)
    newer = Signer("EdDSA", "k2")
    http.serve(URL, {"keys": [signers["ES256"].jwk(), newer.jwk()]})

    assert reader.verify_published(newer.sign(CLAIMS), URL)


def test_keys_that_cannot_be_had_are_no_fault_of_the_token(reader, http, signers):
    http.fail(URL)

    with pytest.raises(KeysUnavailable):
        reader.verify_published(signers["ES256"].sign(CLAIMS), URL)


def test_x02_an_algorithm_is_judged_before_any_key_is_fetched(reader, http):
    with pytest.raises(SignedTokenInvalid, match="alg"):
        reader.verify_published(unsigned(CLAIMS), URL)

    assert http.asked == []


def test_a_registered_key_keeps_its_public_members_alone(reader, signers):
    given = signers["ES256"].jwk(x5c=["abc"], use="sig", note="mine", alg="ES256")

    kept = reader.check_key(json.dumps(given))

    assert set(kept) == {"kty", "crv", "x", "y", "kid", "alg"}


def test_a_key_without_a_name_gets_one_that_follows_from_it(reader, signers):
    named = reader.check_key(signers["EdDSA"].pem())

    assert named["kid"] == reader.check_key(signers["EdDSA"].pem())["kid"]
    assert len(named["kid"]) == 43


def test_the_name_of_a_key_is_its_thumbprint(reader):
    # RFC 8037 appendix A.3.
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}

    assert reader.check_key(json.dumps(jwk))["kid"] == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_keys_that_must_not_be_registered(reader, signers):
    weak = Signer("RS256")
    private = jwt.algorithms.ECAlgorithm.to_jwk(signers["ES256"].key)
    refused = [
        private,
        signers["ES256"].private_pem(),
        json.dumps({"kty": "oct", "k": "c2VjcmV0"}),
        json.dumps(signers["ES256"].jwk(use="enc")),
        json.dumps(signers["ES256"].jwk(alg="ES512")),
        json.dumps(signers["ES256"].jwk(kid="")),
        json.dumps(signers["ES256"].jwk(kid=7)),
        json.dumps({**weak.jwk(), "n": "AQAB"}),
        "not a key",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        "[]",
        "A" * 30_000,
    ]

    for text in refused:
        with pytest.raises(ValueError, match=r".") as caught:
            reader.check_key(text)
        assert text[:200] not in str(caught.value)


def issuer(http, **changes):
    settings = IssuerSettings("cluster", ISSUER, "latchkey", **changes)
    return PublishedIssuer(settings, http, SetClock())


def test_an_issuers_keys_are_discovered(http, signers):
    http.serve(DISCOVERY, {"issuer": ISSUER, "jwks_uri": URL})
    http.serve(URL, {"keys": [signers["RS256"].jwk()]})
    trusted = issuer(http)

    assert trusted.verify(signers["RS256"].sign(CLAIMS)).claims == CLAIMS
    assert trusted.verify(signers["RS256"].sign(CLAIMS)).claims == CLAIMS
    assert http.asked == [DISCOVERY, URL]


def test_nobody_waits_while_a_known_issuer_is_discovered_anew(signers):
    token, clock, verified = signers["RS256"].sign(CLAIMS), SetClock(), []

    class SlowHTTP(ScriptedHTTP):
        def request(self, method, url, **options):
            if self.asked.count(DISCOVERY) == 1 and url == DISCOVERY:
                other = threading.Thread(target=lambda: verified.append(trusted.verify(token)), daemon=True)
                other.start()
                other.join(5)
                assert verified, "another caller waits for this one"
            return super().request(method, url, **options)

    http = SlowHTTP()
    http.serve(DISCOVERY, {"issuer": ISSUER, "jwks_uri": URL})
    http.serve(URL, {"keys": [signers["RS256"].jwk()]})
    trusted = PublishedIssuer(IssuerSettings("cluster", ISSUER, "latchkey"), http, clock)
    trusted.verify(token)
    clock.advance(hours=2)

    assert trusted.verify(token)
    assert http.asked.count(DISCOVERY) == 2


@pytest.mark.parametrize(
    "document", [{"issuer": ISSUER + "/", "jwks_uri": URL}, {"issuer": ISSUER}, {"jwks_uri": URL}, b"not json"]
)
def test_a_discovery_document_of_somebody_else_is_not_used(http, signers, document):
    http.serve(DISCOVERY, document)

    with pytest.raises(KeysUnavailable):
        issuer(http).verify(signers["RS256"].sign(CLAIMS))


def test_configured_keys_need_no_discovery_and_another_issuer_is_refused(http, signers):
    http.serve(URL, {"keys": [signers["RS256"].jwk()]})
    trusted = issuer(http, jwks_uri=URL)

    assert trusted.verify(signers["RS256"].sign(CLAIMS))
    with pytest.raises(SignedTokenInvalid, match="iss"):
        trusted.verify(signers["RS256"].sign({**CLAIMS, "iss": ISSUER + "/"}))


@pytest.mark.parametrize(
    ("clients", "claims", "may"),
    [
        ({}, {}, True),
        ({}, {"azp": "anything"}, True),
        ({"web": "scheduler"}, {"azp": "web"}, True),
        ({"web": "scheduler"}, {"client_id": "web"}, True),
        ({"web": "scheduler"}, {"azp": "other", "client_id": "web"}, False),
        ({"web": "reporter"}, {"azp": "web"}, False),
        ({"web": "scheduler"}, {}, False),
        ({"web": "scheduler"}, {"azp": ["web"]}, False),
        ({}, {"may_act": {"sub": "scheduler"}}, True),
        ({}, {"may_act": {"sub": "reporter"}}, False),
        ({}, {"may_act": "scheduler"}, False),
        ({"web": "scheduler"}, {"azp": "web", "may_act": {"sub": "reporter"}}, False),
    ],
)
def test_x11_a_token_made_for_one_client_is_refused_to_another_service(http, clients, claims, may):
    trusted = issuer(http, clients=clients)
    token = SignedTokenReader(KeySets(http, SetClock())).glance(unsigned(claims))

    assert trusted.lets_use(token, SERVICE) is may
    assert trusted.lets_use(token, Service(SERVICE.id, "scheduler2")) is (not clients and "may_act" not in claims)


def test_issuers_are_told_apart_byte_by_byte(http):
    registry = IssuerRegistry([issuer(http)])

    assert registry.keys() == ("cluster",)
    assert registry.of(ISSUER) is not None
    assert registry.of(ISSUER + "/") is None
    assert registry.of(ISSUER.upper()) is None
