"""What a person sees while a provider fails: a page with a reason and one thing to do; afterwards it works again."""

from __future__ import annotations

import html
import re

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.sandbox.consent import approve
from app.web.application import create_app
from app.web.settings import WebSettings
from tests.faults.installation import ACCOUNT_OF, KEY_OF, PUBLIC_URL, Installation

FAULTS = {
    "500": {"kind": "status", "status": 500},
    "a gateway's page": {"kind": "status", "status": 502, "body": "html"},
    "429": {"kind": "status", "status": 429, "retry_after": "7"},
    "garbage": {"kind": "garbage"},
    "truncated": {"kind": "truncate"},
    "reset": {"kind": "reset"},
    "a lost answer": {"kind": "lose_answer"},
    "invalid_client": {"kind": "invalid_client"},
    "invalid_grant": {"kind": "invalid_grant"},
    "a forged ID token": {"kind": "bad_id_token", "error": "forged"},
    "another's ID token": {"kind": "bad_id_token", "error": "audience"},
}
TECHNICAL = re.compile(r"Traceback|Exception|Error\b.*line \d+|\{&#34;|AADSTS\d+|psycopg|sqlalchemy|None\b")


class Browser:
    """Somebody with a browser, inside this process."""

    def __init__(self, place: Installation) -> None:
        self._place = place
        app = create_app(place.services, WebSettings(PUBLIC_URL, place.services.csrf_key))
        self._client: FlaskClient = app.test_client()

    def get(self, path: str) -> TestResponse:
        return self._client.get(path, base_url=PUBLIC_URL, follow_redirects=True)

    def post(self, path: str, form_on: str, **form: object) -> TestResponse:
        token = re.search(r'name="csrf_token" value="([0-9a-f]+)"', self.get(form_on).text)
        assert token is not None
        return self._client.post(
            path, base_url=PUBLIC_URL, data={"csrf_token": token.group(1), **form}, headers={"Origin": PUBLIC_URL}
        )

    def agree(self, kind: str, leaving: TestResponse) -> TestResponse:
        """Agree at the provider that a page leads to, and come back."""
        url = re.search(r'class="button main" href="([^"]+)"', leaving.text)
        assert url is not None, leaving.text
        state = self._place.sandbox.state
        with state.lock:
            location = approve(state, html.unescape(url.group(1)), ACCOUNT_OF[kind]).location
        return self.get(location.removeprefix(PUBLIC_URL))

    def sign_in(self, kind: str = "google") -> TestResponse:
        return self.agree(kind, self.post(f"/sign-in/{KEY_OF[kind]}", "/"))

    def connect(self, kind: str) -> TestResponse:
        features = {} if kind == "oidc" else {"feature": ["calendar.read"]}
        return self.agree(kind, self.post(f"/connect/{KEY_OF[kind]}", "/connect", **features))


def assert_clear(page: TestResponse, name: str) -> None:
    """Assert that a page of an error says what happened in words and offers exactly one main action."""
    assert page.status_code >= 400, name
    assert page.mimetype == "text/html", name
    assert len(re.findall(r"<h1>", page.text)) == 1, name
    assert len(re.findall(r'class="button main"', page.text)) == 1, name
    assert TECHNICAL.search(page.text) is None, f"{name}: {TECHNICAL.search(page.text)}"


@pytest.mark.parametrize("kind", ["google", "microsoft", "oidc"])
def test_signing_in_fails_clearly_and_works_the_next_time(place: Installation, kind: str) -> None:
    browser = Browser(place)
    for name, members in FAULTS.items():
        script(place, f"{kind}.token", members)

        page = browser.sign_in(kind)
        place.mend()

        assert_clear(page, name)
        assert "/sign-out" not in browser.get("/").text, name
    assert browser.sign_in(kind).status_code == 200
    assert place.rows("SELECT count(*) FROM people") == [(1,)]


@pytest.mark.parametrize("kind", ["google", "microsoft", "oidc"])
def test_connecting_fails_clearly_leaves_nothing_behind_and_works_the_next_time(place: Installation, kind: str) -> None:
    browser = Browser(place)
    browser.sign_in()
    for name, members in FAULTS.items():
        script(place, f"{kind}.token", members)

        page = browser.connect(kind)
        place.mend()

        assert_clear(page, name)
        assert place.rows("SELECT count(*) FROM connections") == [(0,)], name
    connected = browser.connect(kind)
    assert connected.status_code == 200
    assert place.rows("SELECT status FROM connections") == [("active",)]


@pytest.mark.parametrize("kind", ["google", "microsoft", "oidc"])
def test_an_error_of_the_provider_s_page_is_told_in_our_words(place: Installation, kind: str) -> None:
    browser = Browser(place)
    browser.sign_in()
    for error in ("access_denied", "server_error", "invalid_scope", "no_such_word"):
        place.fault(f"{kind}.authorize", "oauth_error", error=error, description="<script>alert(1)</script> of theirs")

        page = browser.connect(kind)

        assert_clear(page, error)
        assert "alert(1)" not in page.text
        assert "of theirs" not in page.text


def script(place: Installation, operation: str, members: dict) -> None:
    rest = dict(members)
    place.fault(operation, rest.pop("kind"), **rest)
