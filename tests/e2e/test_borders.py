"""What separates people, sites and hosts from each other, tried from outside."""

from __future__ import annotations

from uuid import uuid4

import pytest
import requests

from tests.e2e.conftest import signed_in
from tests.running_product import title_of


def test_what_belongs_to_somebody_else_is_not_there(product, ada):
    connection_id = ada.connect("google", "ada")
    bruno = signed_in(product, "bruno")

    for known_or_not in (connection_id, uuid4()):
        for below in ("", "/live", "/repair", "/disconnect"):
            assert bruno.get(f"/connections/{known_or_not}{below}").status_code == 404
        for action in ("reconnect", "disconnect"):
            assert bruno.post(f"/connections/{known_or_not}/{action}").status_code == 404
    assert product.rows("SELECT status FROM connections") == [("active",)]
    assert "ada@example.com" not in bruno.get("/connections").text


def test_who_is_not_signed_in_is_led_to_the_sign_in_and_back(product, ada):
    connection_id = ada.connect("google", "ada")
    visitor = product.http()

    asked = visitor.get(f"/connections/{connection_id}/repair")

    assert title_of(asked) == "Your accounts, lent with care"
    assert f'name="return_to" value="/connections/{connection_id}/repair"' in asked.text
    assert visitor.get("/agenda/live").status_code == 401


def test_signing_out_ends_the_session_on_the_server(product, ada):
    stolen = product.http()
    for cookie in ada.browser.cookies:
        stolen.browser.cookies.set_cookie(cookie)
    assert title_of(stolen.get("/connections")) == "Connections"

    left = ada.post("/sign-out")

    assert title_of(left) == "Your accounts, lent with care"
    assert title_of(stolen.get("/connections")) == "Your accounts, lent with care"
    assert product.rows("SELECT count(*) FROM sessions") == [(0,)]


def test_a_form_of_another_site_is_refused(product, ada):
    connection_id = ada.connect("google", "ada")
    url = f"{product.public_url}/connections/{connection_id}/disconnect"

    without = ada.browser.post(url, timeout=10)
    foreign = ada.browser.post(url, headers={"Origin": "https://example.com"}, timeout=10)

    assert without.status_code == foreign.status_code == 403
    assert title_of(without) == "This form is no longer valid"
    assert product.rows("SELECT status FROM connections") == [("active",)]


@pytest.mark.parametrize("host", ["example.com", "localhost.example.com", "127.0.0.1", ""])
def test_another_host_name_is_refused(product, host):
    answer = requests.get(f"{product.public_url}/", headers={"Host": host}, timeout=10)

    assert answer.status_code == 400


def test_every_answer_carries_the_security_headers(product, ada):
    connection_id = ada.connect("google", "ada")
    one = f"/connections/{connection_id}"
    visitor = product.http()
    answers = [visitor.get("/"), visitor.get("/connections", allow_redirects=False)]
    pages = ("/connections", "/connections/live", "/connect", one, f"{one}/live", f"{one}/repair", f"{one}/disconnect")
    answers += [ada.get(path) for path in (*pages, "/agenda", "/agenda/live", "/no-such-page", "/callback/google")]
    for_programs = [product.service("/v1/connections"), product.exchange(connection_id), product.exchange(str(uuid4()))]

    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';"), answer.url
        assert "unsafe" not in policy
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    for answer in for_programs:
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none';")
        assert answer.headers["Content-Type"] == "application/json"
    for answer in answers + for_programs:
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store", answer.url


def test_cookies_are_for_this_host_and_not_for_scripts(product):
    answer = requests.get(product.public_url, timeout=10)

    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-")
    for attribute in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert attribute in cookie
    assert "Domain" not in cookie
