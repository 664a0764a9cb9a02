"""Steps of a person through the pages of the product and the sandbox, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from playwright.sync_api import ConsoleMessage, Locator, Page, Request, Response, expect

from tests.running_product import Person, Product

SOON_MS = 10_000
"""For what a person waits for at a provider or for first events."""
LIVE_MS = 5_000
"""For a change at the provider to show here."""


@dataclass
class Watch:
    """Collects what a browser complains about: console, failed requests, answers that are errors."""

    complaints: list[str] = field(default_factory=list)
    expected: set[int] = field(default_factory=set)
    """Statuses of error pages the test walks into on purpose."""

    def follow(self, page: Page) -> None:
        page.set_default_timeout(SOON_MS)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)

    def _console(self, message: ConsoleMessage) -> None:
        # The browser repeats an error status on the console; `_answered` judges those.
        if not message.text.startswith("Failed to load resource"):
            self.complaints.append(f"console: {message.text}")

    def _failed(self, request: Request) -> None:
        # A request that a navigation cut short, as when a page leads on at once, is no failure.
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"failed: {request.method} {request.url} {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.expected:
            self.complaints.append(f"status {response.status}: {response.request.method} {response.url}")


def sign_in(page: Page, product: Product, provider: str, account: str) -> None:
    """Sign in from the start page; `provider` as the button names it, `account` by its address."""
    page.goto(product.public_url)
    page.get_by_role("button", name=f"Sign in with {provider}").click()
    choose_account(page, account)
    page.get_by_role("button", name="Allow").click()
    expect(page.get_by_role("heading", name="Connections")).to_be_visible()


def enter(page: Page, person: Person) -> None:
    """Continue in the browser as somebody who signed in without one."""
    cookies = [
        # Chromium takes a `__Host-` cookie for plain HTTP only from such an address; ports do not count.
        {"name": cookie.name, "value": cookie.value or "", "url": "https://localhost/", "httpOnly": True}
        for cookie in person.browser.cookies
    ]
    page.context.add_cookies(cookies)


def choose_account(page: Page, account: str) -> None:
    """Choose an account on the sandbox's picker."""
    page.get_by_role("button", name=account).click()


def begin(page: Page, product: Product, provider: str, *features: str) -> None:
    """Choose a provider and features beyond the suggested one on the connect page, and leave for the provider."""
    page.goto(f"{product.public_url}/connect")
    panel = page.locator("details", has=page.get_by_role("heading", name=provider, exact=True))
    if panel.get_attribute("open") is None:
        panel.locator("summary").click()
    for feature in features:
        panel.get_by_label(feature).check()
    panel.get_by_role("button", name="Continue to").click()


def decide(page: Page, account: str | None, *, untick: Iterable[str] = (), press: str = "Allow") -> None:
    """Answer the sandbox's consent page; `account` None where the provider knows whom to ask."""
    if account is not None:
        choose_account(page, account)
    for scope in untick:
        page.get_by_label(re.compile(re.escape(scope))).uncheck()
    page.get_by_role("button", name=press, exact=True).click()


def card(page: Page, account: str) -> Locator:
    """Return the card of an account on the connections page."""
    return page.locator("article", has=page.get_by_role("link", name=account, exact=True))


def expect_calendars_read(page: Page, account: str) -> None:
    """Expect a card that has finished its first read, with events in the main calendar."""
    expect(card(page, account).locator(".calendars li", has_text="Main")).to_contain_text(
        re.compile(r"[1-9]\d* events?, updated"), timeout=SOON_MS
    )


def expect_state(page: Page, account: str, words: str) -> None:
    expect(card(page, account).locator(".state")).to_have_text(words, timeout=SOON_MS)


def connection_id_of(page: Page, account: str) -> str:
    href = card(page, account).get_by_role("link", name=account, exact=True).get_attribute("href")
    assert href
    return href.rsplit("/", 1)[1]


def one_main_action(page: Page) -> Locator:
    """Return the one thing a page asks for."""
    action = page.locator("main .main")
    expect(action).to_have_count(1)
    return action


@dataclass(frozen=True)
class Desk:
    """The sandbox's page on which a person's events are edited, open in a browser tab."""

    page: Page

    def add(self, title: str, start: datetime, end: datetime, repeat: str = "") -> None:
        form = self.page.locator("form", has=self.page.get_by_role("button", name="Add", exact=True))
        self._fill(form, start, end, title)
        form.get_by_label("Repeat").select_option(repeat)
        form.get_by_role("button", name="Add", exact=True).click()
        expect(self._rows(title).first).to_be_visible()

    def choose(self, title: str, nth: int = 0) -> None:
        """Open the form of an event, in a series of its `nth` instance."""
        self._rows(title).nth(nth).get_by_role("link").click()
        expect(self.page.get_by_role("heading", name="Change “")).to_be_visible()

    def save(self, start: datetime | None = None, end: datetime | None = None, title: str | None = None) -> None:
        self._fill(self._edit(), start, end, title)
        self._edit().get_by_role("button", name="Save").click()
        expect(self._edit()).to_have_count(0)

    def press(self, button: str) -> None:
        self._edit().get_by_role("button", name=button, exact=True).click()
        expect(self._edit()).to_have_count(0)

    def _rows(self, title: str) -> Locator:
        return self.page.get_by_role("row").filter(has_text=title)

    def _edit(self) -> Locator:
        return self.page.locator("section[aria-labelledby=edit]")

    def _fill(self, form: Locator, start: datetime | None, end: datetime | None, title: str | None) -> None:
        if title is not None:
            form.get_by_label("Title").fill(title)
        for label, moment in (("From", start), ("To", end)):
            if moment is not None:
                form.get_by_label(label).fill(moment.strftime("%Y-%m-%dT%H:%M"))


def tomorrow_at(hour: int, minute: int = 0) -> datetime:
    """Return a local time on the second day of an agenda in Central Europe, where most accounts of the tests are."""
    day = datetime.now(ZoneInfo("Europe/Stockholm")) + timedelta(days=1)
    return day.replace(hour=hour, minute=minute, second=0, microsecond=0, tzinfo=None)
