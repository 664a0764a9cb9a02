"""From the link's address to the provider: who may, in which browser, and what looking costs (nothing)."""

from __future__ import annotations

import html
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from werkzeug.test import TestResponse

from app.domain.connect_link_errors import ConnectLinkTaken
from app.domain.connect_links import LIFETIME
from app.domain.secret import Secret
from app.services.sessions import new_token
from app.web import error_texts, texts
from tests.fake_provider import ADA
from tests.integration.links.conftest import BRUNO, PersonsBrowser, outcome_of, title_of
from tests.integration.web.conftest import Browser


def words(code: str) -> str:
    return error_texts.ERROR_PAGES[code].title


def names_ada(answer: TestResponse) -> bool:
    """Whether a page names her, as a word: random support codes and form tokens can hold her letters."""
    return re.search(r"\bada\b|ada\.work", answer.get_data(as_text=True), re.IGNORECASE) is not None


def test_the_page_says_for_which_service_for_whom_and_what_before_anything_starts(desk, ada):
    link = desk.make(ada.person_id(), email_hint="ada.work@example.com", completion="host")

    text = html.unescape(ada.open(link).get_data(as_text=True))

    for said in ("assistant asks you to connect an account", "Ada", "ada@example.com", "ada.work@example.com at Google",
                 "You return to assistant.example.com", "Read your calendars", "Know who you are",
                 texts.LINK_HOST_CONFIRMS.format(service="assistant")):  # fmt: skip
        assert said in text
    assert "Send follow-up mails" not in text
    assert desk.state(link)["state"] == "open"


def test_looking_changes_nothing_whoever_looks_and_however_often(desk, ada):
    link = desk.make(ada.person_id())
    before = desk.rows("connect_links", "*")

    for _ in range(3):
        scanner = desk.app.test_client(use_cookies=False)
        for method in ("GET", "HEAD"):
            for headers in ({}, {"Sec-Purpose": "prefetch"}, {"Purpose": "prefetch", "X-Moz": "prefetch"}):
                for path in (link.address, link.page):
                    scanner.open(path, method=method, base_url="https://latchkey.example.test", headers=headers)
        Browser(desk.app).get(link.address)
        ada.open(link)
        desk.browser(BRUNO).open(link)

    assert desk.rows("connect_links", "*") == before
    assert desk.rows("authorization_requests WHERE purpose = 'connect'") == [(0,)]
    assert outcome_of(ada.use(link))["status"] == "connected"


def test_the_secret_leaves_the_address_and_stands_in_no_page_and_no_row(desk, ada):
    link = desk.make(ada.person_id())
    secret = link.address.rsplit("/", 1)[1]

    opened = ada.get(link.address)
    shown = ada.get(opened.headers["Location"])
    leaving = ada.submit(link.page, link.page)

    assert opened.headers["Location"] == link.page
    assert opened.headers["Referrer-Policy"] == "no-referrer"
    (cookie,) = [value for value in opened.headers.getlist("Set-Cookie") if "link-" in value]
    assert cookie.startswith("__Host-latchkey-link-")
    assert all(part in cookie for part in ("Secure", "HttpOnly", "Path=/", "SameSite=Lax"))
    for answer in (shown, leaving):
        assert secret not in answer.get_data(as_text=True)
    for table in ("connect_links", "authorization_requests", "audit_events"):
        assert secret not in str(desk.rows(f"{table} t", "t::text"))


def test_whoever_is_not_signed_in_is_asked_to_and_led_back_and_told_of_nobody(desk, ada):
    link = desk.make(ada.person_id(), email_hint="ada.work@example.com")
    stranger = PersonsBrowser(desk)

    asked = stranger.open(link)
    led = stranger.sign_in(ADA, link.page)

    assert title_of(asked) == "assistant sent you here"
    assert not names_ada(asked)
    assert led.headers["Location"] == link.page
    assert title_of(stranger.get(link.page)) == "assistant asks you to connect an account"


def test_only_whom_it_is_for_can_use_it_and_others_neither_learn_who_nor_use_it_up(desk, ada):
    link = desk.make(ada.person_id(), email_hint="ada.work@example.com")
    bruno = desk.browser(BRUNO)

    opened = bruno.open(link)
    # The form's token comes from another page: there is none on this one.
    forced = bruno.post(link.page, bruno.form_token())

    for answer in (opened, forced):
        assert answer.status_code == 403
        assert title_of(answer) == words("connect_link_for_another")
        assert not names_ada(answer)
    assert desk.state(link)["state"] == "open"
    assert outcome_of(ada.use(link))["status"] == "connected"


def test_somebody_named_by_issuer_and_subject_can_come_later(desk):
    person = {"issuer": ADA.issuer, "sub": "subject-7"}
    link = desk.make(None, person=person, completion="automatic")
    bruno = desk.browser(BRUNO)
    assert title_of(bruno.open(link)) == words("connect_link_for_another")

    farid = desk.browser(replace(ADA, subject="subject-7", email="farid@example.com", name="Farid"))

    assert outcome_of(farid.use(link))["status"] == "connected"


def test_an_email_address_of_the_right_person_opens_nothing(desk, ada):
    link = desk.make(ada.person_id())

    impostor = desk.browser(replace(ADA, subject="subject-66", email=ADA.email, name=ADA.name))

    assert title_of(impostor.open(link)) == words("connect_link_for_another")


def test_the_id_of_a_link_is_no_key_to_it(desk, ada):
    link = desk.make(ada.person_id())
    token = ada.form_token()

    for answer in (ada.get(link.page), ada.post(link.page, token), ada.post(f"{link.page}/decline", token)):
        assert answer.status_code == 404
        assert title_of(answer) == words("unknown_connect_link")
    assert desk.state(link)["state"] == "open"


@pytest.mark.parametrize("secret", ["x" * 43, "x", "x" * 44, "%00" * 43, "..%2f..%2fconnections", "ä" * 43])
def test_an_address_nobody_made_leads_nowhere(ada, secret):
    answer = ada.get(f"/connect-links/open/{secret}")

    assert answer.status_code == 404
    assert "Location" not in answer.headers


def test_the_secret_of_one_link_does_not_open_another(desk, ada):
    mine, other = desk.make(ada.person_id()), desk.make(ada.person_id())
    ada.set_cookie(f"__Host-latchkey-link-{other.id.hex}", mine.address.rsplit("/", 1)[1])
    stranger = PersonsBrowser(desk)
    stranger.set_cookie(f"__Host-latchkey-link-{other.id.hex}", mine.address.rsplit("/", 1)[1])

    assert ada.get(other.page).status_code == 404
    assert stranger.get(other.page).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [{}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example.com", "Sec-Fetch-Site": "same-site"}],
)
def test_another_site_cannot_press_the_button(desk, ada, headers):
    link = desk.make(ada.person_id())
    ada.open(link)

    for path in (link.page, f"{link.page}/decline"):
        assert ada.post(path, {"csrf_token": "0" * 64}, headers).status_code == 403
    assert desk.state(link)["state"] == "open"


def test_the_page_cannot_be_framed(desk, ada):
    policy = ada.open(desk.make(ada.person_id())).headers["Content-Security-Policy"]

    assert "frame-ancestors 'none'" in policy


def test_the_browser_that_confirms_first_has_it(desk, ada):
    link, elsewhere = desk.make(ada.person_id()), desk.browser()
    elsewhere.open(link)
    leaving = ada.confirm(link)

    refused = elsewhere.get(link.page)

    assert refused.status_code == 409
    assert title_of(refused) == words("connect_link_taken")
    assert outcome_of(ada.come_back(leaving))["status"] == "connected"


def test_of_two_browsers_that_confirm_at_once_one_has_it(desk, ada):
    link, person_id = desk.make(ada.person_id()), ada.person_id()
    secret, visits = Secret(link.address.rsplit("/", 1)[1]), desk.visits

    def confirm(_: int) -> bool:
        try:
            visits.start(link.id, secret, person_id, new_token())
        except ConnectLinkTaken:
            return False
        return True

    with ThreadPoolExecutor(5) as pool:
        won = list(pool.map(confirm, range(10)))

    assert won.count(True) == 1
    assert desk.audited().count("connect_link_opened") == 1


def test_whoever_left_the_provider_by_the_back_button_can_press_again(desk, ada):
    link = desk.make(ada.person_id())
    ada.confirm(link)

    again = ada.submit(link.page, link.page)

    assert outcome_of(ada.come_back(again))["status"] == "connected"
    assert desk.audited().count("connect_link_opened") == 1


def test_a_browser_without_the_binding_cookie_gets_one_and_can_finish(desk, ada):
    link = desk.make(ada.person_id())
    ada.open(link)
    ada.client.delete_cookie("__Host-latchkey-consent", domain="latchkey.example.test")

    leaving = ada.submit(link.page, link.page)

    assert outcome_of(ada.come_back(leaving))["status"] == "connected"


def test_a_link_works_for_half_an_hour(desk, ada):
    link = desk.make(ada.person_id())
    ada.open(link)
    desk.later(seconds=LIFETIME.total_seconds() - 60)
    assert ada.get(link.page).status_code == 200
    token = ada.form_token(link.page)
    desk.later(seconds=60)

    late = ada.post(link.page, token)

    for answer in (late, ada.get(link.page), ada.open(link)):
        assert answer.status_code == 410
        assert title_of(answer) == words("connect_link_expired")
    assert desk.state(link)["state"] == "expired"
    assert desk.rows("authorization_requests WHERE purpose = 'connect'") == [(0,)]


def test_a_frozen_service_sends_nobody_anywhere(desk, ada):
    link, other = desk.make(ada.person_id()), desk.make(ada.person_id())
    leaving = ada.confirm(other)
    with desk.house.store.transaction() as tx:
        tx.services.set_enabled(desk.clients.services["assistant"].id, is_enabled=False)

    assert ada.open(link).status_code == 404
    assert ada.come_back(leaving).status_code == 404
    assert desk.exchanges() == 1  # the sign-in's
