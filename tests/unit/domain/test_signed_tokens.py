"""What claims are believed, apart from the signature."""

from datetime import UTC, datetime, timedelta

import pytest

from app.domain.errors import SignedTokenInvalid
from app.domain.signed_tokens import PLAIN_TYPES, SignedToken, check_issued, check_statement

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
AT = NOW.timestamp()
US = "https://latchkey.example.test"
CLAIMS = {"iss": "scheduler", "sub": "scheduler", "aud": US, "iat": AT, "exp": AT + 60, "jti": "one"}


def statement(header=None, **changes):
    return SignedToken(header or {}, {k: v for k, v in (CLAIMS | changes).items() if v is not ...})


def test_a_good_statement_says_what_makes_it_usable_once():
    use = check_statement(statement(), US, PLAIN_TYPES, NOW)

    assert use.jti == "one"
    assert use.expires_at == NOW + timedelta(seconds=60)


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"aud": ...}, "aud"),
        ({"aud": "https://other.example.test"}, "aud"),
        ({"aud": US + "/"}, "aud"),
        ({"aud": [US]}, "aud"),
        ({"aud": [US, "https://other.example.test"]}, "aud"),
        ({"exp": ...}, "exp"),
        ({"exp": AT}, "exp"),
        ({"exp": AT - 1}, "exp"),
        ({"exp": AT + 61}, "exp"),
        ({"exp": AT + 301, "iat": AT + 250}, "exp"),
        ({"exp": AT + 30, "iat": AT + 31}, "exp"),
        ({"exp": str(AT + 30)}, "exp"),
        ({"exp": True}, "exp"),
        ({"exp": float("nan")}, "exp"),
        ({"exp": 10**400}, "exp"),
        ({"iat": ...}, "iat"),
        ({"iat": None}, "iat"),
        ({"nbf": AT + 301}, "nbf"),
        ({"jti": ...}, "jti"),
        ({"jti": ""}, "jti"),
        ({"jti": 7}, "jti"),
        ({"jti": "x" * 256}, "jti"),
        ({"jti": "a\0b"}, "jti"),
    ],
)
def test_x02_what_a_statement_must_say(changes, check):
    with pytest.raises(SignedTokenInvalid) as caught:
        check_statement(statement(**changes), US, PLAIN_TYPES, NOW)

    assert caught.value.detail == check


def test_a_clock_that_runs_four_minutes_ahead_is_borne():
    assert check_statement(statement(iat=AT + 235, exp=AT + 295), US, PLAIN_TYPES, NOW)


@pytest.mark.parametrize(
    ("typ", "accepted"), [(..., True), ("JWT", True), ("jwt", True), ("at+jwt", False), (7, False)]
)
def test_x02_types_are_compared_as_media_types(typ, accepted):
    token = statement({} if typ is ... else {"typ": typ})

    if accepted:
        assert check_statement(token, US, PLAIN_TYPES, NOW)
    else:
        with pytest.raises(SignedTokenInvalid, match="typ"):
            check_statement(token, US, PLAIN_TYPES, NOW)


@pytest.mark.parametrize(
    ("changes", "alone", "check"),
    [
        ({}, True, None),
        ({"aud": [US]}, True, None),
        ({"aud": [US, "other"]}, False, None),
        ({"aud": [US, "other"]}, True, "aud"),
        ({"aud": ["other"]}, False, "aud"),
        ({"aud": []}, False, "aud"),
        ({"aud": ...}, False, "aud"),
        ({"exp": AT + 86400, "iat": ..., "jti": ...}, True, None),
        ({"exp": AT}, True, "exp"),
        ({"exp": ...}, True, "exp"),
        ({"iat": AT + 31}, True, "iat"),
        ({"iat": "now"}, True, "iat"),
        ({"nbf": AT + 31}, True, "nbf"),
        ({"nbf": AT + 29}, True, None),
    ],
)
def test_what_a_token_of_a_trusted_issuer_must_say(changes, alone, check):
    if check is None:
        assert check_issued(statement(**changes), US, NOW, alone=alone) > NOW
    else:
        with pytest.raises(SignedTokenInvalid, match=check):
            check_issued(statement(**changes), US, NOW, alone=alone)
