"""The application over fakes, and browsers with and without a session."""

from __future__ import annotations

import base64
import re
from urllib.parse import quote_plus

import pytest

from app.web.application import create_app
from app.web.cookies import CONSENT, SESSION
from app.web.settings import WebSettings
from tests.fakes import BROWSER_TOKEN, NOW, SERVICE, SERVICE_SECRET, SESSION_TOKEN, FakeServices

PUBLIC_URL = "https://latchkey.example.test"


class Browser:
    """A test client that sends forms as a browser does: the page's token, own origin, same site."""

    def __init__(self, app):
        self.client = app.test_client()

    def get(self, path, **more):
        return self.client.get(path, base_url=PUBLIC_URL, **more)

    def submit(self, page_path, action, data=None, headers=None):
        """Open a page, take the token of the form with this action, and send the form."""
        text = self.get(page_path).get_data(as_text=True)
        form = re.search(rf'action="{re.escape(action)}".*?name="csrf_token" value="([0-9a-f]*)"', text, re.DOTALL)
        assert form is not None, f"no form to {action} on {page_path}"
        return self.post(action, {"csrf_token": form.group(1), **(data or {})}, headers)

    def post(self, path, data=None, headers=None):
        own = {"Origin": "null", "Sec-Fetch-Site": "same-origin", **(headers or {})}
        return self.client.post(path, base_url=PUBLIC_URL, data=data, headers=own)

    def cookie(self, name):
        return self.client.get_cookie(name, domain="latchkey.example.test")

    def set_cookie(self, name, value):
        self.client.set_cookie(name, value, domain="latchkey.example.test", secure=True)


@pytest.fixture
def services():
    return FakeServices()


@pytest.fixture
def app(services):
    return create_app(services, WebSettings(PUBLIC_URL, b"k" * 32, lambda: NOW))


@pytest.fixture
def stranger(app):
    """A browser nobody has signed in with."""
    return Browser(app)


@pytest.fixture
def browser(app):
    """A signed-in browser."""
    signed_in = Browser(app)
    signed_in.set_cookie(SESSION, SESSION_TOKEN)
    signed_in.set_cookie(CONSENT, BROWSER_TOKEN)
    return signed_in


@pytest.fixture
def client(app):
    """A program without cookies."""
    return app.test_client(use_cookies=False)


@pytest.fixture
def basic():
    """HTTP Basic of the known service, both parts form-encoded (RFC 6749 section 2.3.1)."""
    pair = f"{quote_plus(SERVICE.name)}:{quote_plus(SERVICE_SECRET)}"
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
