"""What changes in a person's calendar at the provider changes on their calendar page, seen in a real browser."""

from __future__ import annotations

from datetime import timedelta

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import LONGEST_GAP_S, emptied, signed_in
from tests.e2e.walk import LIVE_MS, Desk, enter, tomorrow_at
from tests.running_product import eventually

HOUR = timedelta(hours=1)
ACCOUNTS = {"google": "ada", "microsoft": "chiara"}
ZONE = "Europe/Stockholm"
"""That of the Google calendar, in which pages show times; clocks in Rome, where the other account is, show the same."""

WATCHED = """
    SELECT 1 FROM channels JOIN calendars ON calendars.id = calendar_id
    WHERE is_primary AND state = 'active' AND EXISTS (SELECT 1 FROM events WHERE calendar_id = calendars.id)
"""


@pytest.fixture
def desks(chromium, product, watch):
    """The sandbox's event page of each account, open in another browser."""
    context = chromium.new_context()
    desks = {}
    for provider, account in ACCOUNTS.items():
        page = context.new_page()
        watch.follow(page)
        page.goto(f"{product.sandbox_url}/people/{provider}/{account}/events")
        desks[provider] = Desk(page)
    yield desks
    context.close()


@pytest.fixture(scope="module")
def product(running):
    """The product, emptied once: every test looks at the same two accounts, and events of its own in them."""
    return emptied(running)


@pytest.fixture(scope="module")
def ada(product):
    """Somebody whose accounts are connected, read and watched."""
    person = signed_in(product)
    for provider, account in ACCOUNTS.items():
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


# Both providers at once: what takes time is waiting for the page.


def test_an_open_page_follows_events_through_their_lives(agenda, desks):
    expect(agenda.get_by_text(f"Times in {ZONE}")).to_be_visible()
    start = tomorrow_at(10, 5)

    for provider, desk in desks.items():
        desk.add(f"Violin with {provider}", start, start + HOUR)
    for provider in desks:
        expect(item(agenda, f"Violin with {provider}")).to_contain_text("10:05\N{EN DASH}11:05", timeout=LIVE_MS)

    for provider, desk in desks.items():
        desk.choose(f"Violin with {provider}")
        desk.save(start + 2 * HOUR, start + 3 * HOUR)
    for provider in desks:
        expect(item(agenda, f"Violin with {provider}")).to_contain_text("12:05\N{EN DASH}13:05", timeout=LIVE_MS)

    for provider, desk in desks.items():
        desk.choose(f"Violin with {provider}")
        desk.save(title=f"Cello with {provider}")
    for provider in desks:
        expect(item(agenda, f"Cello with {provider}")).to_be_visible(timeout=LIVE_MS)
    expect(item(agenda, "Violin with")).to_have_count(0)

    for provider, desk in desks.items():
        desk.choose(f"Cello with {provider}")
        desk.press("Delete")
    expect(item(agenda, "Cello with")).to_have_count(0, timeout=LIVE_MS)


def test_one_instance_of_a_series_is_moved_and_another_cancelled(agenda, desks):
    start = tomorrow_at(11, 25)

    for provider, desk in desks.items():
        desk.add(f"Tea with {provider}", start, start + HOUR, repeat="daily")
    for provider in desks:
        # Seven days are shown, the series begins on the second.
        expect(item(agenda, f"Tea with {provider}")).to_have_count(6, timeout=LIVE_MS)

    moved = start + timedelta(days=1, hours=1, minutes=10)
    for provider, desk in desks.items():
        desk.choose(f"Tea with {provider}", nth=1)
        desk.save(moved, moved + HOUR)
    for provider in desks:
        series = item(agenda, f"Tea with {provider}")
        expect(series.filter(has_text="12:35\N{EN DASH}13:35")).to_have_count(1, timeout=LIVE_MS)
        expect(series.filter(has_text="11:25\N{EN DASH}12:25")).to_have_count(5)

    for provider, desk in desks.items():
        desk.choose(f"Tea with {provider}", nth=3)
        desk.press("Cancel this one")
    for provider in desks:
        series = item(agenda, f"Tea with {provider}")
        expect(series).to_have_count(5, timeout=LIVE_MS)
        expect(series.filter(has_text="11:25\N{EN DASH}12:25")).to_have_count(4)

    for provider, desk in desks.items():
        desk.choose(f"Tea with {provider}")
        desk.page.get_by_role("button", name="Delete the series").click()
    expect(item(agenda, "Tea with")).to_have_count(0, timeout=LIVE_MS)


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

    expect(item(agenda, "Quiet change")).to_be_visible(timeout=LONGEST_GAP_S * 1000)
    assert len(product.control("push", "GET")["sent"]) == sent
    product.control("settings", push_enabled=True)


def add_quietly(product, title, start):
    """Add an event without a browser."""
    times = {"start": start.isoformat(), "end": (start + HOUR).isoformat()}
    product.control("events", provider="google", account="ada", action="add", title=title, **times)
