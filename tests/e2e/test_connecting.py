"""A person connects accounts, in a real browser."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.e2e.walk import (
    begin,
    card,
    connection_id_of,
    decide,
    enter,
    expect_calendars_read,
    expect_state,
    one_main_action,
    sign_in,
)

GMAIL_SEND = "https://www.googleapis.com/auth/gmail.send"


def test_what_is_declined_at_google_stays_off_and_can_be_allowed_later(page, product):
    sign_in(page, product, "Google", "ada@example.com")
    expect(page.get_by_text("Nothing connected yet")).to_be_visible()
    page.get_by_role("link", name="Calendar", exact=True).click()
    page.get_by_role("link", name="Connect your first account").click()
    begin(page, product, "Google", "Send follow-up mails for you")
    decide(page, "ada@example.com", untick=[GMAIL_SEND])

    expect(page.get_by_role("status").filter(has_text="Connected.")).to_be_visible()
    expect_calendars_read(page, "ada@example.com")
    expect_state(page, "ada@example.com", "Working, some abilities are off")
    expect(card(page, "ada@example.com")).to_contain_text("You declined: send follow-up mails for you.")
    before = connection_id_of(page, "ada@example.com")

    card(page, "ada@example.com").get_by_role("button", name="Allow what is missing").click()
    decide(page, None)

    expect(page.locator(".state")).to_have_text("Working")
    assert page.url.split("?")[0].endswith(f"/connections/{before}")
    expect(page.locator(".features.yes")).to_contain_text("Send follow-up mails for you")
    expect(page.locator(".features.no")).to_have_count(0)


def test_two_accounts_of_one_provider_stand_side_by_side_with_their_events(page, product, ada):
    enter(page, ada)
    begin(page, product, "Microsoft 365")
    decide(page, "chiara@alder.example.org")
    expect_calendars_read(page, "chiara@alder.example.org")

    begin(page, product, "Microsoft 365")
    decide(page, "devon@alder.example.org")

    expect_calendars_read(page, "devon@alder.example.org")
    expect_state(page, "devon@alder.example.org", "Working")
    expect_state(page, "chiara@alder.example.org", "Working")
    page.get_by_role("link", name="Calendar", exact=True).click()
    for account in ("chiara@alder.example.org", "devon@alder.example.org"):
        # Planned every day in every mailbox of the sandbox.
        items = page.get_by_role("listitem").filter(has_text="Water the plants").filter(has_text=account)
        assert items.count() >= 6


def test_cancelling_at_the_provider_connects_nothing_and_leads_on(page, product, ada, watch):
    watch.expected.add(403)
    enter(page, ada)
    begin(page, product, "Google")
    decide(page, "ada@example.com", press="Cancel")

    expect(page.get_by_role("heading", name="You pressed cancel")).to_be_visible()
    assert product.rows("SELECT count(*) FROM connections") == [(0,)]
    one_main_action(page).click()
    expect(page.get_by_role("heading", name="Connect an account")).to_be_visible()


def test_an_organisation_that_wants_an_administrator_first_is_a_step_not_a_failure(page, product, ada, watch):
    watch.expected.add(403)
    enter(page, ada)
    begin(page, product, "Microsoft 365")
    page.get_by_role("button", name="esra@birch.example.org").click()
    page.get_by_role("button", name="Go back without approval").click()

    expect(page.get_by_role("heading", name="Your administrator must approve this first")).to_be_visible()
    assert product.rows("SELECT count(*) FROM connections") == [(0,)]
    one_main_action(page).click()
    begin(page, product, "Microsoft 365")
    page.get_by_role("button", name="esra@birch.example.org").click()
    page.get_by_role("button", name="Approve for the whole organisation and go on").click()

    expect_calendars_read(page, "esra@birch.example.org")


def test_a_company_account_signs_in_and_can_be_connected_too(page, product):
    account = "farid@example.com"
    sign_in(page, product, "Acme", account)
    expect(page.get_by_text("Farid Nazari")).to_be_visible()
    begin(page, product, "Acme")
    decide(page, account)

    expect_state(page, account, "Working")
    expect(card(page, account)).to_contain_text("Know who you are")
    assert re.fullmatch(r"[0-9a-f-]{36}", connection_id_of(page, account))
