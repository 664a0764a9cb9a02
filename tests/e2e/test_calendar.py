"""What changes in a person's calendar at the provider changes on their calendar page, seen in a real browser."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import POLL_INTERVAL_S, emptied, signed_in
from tests.e2e.walk import LIVE_MS, Desk, enter, tomorrow_at
from tests.running_product import eventually

HOUR = timedelta(hours=1)
ACCOUNTS = {
    "google": ("ada", ZoneInfo("Europe/Stockholm")),
    "microsoft": ("chiara", ZoneInfo("Europe/Rome")),
}

WATCHED = """
    SELECT 1 FROM channels JOIN calendars ON calendars.id = calendar_id
    WHERE is_primary AND state = 'active' AND EXISTS (SELECT 1 FROM events WHERE calendar_id = calendars.id)
"""


@pytest.fixture
def desk(chromium, product, watch):
    """Open the sandbox's event page of an account in another browser."""
    context = chromium.new_context()

    def open_desk(provider: str, account: str) -> Desk:
        page = context.new_page()
        watch.follow(page)
        page.goto(f"{product.sandbox_url}/people/{provider}/{account}/events")
        return Desk(page)

    yield open_desk
    context.close()


@pytest.fixture(scope="module")
def product(running):
    """The product, emptied once: every test looks at the same two accounts, and events of its own in them."""
    return emptied(running)


@pytest.fixture(scope="module")
def ada(product):
    """Somebody whose accounts are connected, read and watched."""
    person = signed_in(product)
    for provider, (account, _) in ACCOUNTS.items():
        person.connect(provider, account)
    eventually(
        lambda: len(product.rows(WATCHED)) == len(ACCOUNTS), within_s=25, what="events and push channels of both"
    )
    return person


@pytest.fixture
def agenda(page, product, ada):
    """The calendar page, open and left alone."""
    enter(page, ada)
    page.goto(f"{product.public_url}/agenda")
    return page


def item(page, title):
    return page.get_by_role("listitem").filter(has_text=title)


def shown_time(page, start: datetime, zone: ZoneInfo) -> str:
    """Return a local time at the provider as the page shows it, in the zone that it names."""
    named = page.get_by_text(re.compile("^Times in ")).inner_text().removeprefix("Times in ")
    return f"{start.replace(tzinfo=zone).astimezone(ZoneInfo(named)):%H:%M}"


@pytest.mark.parametrize("provider", ["google", "microsoft"])
def test_an_open_page_follows_an_event_through_its_life(agenda, desk, provider):
    account, zone = ACCOUNTS[provider]
    events = desk(provider, account)
    start = tomorrow_at(10, 5)

    events.add("Violin lesson", start, start + HOUR)
    expect(item(agenda, "Violin lesson")).to_contain_text(shown_time(agenda, start, zone), timeout=LIVE_MS)

    events.choose("Violin lesson")
    events.save(start + 2 * HOUR, start + 3 * HOUR)
    expect(item(agenda, "Violin lesson")).to_contain_text(shown_time(agenda, start + 2 * HOUR, zone), timeout=LIVE_MS)

    events.choose("Violin lesson")
    events.save(title="Cello lesson")
    expect(item(agenda, "Cello lesson")).to_be_visible(timeout=LIVE_MS)
    expect(item(agenda, "Violin lesson")).to_have_count(0)

    events.choose("Cello lesson")
    events.press("Delete")
    expect(item(agenda, "Cello lesson")).to_have_count(0, timeout=LIVE_MS)


@pytest.mark.parametrize("provider", ["google", "microsoft"])
def test_one_instance_of_a_series_is_moved_and_another_cancelled(agenda, desk, provider):
    account, zone = ACCOUNTS[provider]
    events = desk(provider, account)
    title = f"Tea with {provider}"
    start = tomorrow_at(11, 25)

    events.add(title, start, start + HOUR, repeat="daily")
    # Seven days are shown, the series begins on the second.
    expect(item(agenda, title)).to_have_count(6, timeout=LIVE_MS)
    usual = shown_time(agenda, start, zone)

    moved = start + timedelta(days=1, hours=1, minutes=10)
    events.choose(title, nth=1)
    events.save(moved, moved + HOUR)
    expect(item(agenda, title).filter(has_text=shown_time(agenda, moved, zone))).to_have_count(1, timeout=LIVE_MS)
    expect(item(agenda, title).filter(has_text=usual)).to_have_count(5)

    events.choose(title, nth=3)
    events.press("Cancel this one")
    expect(item(agenda, title)).to_have_count(5, timeout=LIVE_MS)
    expect(item(agenda, title).filter(has_text=usual)).to_have_count(4)

    events.choose(title, nth=0)
    events.page.get_by_role("button", name="Delete the series").click()
    expect(item(agenda, title)).to_have_count(0, timeout=LIVE_MS)


def test_without_javascript_a_reload_shows_the_change(chromium, product, ada, watch):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    watch.follow(page)
    enter(page, ada)
    page.goto(f"{product.public_url}/agenda")

    add_quietly(product, "Plain evening", tomorrow_at(9, 40))

    def is_there_after_a_reload():
        page.reload()
        return item(page, "Plain evening").count()

    assert eventually(is_there_after_a_reload, within_s=LIVE_MS / 1000, what="the event") == 1
    context.close()


def test_what_no_notification_told_shows_at_the_next_poll(agenda, product):
    product.control("settings", push_enabled=False)
    sent = len(product.control("push?wait_s=5", "GET")["sent"])

    add_quietly(product, "Quiet change", tomorrow_at(8, 50))

    expect(item(agenda, "Quiet change")).to_be_visible(timeout=(POLL_INTERVAL_S + 5) * 1000)
    assert len(product.control("push", "GET")["sent"]) == sent
    product.control("settings", push_enabled=True)


def add_quietly(product, title, start):
    """Add an event without a browser."""
    times = {"start": start.isoformat(), "end": (start + HOUR).isoformat()}
    product.control("events", provider="google", account="ada", action="add", title=title, **times)
