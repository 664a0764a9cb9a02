"""What a caller gets, and what Latchkey is asked."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from fake_latchkey import CONNECTION_ID, Reply, exchanged
from latchkey_client import Person, ProtocolError, TokenRequest, UserToken


def test_a_token_says_all_that_latchkey_says(latchkey, ask):
    latchkey.exchange_replies.append(Reply(200, exchanged("token-one", 1800, warning="provider_unavailable")))

    token = ask.token()

    assert (token.value, token.scopes) == ("token-one", ("calendar.read", "openid"))
    assert (token.connection_id, token.handout_id) == (CONNECTION_ID, "handout-9")
    assert token.warning == "provider_unavailable"
    assert token.expires_at.tzinfo is UTC
    assert abs(token.remaining_s() - 1800) < 30


def test_no_token_shows_when_something_is_printed(ask):
    token = ask.token(UserToken("header.payload.signature"))

    shown = f"{token!r} {token} {token.request!r} {ask.client!r}"

    assert token.value not in shown
    assert "payload" not in shown


def test_the_exchange_carries_what_was_asked_and_the_service_token(latchkey, ask):
    ask.token(
        Person("p-1"), "google", features=["calendar.read", "calendar.freebusy"], purpose="brief", account="work",
        min_validity=300,
    )  # fmt: skip

    (asked,) = latchkey.exchanges()
    assert asked.form == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": "p-1",
        "subject_token_type": "urn:latchkey:params:oauth:token-type:person",
        "audience": "google",
        "features": "calendar.freebusy calendar.read",
        "purpose": "brief",
        "account": "work",
        "min_validity": "300",
    }
    assert asked.headers["authorization"].startswith("Bearer service-")


def test_a_secret_is_form_encoded_inside_basic(latchkey, ask):
    ask.token()

    (asked,) = latchkey.service_calls()
    sent = base64.b64decode(asked.headers["authorization"].removeprefix("Basic ")).decode()
    assert sent == "planner:a+secret%2Fwith+%2Bsigns"


def test_the_same_question_is_asked_once(latchkey, ask):
    first = ask.token(features=["calendar.read", "identity"])

    again = ask.token(features=["identity", "calendar.read"])

    assert again is first
    assert len(latchkey.exchanges()) == len(latchkey.service_calls()) == 1


@pytest.mark.parametrize(
    "other", [{"provider": "microsoft"}, {"features": ["identity"]}, {"purpose": "digest"}, {"account": "home"},
              {"user": Person(CONNECTION_ID)}]
)  # fmt: skip
def test_another_question_is_asked_anew(latchkey, ask, other):
    first = ask.token()

    assert ask.token(**other).value != first.value
    assert len(latchkey.exchanges()) == 2
    assert len(latchkey.service_calls()) == 1


def test_a_token_near_its_end_is_not_kept(latchkey, ask):
    latchkey.expires_in = 60

    assert ask.token(min_validity=10).value != ask.token(min_validity=10).value


def test_a_token_too_short_for_this_caller_is_not_used(latchkey, ask):
    short = ask.token(min_validity=60)

    longer = ask.token(min_validity=4000)

    assert longer.value != short.value
    assert [asked.form["min_validity"] for asked in latchkey.exchanges()] == ["60", "4000"]


def test_a_rejected_token_is_named_by_its_hash_until_another_one_came(latchkey, ask):
    first = ask.token()
    ask.rejected(first)

    second = ask.token()

    assert second.value != first.value
    assert ask.token() is second
    hashes = [asked.form.get("rejected_token_sha256") for asked in latchkey.exchanges()]
    assert hashes == [None, hashlib.sha256(first.value.encode()).hexdigest()]


def test_a_rejection_holds_for_every_question_with_that_answer(latchkey, ask):
    latchkey.exchange_replies.extend([Reply(200, exchanged("token-same")), Reply(200, exchanged("token-same"))])
    one, other = ask.token(purpose="one"), ask.token(purpose="other")
    ask.rejected(one)

    assert ask.token(purpose="other").value != other.value
    assert "rejected_token_sha256" in latchkey.exchanges()[-1].form


def test_a_rejected_token_that_comes_for_another_question_is_sent_back(latchkey, ask):
    latchkey.exchange_replies.extend([Reply(200, exchanged("token-same")), Reply(200, exchanged("token-same"))])
    ask.rejected(ask.token(purpose="one"))

    assert ask.token(purpose="other").value != "token-same"
    assert ["rejected_token_sha256" in asked.form for asked in latchkey.exchanges()] == [False, False, True]


def test_a_late_rejection_does_not_harm_the_token_that_came_since(latchkey, ask):
    first = ask.token()
    ask.rejected(first)
    second = ask.token()

    ask.rejected(first)

    assert ask.token() is second


def test_features_in_one_string_are_refused():
    with pytest.raises(TypeError):
        TokenRequest(Person("p-1"), "google", features="calendar.read")


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"\xff",
        {},
        exchanged("token one"),
        exchanged("token\r\nX-Evil: 1"),
        exchanged("token-1", 0),
        exchanged("token-1", True),  # noqa: FBT003 - the answer under test
        exchanged("token-1", "3600"),
        exchanged("token-1", 10**12),
        exchanged("token-1", token_type="mac"),
        exchanged("token-1", handout_id=None),
        exchanged("token-1", padding="x" * 300_000),
    ],
    ids=repr,
)
def test_an_answer_that_is_no_token_is_not_taken_for_one(latchkey, ask, body):
    latchkey.exchange_replies.append(Reply(200, body))

    with pytest.raises(ProtocolError) as refused:
        ask.token()

    assert "token-1" not in str(refused.value)


def test_a_user_token_is_not_outlived_by_its_answer(latchkey, ask):
    def jwt(ends_in_s):
        ends_at = (datetime.now(UTC) + timedelta(seconds=ends_in_s)).timestamp()
        claims = base64.urlsafe_b64encode(json.dumps({"exp": ends_at}).encode()).decode().rstrip("=")
        return UserToken(f"e30.{claims}.c2ln")

    ending, lasting = jwt(0.5), jwt(600)
    first = {user: ask.token(user).value for user in (ending, lasting)}
    time.sleep(0.6)

    assert ask.token(ending).value != first[ending]
    assert ask.token(lasting).value == first[lasting]
