"""Reading answers of token endpoints."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from app.domain.errors import ProviderThrottled, ProviderUnavailable
from app.domain.secret import Secret
from app.domain.tokens import LONGEST_LIFETIME_S, TokenAnswer
from app.providers.http import Reply
from app.providers.token_answers import Refusal, general_failure, read_token_answer


def reply(body, status=200, **headers):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, data)


def tokens(**members):
    return read_token_answer(reply({"access_token": "at", "token_type": "Bearer", **members}))


def test_a_plain_answer_is_read_whole():
    answer = tokens(refresh_token="rt", id_token="a.b.c", expires_in=3599, scope="openid email")

    assert answer == TokenAnswer(Secret("at"), Secret("rt"), Secret("a.b.c"), 3599, "openid email")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3600", 3600),
        (3599.7, 3599),
        (0, None),
        (-5, None),
        ("-5", None),
        ("soon", None),
        ("٣", None),
        (None, None),
        (True, None),
        ([60], None),
        (10**400, 10**9),
        ("9" * 400, 10**9),
    ],
)
def test_lifetimes_are_read_tolerantly(value, seconds):
    answer = tokens(expires_in=value)

    assert answer.expires_in_s == seconds
    assert answer.lifetime() > timedelta()


def test_the_life_of_the_refresh_token_is_read():
    assert tokens(refresh_token_expires_in=604799).refresh_expires_in_s == 604799
    assert tokens(refresh_expires_in=1800).refresh_expires_in_s == 1800


@pytest.mark.parametrize(
    ("value", "scope"),
    [("a b", "a b"), (["a", "b"], "a b"), ("", None), ("  ", None), ([], None), (None, None), (7, None)],
)
def test_scopes_are_read_tolerantly(value, scope):
    assert tokens(scope=value).scope == scope


@pytest.mark.parametrize("kind", ["bearer", "BEARER", "Bearer"])
def test_the_token_type_has_no_case(kind):
    assert read_token_answer(reply({"access_token": "at", "token_type": kind})).access_token


@pytest.mark.parametrize("value", ["", None, 7, "two\nlines", "tab\t", "ünicode", ["at"]])
def test_an_access_token_that_cannot_be_sent_is_none(value):
    answer = read_token_answer(reply({"access_token": value, "refresh_token": "rt"}))

    assert answer.access_token is None
    assert answer.refresh_token == Secret("rt")


def test_a_refresh_token_is_kept_whatever_else_is_wrong():
    odd = {"refresh_token": "rt", "token_type": "DPoP", "access_token": "at", "error": "odd", "expires_in": {}, "x": []}

    answer = read_token_answer(reply(odd))

    assert answer.refresh_token == Secret("rt")
    assert answer.access_token is None


@pytest.mark.parametrize(
    "odd",
    [b'"expires_in":1e999', b'"expires_in":NaN', b'"expires_in":' + b"9" * 5000, b'"x":1,"x":2', b'"x":"\xff\\ud800"',
     b'"x":' + b"[" * 80 + b"]" * 80],
)  # fmt: skip
def test_a_refresh_token_in_a_document_nobody_should_write_is_kept(odd):
    answer = read_token_answer(reply(b'{"access_token":"at","refresh_token":"rt",' + odd + b"}"))

    assert (answer.access_token, answer.refresh_token) == (Secret("at"), Secret("rt"))
    assert answer.lifetime().total_seconds() <= LONGEST_LIFETIME_S


@pytest.mark.parametrize("body", [{}, {"token_type": "Bearer"}, {"id_token": "a.b.c"}, {"access_token": ""}])
def test_success_without_tokens_is_an_outage(body):
    with pytest.raises(ProviderUnavailable, match="no_token"):
        read_token_answer(reply(body))


def test_an_error_is_an_error_also_with_status_200():
    assert read_token_answer(reply({"error": "invalid_grant"})) == Refusal(200, "invalid_grant")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_outage_even_with_tokens(status):
    with pytest.raises(ProviderUnavailable, match="redirect"):
        read_token_answer(reply({"access_token": "at"}, status))


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
def test_a_server_error_is_an_outage_whatever_its_body_claims(status):
    with pytest.raises(ProviderUnavailable, match=f"http_{status}"):
        read_token_answer(reply({"error": "invalid_grant"}, status))


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"error=invalid_grant"])
def test_a_refusal_must_be_json(body):
    with pytest.raises(ProviderUnavailable):
        read_token_answer(reply(body, 400))


@pytest.mark.parametrize("error", [None, "", 7, {"code": 400}, "x" * 65, "line\nbreak", "eyJ.token with space"])
def test_an_unreadable_error_code_is_never_repeated(error):
    assert read_token_answer(reply({"error": error}, 400)).error == "unknown_error"


def test_the_members_of_both_big_providers_are_read():
    entra = {"error": "invalid_grant", "suberror": "bad_token", "error_codes": [50173, "x"], "error_description": "d"}
    google = {"error": "invalid_grant", "error_subtype": "invalid_rapt"}

    assert read_token_answer(reply(entra, 400)) == Refusal(400, "invalid_grant", "bad_token", (50173,), "d")
    assert read_token_answer(reply(google, 400)).suberror == "invalid_rapt"


@pytest.mark.parametrize(("status", "headers"), [(429, {}), (429, {"Retry_After": "3"}), (503, {"Retry_After": "3"})])
def test_throttling_keeps_the_providers_wish(status, headers):
    with pytest.raises(ProviderThrottled) as caught:
        read_token_answer(reply(b"<html>", status, **headers))

    assert caught.value.retry_after_s == (3 if headers else None)


def test_general_failures_are_the_same_everywhere():
    assert isinstance(general_failure(Refusal(400, "temporarily_unavailable")), ProviderUnavailable)
    assert isinstance(general_failure(Refusal(400, "slow_down", retry_after_s=9)), ProviderThrottled)
    assert general_failure(Refusal(400, "invalid_grant")) is None


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7), (" 7 ", 7), ("0", 0), ("", None), ("-1", None), ("soon", None), ("1.5", None)]
)
def test_retry_after_in_seconds(value, seconds):
    assert reply(b"", 429, Retry_After=value).retry_after_s() == seconds


def test_retry_after_as_a_date():
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    past = format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)

    assert 80 < reply(b"", 503, Retry_After=soon).retry_after_s() <= 90
    assert reply(b"", 503, Retry_After=past).retry_after_s() == 0


def test_an_answer_shows_no_token():
    shown = repr(reply({"access_token": "planted"})) + repr(tokens(refresh_token="planted"))

    assert "planted" not in shown
