"""What a person does when an access has ended, and when they want it to end, in a real browser."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from playwright.sync_api import expect

from tests.e2e.walk import card, decide, enter, expect_calendars_read, expect_state, one_main_action
from tests.running_product import eventually

KEPT = """
    SELECT (SELECT count(*) FROM data_keys WHERE connection_id = %(id)s)
         + (SELECT count(*) FROM token_generations WHERE connection_id = %(id)s)
         + (SELECT count(*) FROM refresh_attempts WHERE connection_id = %(id)s)
         + (SELECT count(*) FROM calendars WHERE connection_id = %(id)s)
         + (SELECT count(*) FROM events) + (SELECT count(*) FROM occurrences) + (SELECT count(*) FROM channels)
"""
"""Rows of a disconnected connection; of what belongs to calendars all rows, as it was the only connection."""


def events_of(product, connection_id):
    statement = "SELECT count(*) FROM events JOIN calendars ON calendars.id = calendar_id WHERE connection_id = %s"
    return product.rows(statement, connection_id)[0][0]


def test_a_taken_back_access_is_told_and_repaired_through_the_link_a_service_gets(page, product, ada):
    connection_id = ada.connect("google", "ada")
    eventually(lambda: events_of(product, connection_id) > 10, within_s=10, what="events")
    enter(page, ada)
    page.goto(f"{product.public_url}/connections")
    expect_state(page, "ada@example.com", "Working")

    product.control("grants/revoke", provider="google", account="ada")

    # The open page tells by itself.
    expect(card(page, "ada@example.com").locator(".state")).to_have_text("Needs you", timeout=30_000)
    expect(card(page, "ada@example.com")).to_contain_text("The provider no longer accepts the access")
    expect(card(page, "ada@example.com").get_by_role("button", name="Reconnect")).to_be_visible()
    refusal = product.exchange(connection_id)
    assert refusal.status_code == 400
    assert refusal.json()["error"] == "interaction_required"
    assert refusal.json()["reason"] == "grant_rejected"
    assert "access_token" not in refusal.json()

    page.goto(refusal.json()["connect_uri"])
    expect(page.get_by_role("heading", name="Google needs you once more")).to_be_visible()
    one_main_action(page).click()
    decide(page, None)

    expect(page.locator(".state")).to_have_text("Working")
    assert ada.connection_ids() == [connection_id]
    assert events_of(product, connection_id) > 10
    assert product.exchange(connection_id).status_code == 200


def test_coming_back_with_another_account_leaves_the_broken_one_and_offers_a_new_one(page, product, ada, watch):
    connection_id = ada.connect("google", "ada")
    enter(page, ada)
    page.goto(f"{product.public_url}/connections/{connection_id}/repair")
    one_main_action(page).click()
    page.wait_for_url("**/o/oauth2/**")
    watch.expected.add(409)
    # The hint is a hint: providers let people use another account all the same.
    page.goto(page.url.replace("login_hint=", "no_hint="))
    decide(page, "bruno@example.com")

    expect(page.get_by_role("heading", name="That was a different account")).to_be_visible()
    expect(one_main_action(page)).to_have_text("Connect it as a new account")
    assert product.rows("SELECT email FROM connections") == [("ada@example.com",)]


@dataclass(frozen=True)
class Ending:
    """What a receipt says at one provider."""

    provider: str
    account: str
    email: str
    answer: str
    proof: str
    is_ended: bool
    """Whether the grant is over at the provider; Microsoft has no address to withdraw one."""


WITHDRAWN, DEAD = "The access was withdrawn.", "No. Latchkey tried it once more and it was refused."
ENDINGS = [
    Ending("google", "bruno", "bruno@example.com", WITHDRAWN, DEAD, is_ended=True),
    Ending("acme", "farid", "farid@example.com", WITHDRAWN, DEAD, is_ended=True),
    Ending(
        "microsoft",
        "devon",
        "devon@alder.example.org",
        "This provider cannot withdraw a single access for us.",
        "Not tested. Latchkey has deleted its only copy.",
        is_ended=False,
    ),
]


@pytest.mark.parametrize("ending", ENDINGS, ids=[ending.provider for ending in ENDINGS])
def test_disconnecting_ends_the_access_deletes_the_data_and_gives_a_receipt(page, product, ada, ending):
    connection_id = ada.connect(ending.provider, ending.account)
    enter(page, ada)
    page.goto(f"{product.public_url}/connections")
    if ending.provider != "acme":
        expect_calendars_read(page, ending.email)
    card(page, ending.email).get_by_role("link", name=ending.email, exact=True).click()
    page.get_by_role("link", name="Disconnect", exact=True).click()
    expect(page.get_by_role("heading", name=f"Disconnect {ending.email}?")).to_be_visible()

    one_main_action(page).click()

    expect(page.get_by_role("heading", name="Disconnected")).to_be_visible()
    for words in (ending.email, ending.answer, ending.proof, connection_id):
        expect(page.locator(".facts")).to_contain_text(words)
    expect(page.get_by_text("One more step at")).to_have_count(0 if ending.is_ended else 1)
    assert product.rows(KEPT, id=connection_id) == [(0,)]
    assert product.exchange(connection_id).json()["error"] == "invalid_target"
    page.goto(f"{product.sandbox_url}/sandbox/grants")
    grant = page.locator("section").filter(has_text=ending.email).filter(has_not_text="0 live refresh tokens")
    expect(grant).to_have_count(0 if ending.is_ended else 1)


def test_a_disconnected_account_can_be_connected_again(product, ada):
    first = ada.connect("google", "bruno")
    ada.post(f"/connections/{first}/disconnect")

    again = ada.connect("google", "bruno")

    eventually(lambda: events_of(product, again) > 10, within_s=10, what="events")
    assert product.exchange(again).status_code == 200
