"""The ID-token validator against planted bad tokens, all signed with real keys."""

import base64
import hashlib
import hmac
import json
import threading
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from app.domain.errors import IDTokenInvalid, ProviderUnavailable
from app.domain.secret import Secret
from app.providers.google.identity import check_issuer as google_issuer
from app.providers.id_tokens import IDTokenValidator, TokenRules, exactly
from app.providers.key_sets import KeySets
from app.providers.microsoft.issuer import PERSONAL_TENANT, TenantRule
from tests.unit.providers.scripted_http import ScriptedHTTP, SetClock

CLIENT = "client-1"
ISSUER = "https://idp.example.test"
JWKS = "https://idp.example.test/jwks"
NONCE = "the-nonce"
ACCESS = Secret("the-access-token")
TENANT = "a1b2c3d4-0000-4000-8000-000000000001"
OID = "0f0e0d0c-0000-4000-8000-00000000000a"
ENTRA = "https://login.microsoftonline.com/{tenantid}/v2.0"


@pytest.fixture(scope="module")
def rsa_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def other_rsa_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def ec_key():
    return ec.generate_private_key(ec.SECP256R1())


def jwk(key, kid="k1", **members):
    algorithm = jwt.algorithms.ECAlgorithm if hasattr(key, "curve") else jwt.algorithms.RSAAlgorithm
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig", **members}


def unpadded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def at_hash(token):
    return unpadded(hashlib.sha256(token.encode()).digest()[:16])


class Issuer:
    """An OpenID provider in memory: signs tokens, publishes keys."""

    def __init__(self, key):
        self.key = key
        self.http = ScriptedHTTP()
        self.clock = SetClock()
        self.http.serve(JWKS, {"keys": [jwk(key)]})
        self.keys = KeySets(self.http, self.clock)
        self.validator = IDTokenValidator(self.keys, self.clock)
        self.rules = TokenRules(CLIENT, JWKS, frozenset({"RS256"}), exactly(ISSUER))

    def claims(self, **changes):
        now = int(self.clock().timestamp())
        claims = {
            "iss": ISSUER,
            "aud": CLIENT,
            "sub": "subject-1",
            "iat": now,
            "exp": now + 3600,
            "nonce": NONCE,
            "at_hash": at_hash(ACCESS.reveal()),
        }
        return {name: value for name, value in {**claims, **changes}.items() if value is not ...}

    def sign(self, claims=None, *, key=None, algorithm="RS256", **header):
        header = {"kid": "k1", **header}
        headers = {name: value for name, value in header.items() if value is not ...}
        claims = self.claims() if claims is None else claims
        payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
        return Secret(jwt.PyJWS().encode(payload, key or self.key, algorithm=algorithm, headers=headers))

    def validate(self, token, *, nonce=NONCE, access_token=ACCESS, rules=None):
        return self.validator.validate(token, rules or self.rules, nonce=nonce, access_token=access_token)

    def refuses(self, token, check, **options):
        with pytest.raises(IDTokenInvalid) as caught:
            self.validate(token, **options)
        assert caught.value.detail == check


@pytest.fixture
def issuer(rsa_key):
    return Issuer(rsa_key)


def raw(header, claims, sign=lambda _text: b""):
    text = f"{unpadded(json.dumps(header).encode())}.{unpadded(json.dumps(claims).encode())}"
    return Secret(f"{text}.{unpadded(sign(text.encode()))}")


def test_a_good_token_is_accepted(issuer):
    assert issuer.validate(issuer.sign()).claims["sub"] == "subject-1"


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE"])
def test_t01_an_unsigned_token_is_refused(issuer, name):
    issuer.refuses(raw({"alg": name, "kid": "k1"}, issuer.claims()), "alg")


def test_t01_a_mac_keyed_with_the_public_key_is_refused(issuer, rsa_key):
    pem = rsa_key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    forged = raw({"alg": "HS256", "kid": "k1"}, issuer.claims(), lambda text: hmac.digest(pem, text, "sha256"))

    issuer.refuses(forged, "alg")


@pytest.mark.parametrize("algorithm", ["RS512", "PS256", "RS384"])
def test_t01_a_sound_algorithm_that_is_not_pinned_is_refused(issuer, algorithm):
    issuer.refuses(issuer.sign(algorithm=algorithm), "alg")


@pytest.mark.parametrize("header", [{"crit": ["exp"]}, {"crit": []}, {"b64": True}, {"enc": "A256GCM"}])
def test_t01_headers_that_change_the_meaning_are_refused(issuer, header):
    issuer.refuses(raw({"alg": "RS256", "kid": "k1", **header}, issuer.claims()), "header")


def test_t01_a_token_that_carries_its_own_key_is_checked_with_ours(issuer, other_rsa_key):
    issuer.refuses(issuer.sign(key=other_rsa_key, jwk=jwk(other_rsa_key), jku="https://evil.example.test"), "signature")


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c.d.e", "..", "é.b.c", "e30.e30.", "!!.e30.x"])
def test_t01_what_is_no_signed_token_is_refused(issuer, text):
    with pytest.raises(IDTokenInvalid):
        issuer.validate(Secret(text))


def test_t01_a_key_of_another_type_is_never_used(rsa_key, ec_key):
    issuer = Issuer(rsa_key)
    issuer.http.serve(JWKS, {"keys": [jwk(ec_key)]})

    issuer.refuses(issuer.sign(), "key")


@pytest.mark.parametrize(
    "weak",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "k1"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "k1"},
        {"kty": "RSA", "kid": "k1"},
        "nonsense",
    ],
)
def test_t01_weak_and_unreadable_keys_count_as_no_key(issuer, weak):
    issuer.http.serve(JWKS, {"keys": [weak]})

    with pytest.raises(ProviderUnavailable, match="bad_key_set"):
        issuer.validate(issuer.sign())


def test_t01_an_encryption_key_is_not_used(issuer, rsa_key, other_rsa_key):
    issuer.http.serve(JWKS, {"keys": [jwk(rsa_key, use="enc"), jwk(other_rsa_key, "k2")]})

    issuer.refuses(issuer.sign(), "key")


def test_a_changed_payload_breaks_the_signature(issuer):
    head, _payload, signature = issuer.sign().reveal().split(".")
    forged = f"{head}.{unpadded(json.dumps(issuer.claims(sub='other')).encode())}.{signature}"

    issuer.refuses(Secret(forged), "signature")


def test_an_elliptic_signature_is_accepted_where_it_is_pinned(ec_key):
    issuer = Issuer(ec_key)
    rules = TokenRules(CLIENT, JWKS, frozenset({"ES256"}), exactly(ISSUER))

    assert issuer.validate(issuer.sign(algorithm="ES256"), rules=rules).issuer == ISSUER


@pytest.mark.parametrize("iss", [..., None, "", ISSUER + "/", ISSUER.upper(), "https://evil.example.test", [ISSUER], 7])
def test_t02_another_issuer_is_refused(issuer, iss):
    issuer.refuses(issuer.sign(issuer.claims(iss=iss)), "iss")


@pytest.mark.parametrize("spelling", ["accounts.google.com", "https://accounts.google.com"])
def test_t02_both_spellings_of_google_are_one_issuer(issuer, spelling):
    rules = TokenRules(CLIENT, JWKS, frozenset({"RS256"}), google_issuer)

    assert (
        issuer.validate(issuer.sign(issuer.claims(iss=spelling)), rules=rules).issuer == "https://accounts.google.com"
    )
    issuer.refuses(issuer.sign(issuer.claims(iss=spelling + "/")), "iss", rules=rules)


def entra(issuer, rsa_key, *, tenant="common", allowed=(), personal=True, key_issuer=ENTRA):
    issuer.http.serve(JWKS, {"keys": [jwk(rsa_key, issuer=key_issuer)]})
    rule = TenantRule(tenant, frozenset(allowed), personal)
    return TokenRules(CLIENT, JWKS, frozenset({"RS256"}), rule)


def entra_claims(issuer, tid=TENANT, **changes):
    return issuer.claims(
        **{"iss": ENTRA.replace("{tenantid}", str(tid)), "tid": tid, "oid": OID, "ver": "2.0", **changes}
    )


def test_t02_a_tenant_token_is_accepted_and_names_its_issuer(issuer, rsa_key):
    rules = entra(issuer, rsa_key)

    valid = issuer.validate(issuer.sign(entra_claims(issuer)), rules=rules)

    assert valid.issuer == f"https://login.microsoftonline.com/{TENANT}/v2.0"


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"iss": ENTRA}, "iss"),
        ({"iss": f"https://sts.windows.net/{TENANT}/"}, "iss"),
        ({"iss": ENTRA.replace("{tenantid}", TENANT) + "/"}, "iss"),
        ({"iss": ENTRA.replace("{tenantid}", OID)}, "iss"),
        ({"tid": "not-a-guid"}, "tid"),
        ({"tid": f"{TENANT}/v2.0/x"}, "tid"),
        ({"tid": ...}, "tid"),
        ({"oid": ...}, "oid"),
        ({"oid": "someone@example.com"}, "oid"),
        ({"ver": "1.0"}, "ver"),
    ],
)
def test_t02_a_tenant_token_with_a_wrong_claim_is_refused(issuer, rsa_key, changes, check):
    rules = entra(issuer, rsa_key)

    issuer.refuses(issuer.sign(entra_claims(issuer, **changes)), check, rules=rules)


def test_t02_a_key_bound_to_one_tenant_vouches_for_no_other(issuer, rsa_key):
    rules = entra(issuer, rsa_key, key_issuer=ENTRA.replace("{tenantid}", PERSONAL_TENANT))

    issuer.refuses(issuer.sign(entra_claims(issuer)), "key_issuer", rules=rules)
    assert issuer.validate(issuer.sign(entra_claims(issuer, PERSONAL_TENANT)), rules=rules)


@pytest.mark.parametrize(
    ("tid", "settings", "admitted"),
    [
        (TENANT, {}, True),
        (TENANT, {"allowed": [TENANT]}, True),
        (TENANT, {"allowed": [OID]}, False),
        (TENANT, {"tenant": TENANT}, True),
        (TENANT, {"tenant": TENANT.upper()}, True),
        (TENANT, {"tenant": OID}, False),
        (TENANT, {"tenant": "consumers"}, False),
        (TENANT, {"tenant": "organizations"}, True),
        (PERSONAL_TENANT, {}, True),
        (PERSONAL_TENANT, {"personal": False}, False),
        (PERSONAL_TENANT, {"tenant": "organizations"}, False),
        (PERSONAL_TENANT, {"tenant": "consumers"}, True),
        (PERSONAL_TENANT, {"tenant": TENANT}, False),
        (PERSONAL_TENANT, {"allowed": [TENANT]}, False),
        (PERSONAL_TENANT, {"tenant": "example.org"}, False),
    ],
)
def test_t02_the_operator_decides_which_tenants_connect(issuer, rsa_key, tid, settings, admitted):
    rules = entra(issuer, rsa_key, **settings)
    token = issuer.sign(entra_claims(issuer, tid))

    if admitted:
        assert issuer.validate(token, rules=rules)
    else:
        issuer.refuses(token, "tenant", rules=rules)


@pytest.mark.parametrize("aud", [..., None, "", "other", [], ["other"], [CLIENT, "other"], {CLIENT: 1}, [[CLIENT]]])
def test_t03_a_token_for_somebody_else_is_refused(issuer, aud):
    issuer.refuses(issuer.sign(issuer.claims(aud=aud)), "aud")


@pytest.mark.parametrize("azp", ["other", None, "", [CLIENT]])
def test_t03_another_authorized_party_is_refused(issuer, azp):
    issuer.refuses(issuer.sign(issuer.claims(azp=azp)), "azp")


def test_t03_a_list_of_us_alone_is_accepted(issuer):
    assert issuer.validate(issuer.sign(issuer.claims(aud=[CLIENT], azp=CLIENT)))


@pytest.mark.parametrize(
    ("name", "offset_s", "accepted"),
    [
        ("exp", -59, True),
        ("exp", -61, False),
        ("iat", 59, True),
        ("iat", 61, False),
        ("iat", -590, True),
        ("iat", -610, False),
        ("nbf", 59, True),
        ("nbf", 61, False),
    ],
)
def test_t04_times_are_judged_with_a_minute_of_skew(issuer, name, offset_s, accepted):
    token = issuer.sign(issuer.claims(**{name: issuer.clock().timestamp() + offset_s}))

    if accepted:
        assert issuer.validate(token)
    else:
        issuer.refuses(token, name)


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", ["4102444800", None, True, [1], {"a": 1}, 10**400])
def test_t04_times_that_are_no_numbers_are_refused(issuer, name, value):
    issuer.refuses(issuer.sign(issuer.claims(**{name: value})), name)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e999"])
def test_t04_times_beyond_json_are_refused(issuer, number):
    claims = json.dumps(issuer.claims(exp="@")).encode().replace(b'"@"', number)

    issuer.refuses(issuer.sign(claims), "claims")


@pytest.mark.parametrize("name", ["exp", "iat", "sub"])
def test_t04_required_claims_must_be_there(issuer, name):
    issuer.refuses(issuer.sign(issuer.claims(**{name: ...})), name)


@pytest.mark.parametrize("sub", ["", None, 7, "x" * 256, "ünicode", ["a"]])
def test_t04_a_subject_is_short_ascii_text(issuer, sub):
    issuer.refuses(issuer.sign(issuer.claims(sub=sub)), "sub")


@pytest.mark.parametrize("nonce", [..., None, "", "other", NONCE + " ", [NONCE], "\ud800"])
def test_t05_another_nonce_is_refused(issuer, nonce):
    issuer.refuses(issuer.sign(issuer.claims(nonce=nonce)), "nonce")


def test_t05_a_replayed_token_fails_in_the_next_transaction(issuer):
    token = issuer.sign()
    issuer.validate(token)

    issuer.refuses(token, "nonce", nonce="nonce-of-the-second-login")


def test_t05_a_refresh_answer_needs_no_nonce(issuer):
    assert issuer.validate(issuer.sign(issuer.claims(nonce=...)), nonce=None)


@pytest.mark.parametrize("value", ["", None, 7, at_hash("another-token"), at_hash("the-access-token") + "="])
def test_t06_a_wrong_access_token_hash_is_refused(issuer, value):
    issuer.refuses(issuer.sign(issuer.claims(at_hash=value)), "at_hash")


def test_t06_a_token_without_the_hash_is_accepted(issuer):
    assert issuer.validate(issuer.sign(issuer.claims(at_hash=...)))


def test_t08_unknown_key_ids_cause_one_forced_fetch_and_known_ones_keep_working(issuer):
    issuer.validate(issuer.sign())
    fetched = len(issuer.http.asked)
    good, refused = [], []

    def attack(number):
        try:
            issuer.validate(issuer.sign(kid=f"unknown-{number}"))
        except IDTokenInvalid as error:
            refused.append(error.detail)
        good.append(issuer.validate(issuer.sign()).issuer)

    threads = [threading.Thread(target=attack, args=(number,)) for number in range(25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert refused == ["key"] * 25
    assert len(good) == 25
    assert len(issuer.http.asked) == fetched + 1


def test_t08_the_next_forced_fetch_waits_half_a_minute(issuer):
    issuer.validate(issuer.sign())
    counts = []
    for pause_s in (0, 29, 2):
        issuer.clock.advance(seconds=pause_s)
        issuer.refuses(issuer.sign(kid="unknown"), "key")
        counts.append(len(issuer.http.asked))

    assert counts == [2, 2, 3]


def test_t09_a_new_key_is_found_and_a_retired_one_is_dropped(issuer, rsa_key, other_rsa_key):
    issuer.validate(issuer.sign())
    issuer.http.serve(JWKS, {"keys": [jwk(other_rsa_key, "k2")]})

    assert issuer.validate(issuer.sign(key=other_rsa_key, kid="k2"))
    issuer.refuses(issuer.sign(), "key")


def test_t09_without_a_key_id_only_a_single_key_is_unambiguous(issuer, rsa_key, other_rsa_key):
    assert issuer.validate(issuer.sign(kid=...))
    issuer.http.serve(JWKS, {"keys": [jwk(rsa_key), jwk(other_rsa_key, "k2")]})
    issuer.keys.forget(JWKS)

    issuer.refuses(issuer.sign(kid=...), "key")


def test_t09_two_keys_with_one_id_are_both_tried(issuer, rsa_key, other_rsa_key):
    issuer.http.serve(JWKS, {"keys": [jwk(other_rsa_key), jwk(rsa_key)]})

    assert issuer.validate(issuer.sign())


def test_t09_a_forgotten_set_is_fetched_anew(issuer, other_rsa_key):
    issuer.validate(issuer.sign())
    issuer.http.serve(JWKS, {"keys": [jwk(other_rsa_key)]})
    issuer.keys.forget(JWKS)

    issuer.refuses(issuer.sign(), "signature")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda http: http.fail(JWKS),
        lambda http: http.serve(JWKS, {"keys": []}),
        lambda http: http.serve(JWKS, b"<html>"),
        lambda http: http.serve(JWKS, {"keys": []}, status=500),
        lambda http: http.serve(JWKS, b"", status=302),
        lambda http: http.serve(JWKS, {"keys": [{"kty": "RSA"}] * 101}),
    ],
)
def test_t10_an_outage_is_bridged_for_a_day_and_then_fails_closed(issuer, spoil):
    issuer.validate(issuer.sign())
    spoil(issuer.http)

    issuer.clock.advance(hours=23)
    assert issuer.validate(issuer.sign())
    issuer.clock.advance(hours=2)
    with pytest.raises(ProviderUnavailable):
        issuer.validate(issuer.sign())


def test_t10_keys_are_renewed_every_hour(issuer):
    for hours in (0, 0.5, 0.6, 0.2, 1):
        issuer.clock.advance(hours=hours)
        issuer.validate(issuer.sign())

    assert len(issuer.http.asked) == 3


def test_callers_queued_behind_a_provider_that_hangs_fail_together(rsa_key):
    issuer = Issuer(rsa_key)
    token = issuer.sign()
    outcomes = []

    class Hanging(ScriptedHTTP):
        def request(self, _method, url, **_options):
            self.asked.append(url)
            time.sleep(0.2)
            raise ProviderUnavailable("timeout")

    http = Hanging()
    validator = IDTokenValidator(KeySets(http, issuer.clock), issuer.clock)

    def ask():
        try:
            validator.validate(token, issuer.rules, nonce=NONCE, access_token=None)
        except ProviderUnavailable as error:
            outcomes.append(error.detail)

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert len(outcomes) == 10
    assert len(http.asked) == 1


def test_t12_an_oversized_token_is_refused_before_it_is_decoded(issuer):
    issuer.refuses(issuer.sign(issuer.claims(padding="x" * 20_000)), "size")
    assert issuer.http.asked == []


def test_t12_deep_and_doubled_claims_are_refused(issuer):
    deep = json.dumps(issuer.claims()).encode()[:-1] + b',"d":' + b"[" * 500 + b"]" * 500 + b"}"
    doubled = json.dumps(issuer.claims()).encode()[:-1] + b',"sub":"somebody-else"}'

    issuer.refuses(issuer.sign(deep), "claims")
    issuer.refuses(issuer.sign(doubled), "claims")
