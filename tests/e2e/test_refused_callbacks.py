"""Answers of a provider that belong to another browser, person or moment: refused, and their codes are not used."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import signed_in
from tests.running_product import title_of


@pytest.fixture
def pending(product, ada):
    """An approved consent of Ada's: the address at which her browser would bring the code back."""
    callback = ada.approve(ada.begin("google", "calendar.read"), "ada")
    product.control("log", "DELETE")
    return callback


def refused(product, answer, title):
    assert 400 <= answer.status_code < 500
    assert title_of(answer) == title
    assert answer.text.count('class="button main"') == 1
    assert answer.headers["Cache-Control"] == "no-store"
    codes_used = [
        entry for entry in product.sandbox_log() if entry["parameters"].get("grant_type") == "authorization_code"
    ]
    assert codes_used == []
    assert product.rows("SELECT count(*) FROM connections") == [(0,)]


NOT_THIS_BROWSER = "This answer does not belong to this browser"


def test_without_state(product, ada, pending):
    code = pending.partition("code=")[2].partition("&")[0]

    refused(product, ada.get(f"/callback/google?code={code}"), NOT_THIS_BROWSER)


def test_with_an_invented_state(product, ada, pending):
    code = pending.partition("code=")[2].partition("&")[0]

    refused(product, ada.get(f"/callback/google?state=invented&code={code}"), NOT_THIS_BROWSER)


def test_at_another_provider_than_the_one_asked(product, ada, pending):
    refused(product, ada.get(pending.replace("/callback/google", "/callback/microsoft")), NOT_THIS_BROWSER)


def test_too_late(product, ada, pending):
    with product.database() as connection:
        connection.execute("UPDATE authorization_requests SET expires_at = now() - interval '1 second'")

    refused(product, ada.get(pending), "That took a little too long")


def test_in_another_browser(product, pending):
    refused(product, product.http().get(pending), NOT_THIS_BROWSER)


def test_in_another_browser_of_the_same_person(product, pending):
    elsewhere = signed_in(product, "ada")
    product.control("log", "DELETE")

    refused(product, elsewhere.get(pending), NOT_THIS_BROWSER)


def test_by_another_person_in_another_browser(product, pending):
    bruno = signed_in(product, "bruno")
    product.control("log", "DELETE")

    refused(product, bruno.get(pending), NOT_THIS_BROWSER)


def test_after_somebody_else_signed_in_in_the_same_browser(product, ada, pending):
    session = next(c for c in signed_in(product, "bruno").browser.cookies if "session" in c.name)
    ada.browser.cookies.set_cookie(session)
    product.control("log", "DELETE")

    refused(product, ada.get(pending), NOT_THIS_BROWSER)


def test_a_second_time(product, ada, pending):
    assert title_of(ada.get(pending)) == "Connections"
    connections = product.rows("SELECT id, generation FROM connections")
    product.control("log", "DELETE")

    again = ada.get(pending)

    assert again.status_code == 409
    assert title_of(again) == "This step is already finished"
    assert product.sandbox_log("google.token") == []
    assert product.rows("SELECT id, generation FROM connections") == connections
