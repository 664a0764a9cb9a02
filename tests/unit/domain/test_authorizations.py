"""A callback is checked before anything is believed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from app.domain.authorizations import (
    LIFETIME,
    AuthorizationRequest,
    Callback,
    Purpose,
    check_callback,
    check_issuer,
)
from app.domain.errors import ConsentExpired, StateMismatch
from app.domain.secret import Secret

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PERSON = uuid4()
REQUEST = AuthorizationRequest(
    uuid4(), b"s", b"browser", PERSON, None, "google", Purpose.CONNECT, (), (), "/", b"", NOW, NOW + LIFETIME
)
CALLBACK = Callback("google", "state", Secret("code"), None, None, Secret("cookie"), PERSON)


def test_the_right_browser_person_and_provider_pass() -> None:
    check_callback(REQUEST, CALLBACK, b"browser", NOW)


@pytest.mark.parametrize(
    ("callback", "browser_hash"),
    [
        (CALLBACK, b"other"),
        (CALLBACK, None),
        (replace(CALLBACK, person_id=uuid4()), b"browser"),
        (replace(CALLBACK, person_id=None), b"browser"),
        (replace(CALLBACK, provider="microsoft"), b"browser"),
    ],
    ids=["other browser", "no cookie", "other person", "signed out", "other provider"],
)
def test_anything_else_is_a_mismatch(callback: Callback, browser_hash: bytes | None) -> None:
    with pytest.raises(StateMismatch):
        check_callback(REQUEST, callback, browser_hash, NOW)


def test_ten_minutes_later_it_has_expired() -> None:
    with pytest.raises(ConsentExpired):
        check_callback(REQUEST, CALLBACK, b"browser", NOW + timedelta(minutes=10))


def test_a_sign_in_needs_no_person() -> None:
    check_callback(replace(REQUEST, person_id=None), replace(CALLBACK, person_id=None), b"browser", NOW)


@pytest.mark.parametrize("received", ["https://evil.example", "https://idp.example/", "HTTPS://idp.example", ""])
def test_another_issuer_is_refused_by_simple_comparison(received: str) -> None:
    with pytest.raises(StateMismatch):
        check_issuer("https://idp.example", received, promised=False)


def test_a_promised_issuer_must_be_there() -> None:
    check_issuer("https://idp.example", None, promised=False)
    with pytest.raises(StateMismatch):
        check_issuer("https://idp.example", None, promised=True)
