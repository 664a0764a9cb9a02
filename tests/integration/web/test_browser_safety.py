import logging

import pytest

from app.domain.errors import ConsentDenied, StoreUnavailable
from app.web.cookies import CONSENT, SESSION
from tests.fakes import CONNECTION_ID, SESSION_TOKEN
from tests.integration.web.conftest import PUBLIC_URL

PAGES = ["/", "/connect", "/connections", f"/connections/{CONNECTION_ID}", "/agenda", "/no-such-page"]


@pytest.mark.parametrize("path", PAGES)
def test_every_page_carries_the_security_headers(browser, path):
    headers = browser.get(path).headers

    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert "max-age" in headers["Strict-Transport-Security"]


@pytest.mark.parametrize("path", ["/connect", "/connections", f"/connections/{CONNECTION_ID}", "/agenda"])
def test_nothing_is_inline_and_nothing_comes_from_elsewhere(browser, path):
    text = browser.get(path).get_data(as_text=True)

    assert "style=" not in text
    assert " onclick" not in text
    assert "<style" not in text
    for script in text.split("<script")[1:]:
        assert script.startswith(' type="module" src="/static/')


def test_assets_are_kept_by_browsers_and_change_their_address_with_their_content(app, stranger):
    address = app.jinja_env.globals["assets"]["style.css"]

    answer = stranger.get(address)

    assert address in stranger.get("/").get_data(as_text=True)
    assert answer.status_code == 200
    assert "max-age=31536000" in answer.headers["Cache-Control"]
    answer.close()


def test_assets_cannot_be_left_by_a_path(stranger):
    assert stranger.get("/static/..%2fapplication.py").status_code == 404


def test_both_cookies_are_host_bound(stranger, services):
    stranger.get("/")

    cookie = stranger.cookie(CONSENT)

    assert cookie.secure
    assert cookie.http_only
    assert cookie.same_site == "Lax"
    assert cookie.path == "/"
    assert cookie.origin_only


def test_a_cookie_that_is_not_of_our_shape_counts_as_absent(stranger, services):
    stranger.set_cookie(SESSION, "short")

    assert stranger.get("/connections").status_code == 303
    assert services.sessions.calls == []


def test_a_session_that_ended_leads_to_the_sign_in_and_back(browser, services):
    services.sessions.live.clear()

    answer = browser.get("/agenda?from=2026-11-23&days=3")

    assert answer.status_code == 303
    assert answer.headers["Location"] == "/?return_to=/agenda%3Ffrom%3D2026-11-23%26days%3D3"


def test_the_address_services_send_people_to_survives_the_sign_in(stranger):
    wanted = f"/connect?provider={'a' * 63}"

    text = stranger.get("/", query_string={"return_to": wanted}).get_data(as_text=True)

    assert f'name="return_to" value="{wanted}"' in text


@pytest.mark.parametrize(
    "target",
    ["//evil.test", "https://evil.test", "/\\evil.test", "/connections/../x", "javascript:alert(1)", "/connections\n"],
)
def test_no_open_redirect_through_return_to(stranger, target):
    text = stranger.get("/", query_string={"return_to": target}).get_data(as_text=True)

    assert "evil" not in text
    assert 'name="return_to" value="/connections"' in text


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.test"},
        {"Origin": PUBLIC_URL + ".evil.test"},
    ],
)
def test_a_form_from_another_site_is_refused_even_with_the_right_token(browser, services, headers):
    answer = browser.submit("/connect", "/connect/google", headers=headers)

    assert answer.status_code == 403
    assert services.authorization.calls == []


@pytest.mark.parametrize("token", ["", "0" * 64, "ü" * 64])
def test_a_form_without_its_token_is_refused(browser, services, token):
    answer = browser.post("/connect/google", {"csrf_token": token})

    assert answer.status_code == 403
    assert "no longer valid" in answer.get_data(as_text=True)
    assert services.authorization.calls == []


def test_a_token_of_another_browser_is_refused(app, browser, stranger, services):
    text = stranger.get("/").get_data(as_text=True)
    foreign = text.split('name="csrf_token" value="')[1].split('"')[0]

    assert browser.post("/connect/google", {"csrf_token": foreign}).status_code == 403


def test_null_origin_needs_the_browsers_word_for_the_site(browser, services):
    answer = browser.submit("/connect", "/connect/google", headers={"Sec-Fetch-Site": ""})

    assert answer.status_code == 403


def test_sign_in_is_protected_before_there_is_a_session(stranger, services):
    assert stranger.post("/sign-in/google", {}).status_code == 403
    assert stranger.submit("/", "/sign-in/google").status_code == 200


def test_too_large_a_form_is_refused(browser):
    answer = browser.post("/connect/google", {"csrf_token": "x", "feature": "y" * 300_000})

    assert answer.status_code == 413


def test_an_unexpected_fault_shows_an_id_and_no_details(browser, services):
    services.agenda.error = RuntimeError("marker-of-a-detail")

    answer = browser.get("/agenda")

    text = answer.get_data(as_text=True)
    assert answer.status_code == 500
    assert "Support code" in text
    assert "marker-of-a-detail" not in text
    assert "Traceback" not in text


def test_a_database_that_does_not_answer_is_said_so_even_while_looking_up_the_session(browser, services):
    services.sessions.error = StoreUnavailable()

    answer = browser.get("/connections")

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"


def test_the_log_line_has_the_route_and_no_query(stranger, services, capsys, caplog):
    services.authorization.error = ConsentDenied()

    with caplog.at_level(logging.INFO):
        stranger.get("/callback/google?code=marker-code&state=marker-state")

    written = capsys.readouterr()
    everything = written.out + written.err + caplog.text
    assert "/callback/<provider>" in everything
    assert "marker" not in everything


def test_unknown_paths_and_wrong_methods_answer_as_pages(browser):
    missing, wrong = browser.get("/nothing"), browser.get("/sign-out")

    assert (missing.status_code, wrong.status_code) == (404, 405)
    assert wrong.headers["Allow"] == "POST"
    assert SESSION_TOKEN not in missing.get_data(as_text=True)
