"""What is raised when there is no token, and what is tried again before."""

from __future__ import annotations

import socket
import time
from datetime import UTC, datetime

import pytest

from fake_latchkey import Reply
from latchkey_client import (
    InteractionRequired,
    InvalidClient,
    InvalidRequest,
    InvalidTarget,
    LatchkeyError,
    NotAllowed,
    ProtocolError,
    RateLimited,
    TemporarilyUnavailable,
)

SINCE = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "body", "error", "members"),
    [
        (
            400,
            {"error": "interaction_required", "reason": "revoked_by_user", "connect_uri": "https://l/r/1",
             "since": "2031-05-06T07:08:09Z"},
            InteractionRequired,
            {"reason": "revoked_by_user", "connect_uri": "https://l/r/1", "since": SINCE, "missing_scopes": ()},
        ),
        (
            400,
            {"error": "interaction_required", "reason": "scope_insufficient", "missing_scopes": ["a", "b"],
             "connect_uri": "https://l/r/1"},
            InteractionRequired,
            {"reason": "scope_insufficient", "missing_scopes": ("a", "b"), "since": None},
        ),
        (
            400,
            {"error": "interaction_required", "reason": "admin_approval_required", "admin_uri": "https://l/a"},
            InteractionRequired,
            {"admin_uri": "https://l/a", "connect_uri": None},
        ),
        (400, {"error": "unauthorized_client", "reason": "policy"}, NotAllowed, {"reason": "policy"}),
        (403, {"error": "unauthorized_client", "reason": "client_frozen"}, NotAllowed, {"reason": "client_frozen"}),
        (400, {"error": "invalid_target"}, InvalidTarget, {"reason": None, "until": None}),
        (
            400,
            {"error": "invalid_target", "reason": "paused_by_user", "until": "2031-05-06T07:08:09Z"},
            InvalidTarget,
            {"reason": "paused_by_user", "until": SINCE},
        ),
        (
            400,
            {"error": "invalid_request", "reason": "subject_token_invalid", "error_description": "words"},
            InvalidRequest,
            {"reason": "subject_token_invalid", "description": "words"},
        ),
        (400, {"error": "invalid_scope"}, InvalidRequest, {"reason": "invalid_scope"}),
        (429, {"error": "rate_limited"}, RateLimited, {"retry_after": None}),
        (
            503,
            {"error": "temporarily_unavailable", "reason": "breaker_open"},
            TemporarilyUnavailable,
            {"reason": "breaker_open", "retry_after": None},
        ),
        (500, {"error": "server_error"}, TemporarilyUnavailable, {"reason": "server_error"}),
        (502, b"<html>bad gateway</html>", TemporarilyUnavailable, {"reason": "http_502"}),
        (404, b"nothing here", ProtocolError, {}),
        (400, {"error": "unheard_of"}, ProtocolError, {}),
        (204, b"", ProtocolError, {}),
    ],
)  # fmt: skip
def test_each_refusal_has_its_type(latchkey, ask, status, body, error, members):
    latchkey.exchange_replies.append(Reply(status, body))

    with pytest.raises(LatchkeyError) as refused:
        ask.token()

    assert type(refused.value) is error
    assert {name: getattr(refused.value, name) for name in members} == members
    assert "https://" not in str(refused.value)
    assert len(latchkey.exchanges()) == 1


def test_a_refused_credential_is_not_tried_again(latchkey, ask):
    latchkey.service_replies.append(Reply(401, {"error": "invalid_client"}))

    with pytest.raises(InvalidClient):
        ask.token()

    assert (len(latchkey.service_calls()), len(latchkey.exchanges())) == (1, 0)


def test_a_service_token_that_is_refused_is_renewed_once(latchkey, ask):
    latchkey.exchange_replies.append(Reply(401, {"error": "invalid_client"}))

    assert ask.token().value

    first, second = (asked.headers["authorization"] for asked in latchkey.exchanges())
    assert first != second


def test_a_service_that_is_refused_twice_is_told(latchkey, ask):
    latchkey.exchange_replies.extend([Reply(401, {"error": "invalid_client"})] * 2)

    with pytest.raises(InvalidClient):
        ask.token()

    assert len(latchkey.exchanges()) == 2


def test_a_service_token_is_renewed_ahead_of_its_end(latchkey, ask):
    latchkey.service_expires_in = 1
    ask.token(purpose="one")
    ask.token(purpose="two")
    time.sleep(0.95)

    ask.token(purpose="three")

    first, second, third = (asked.headers["authorization"] for asked in latchkey.exchanges())
    assert first == second != third


@pytest.mark.parametrize("status", [429, 503])
def test_waits_as_told_and_asks_again(latchkey, ask, status):
    latchkey.exchange_replies.append(Reply(status, {"error": "x"}, {"Retry-After": "1"}))
    started = time.monotonic()

    token = ask.token(timeout_s=10)

    assert token.value
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize(("status", "error"), [(429, RateLimited), (503, TemporarilyUnavailable)])
def test_a_wait_beyond_the_deadline_is_the_callers(latchkey, ask, status, error):
    latchkey.exchange_replies.append(Reply(status, {"error": "x"}, {"Retry-After": "30"}))

    with pytest.raises(error) as refused:
        ask.token(timeout_s=5)

    assert refused.value.retry_after == 30
    assert len(latchkey.exchanges()) == 1


def test_a_lost_connection_is_tried_again(latchkey, ask):
    latchkey.exchange_replies.extend([Reply(0), Reply(0)])

    assert ask.token().value
    assert len(latchkey.exchanges()) == 3


def test_nobody_there_is_said_within_the_deadline(ask):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        ask.use(url=f"http://127.0.0.1:{probe.getsockname()[1]}", timeout_s=0.5)

        with pytest.raises(TemporarilyUnavailable) as refused:
            ask.token()

    assert refused.value.reason in {"no_connection", "deadline"}


def test_an_answer_that_does_not_come_ends_with_the_deadline(latchkey, ask):
    ask.token(purpose="first")
    latchkey.exchange_replies.append(Reply(delay_s=3))
    started = time.monotonic()

    with pytest.raises(TemporarilyUnavailable) as refused:
        ask.token(timeout_s=0.5)

    assert refused.value.reason in {"no_answer", "deadline"}
    assert time.monotonic() - started < 2.5


def test_a_redirect_is_not_followed(latchkey, ask):
    latchkey.exchange_replies.append(Reply(307, b"", {"Location": f"{latchkey.url}/elsewhere"}))

    with pytest.raises(ProtocolError):
        ask.token()

    assert {asked.path for asked in latchkey.asked} == {"/oauth2/token"}


@pytest.mark.parametrize(
    "address", ["http://latchkey.example.com", "http://10.0.0.1", "ftp://localhost", "localhost:8000", "https://",
                "https://user:secret@latchkey.example.com", "https://latchkey.example.com?a=b"]
)  # fmt: skip
def test_an_unsafe_address_is_refused(ask, address):
    with pytest.raises(ValueError, match="address"):
        ask.use(url=address)


@pytest.mark.parametrize(
    "address", ["http://localhost:1", "http://127.0.0.2:1", "http://[::1]:1", "https://l.example/x"]
)
def test_a_safe_address_is_taken(ask, address):
    ask.use(url=address)


def test_the_environment_sends_nothing_elsewhere(latchkey, ask, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    ask.use()

    assert ask.token(timeout_s=2).value
