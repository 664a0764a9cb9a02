"""Take the pictures of the README: `python -m tests.e2e.screenshots`, with a Chromium as the browser tests need."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from dev import find_browser
from tests.e2e.walk import enter, expect_calendars_read
from tests.running_product import ROOT, Product, running_product

PICTURES = ROOT / "docs" / "images"
WINDOW = {"width": 1100, "height": 760}
GMAIL_SEND = "https://www.googleapis.com/auth/gmail.send"


def main() -> int:
    browser_path = find_browser()
    if browser_path is None:
        sys.stderr.write("no Chromium on PATH or in LATCHKEY_CHROMIUM\n")
        return 1
    PICTURES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as directory,
        running_product(Path(directory)) as product,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport=WINDOW)
        _connect(page, product)
        for name, path in (("connections", "/connections"), ("calendar", "/agenda")):
            page.goto(f"{product.public_url}{path}")
            page.wait_for_load_state("networkidle")
            page.screenshot(path=PICTURES / f"{name}.png")
        browser.close()
    return 0


def _connect(page: Page, product: Product) -> None:
    person = product.http()
    person.sign_in("acme", "ada")
    person.connect("google", "ada", "calendar.read", "mail.send", unticked=[GMAIL_SEND])
    person.connect("microsoft", "chiara")
    enter(page, person)
    page.goto(f"{product.public_url}/connections")
    for account in ("ada@example.com", "chiara@alder.example.org"):
        expect_calendars_read(page, account)
    expect(page.get_by_text("Working")).to_have_count(2)


if __name__ == "__main__":
    sys.exit(main())
