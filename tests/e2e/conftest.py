"""One running product for all end-to-end tests of a process; before each it has no people and nothing is granted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from psycopg.errors import DeadlockDetected

from app.domain.sync_pace import WORST_GAP
from tests.e2e.walk import Watch
from tests.running_product import Person, Product, eventually, running_product

HERE = Path(__file__).parent
POLL_INTERVAL_S = 10
"""Long beside the five seconds that a push may take, short beside the patience of a test run."""
LONGEST_GAP_S = POLL_INTERVAL_S * WORST_GAP + 5
"""Until a change that no notification told is here; a calendar that has been quiet for long is polled less often."""
_START_WITHIN_S = 240
"""The first test of a process pays for the start, which takes minutes on a machine busy with other tests."""
_ACCOUNTS = {
    "google": ("ada", "bruno", "ada-home"),
    "microsoft": ("chiara", "devon", "ada-personal", "esra"),
    "oidc": ("ada", "bruno", "farid"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(_START_WITHIN_S))


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    environment = {"LATCHKEY_POLL_INTERVAL_S": str(POLL_INTERVAL_S), "LATCHKEY_CONFIRM_REFUSAL_AFTER_S": "2"}
    with running_product(tmp_path_factory.mktemp("e2e"), environment=environment) as product:
        yield product


@pytest.fixture
def product(running: Product) -> Product:
    """The product, as empty of people as after its first start."""
    return emptied(running)


def emptied(product: Product) -> Product:
    """Take people, grants, faults and settings back; calendars in the sandbox keep their edits."""
    product.control("settings", push_enabled=True, access_token_lifetime_s=90)
    product.control("faults", "DELETE")
    for provider, accounts in _ACCOUNTS.items():
        for account in accounts:
            product.control("grants/revoke", provider=provider, account=account)
    eventually(lambda: _is_forgotten(product), within_s=30, what="nobody known")
    product.control("log", "DELETE")
    return product


def _is_forgotten(product: Product) -> bool:
    """Delete everybody with all they have; false when the workers, who go on meanwhile, got in the way."""
    try:
        with product.database() as connection:
            connection.execute("DELETE FROM people")
    except DeadlockDetected:
        return False
    return True


@pytest.fixture
def ada(product: Product) -> Person:
    """Somebody signed in by the company account, so that nothing is granted at Google or Microsoft yet."""
    return signed_in(product)


def signed_in(product: Product, account: str = "ada") -> Person:
    person = product.http()
    person.sign_in("acme", account)
    return person


@pytest.fixture(scope="module")
def chromium(chromium_path: str) -> Iterator[Browser]:
    # For a module, not longer: two of these cannot live in one process, and other tests have their own.
    switches = ["--no-sandbox", "--disable-background-networking", "--no-first-run", "--disable-quic"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=switches)
        yield browser
        browser.close()


@pytest.fixture
def watch() -> Iterator[Watch]:
    """What the browser complained about; a test fails at its end for whatever it did not expect."""
    watch = Watch()
    yield watch
    assert watch.complaints == []


@pytest.fixture
def page(chromium: Browser, watch: Watch) -> Iterator[Page]:
    """A page of a fresh browser."""
    context = chromium.new_context(viewport={"width": 1100, "height": 800})
    page = context.new_page()
    watch.follow(page)
    yield page
    context.close()
