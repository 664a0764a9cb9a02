"""The pages in a real Chromium: what only a browser decides (cookies, policy, script)."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from playwright.sync_api import sync_playwright
from werkzeug.serving import make_server

from app.domain.secret import Secret
from app.services.authorization import SignedIn
from app.web.application import create_app
from app.web.settings import WebSettings
from tests.fakes import NOW, PERSON, SESSION_TOKEN, FakeServices, make_item

START = datetime(2026, 11, 23, 13, tzinfo=UTC)


class Served:
    """The application over fakes on a free port of this machine."""

    def __init__(self):
        self.services = FakeServices()
        self.services.authorization.result = SignedIn(PERSON, Secret(SESSION_TOKEN), "/connections")
        self.server = make_server("127.0.0.1", 0, self.answer, threaded=True)
        self.url = f"http://localhost:{self.server.server_port}"
        self.app = create_app(self.services, WebSettings(self.url, b"k" * 32, lambda: NOW))
        # Another host name for the same server: to a browser a provider is another origin.
        self.services.authorization.url = f"http://127.0.0.1:{self.server.server_port}/healthz"
        self.thread = threading.Thread(target=self.server.serve_forever)

    def answer(self, environ, start_response):
        # The address is known only once the server has its port, and the application needs the address.
        return self.app(environ, start_response)


@pytest.fixture
def served():
    served = Served()
    served.thread.start()
    yield served
    served.server.shutdown()
    served.thread.join()
    served.server.server_close()


@pytest.fixture
def complaints():
    return []


@pytest.fixture(scope="module")
def chromium(chromium_path):
    arguments = ["--no-sandbox", "--disable-background-networking", "--no-first-run", "--disable-quic"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=chromium_path, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture
def page(served, chromium, complaints):
    """A signed-in page with cookies of its own that writes down what the browser complains about."""
    context = chromium.new_context()
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{served.url}/callback/google?state=s&code=c")
    yield page
    context.close()


def test_a_consent_leaves_for_another_origin_and_the_policy_is_content(page, served, complaints):
    page.goto(f"{served.url}/connect")
    page.get_by_role("button", name="Continue to Google").click()
    page.wait_for_url("http://127.0.0.1:*/healthz")

    policy_complaints = [text for text in complaints if "Content Security Policy" in text]

    assert policy_complaints == []
    cookies = {cookie["name"]: cookie for cookie in page.context.cookies(served.url)}
    assert set(cookies) == {"__Host-latchkey-session", "__Host-latchkey-consent"}
    assert all(cookie["httpOnly"] and cookie["secure"] for cookie in cookies.values())


def test_a_change_appears_without_a_reload_and_the_focus_stays(page, served, complaints):
    served.services.agenda.items = (make_item(START, START, summary="Before"),)
    page.goto(f"{served.url}/agenda")
    link = page.get_by_role("link", name="Before")
    link.focus()
    page.evaluate("window.marker = 'same page'")

    more = make_item(START, START, summary="After", html_link=None)
    served.services.agenda.items = (*served.services.agenda.items, more)
    page.get_by_text("After").wait_for(timeout=15_000)

    assert page.evaluate("window.marker") == "same page"
    assert page.evaluate("document.activeElement.textContent") == "Before"
    assert complaints == []


def test_a_session_that_ends_elsewhere_leads_an_open_page_to_the_sign_in(page, served):
    page.goto(f"{served.url}/agenda")

    served.services.sessions.live.clear()
    page.get_by_role("heading", name="Sign in").wait_for(timeout=15_000)

    assert page.url == f"{served.url}/?return_to=/agenda"


def test_the_keyboard_reaches_the_content_first(page, served):
    page.goto(f"{served.url}/connections")

    page.keyboard.press("Tab")
    skip = page.evaluate("document.activeElement.className")
    page.keyboard.press("Enter")

    assert skip == "skip"
    assert page.url.endswith("#main")


@pytest.mark.parametrize("path", ["/connections", "/connect", "/agenda"])
def test_pages_fit_a_phone(page, served, path):
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(served.url + path)

    assert page.evaluate("document.documentElement.scrollWidth") <= 360
