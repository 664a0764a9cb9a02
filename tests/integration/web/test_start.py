from app.web.cookies import CONSENT, SESSION
from tests.fakes import BROWSER_TOKEN, SESSION_TOKEN
from tests.integration.web.conftest import PUBLIC_URL


def test_the_front_door_says_what_this_is_and_offers_every_provider(stranger):
    text = stranger.get("/").get_data(as_text=True)

    for name in ("Google", "Microsoft 365", "Acme"):
        assert f"Sign in with {name}" in text
    assert "password" in text


def test_who_is_signed_in_goes_to_the_connections(browser):
    answer = browser.get("/")

    assert (answer.status_code, answer.headers["Location"]) == (303, "/connections")


def test_sign_in_answers_with_a_page_that_goes_on_by_get(stranger, services):
    answer = stranger.submit("/", "/sign-in/google", {"return_to": "/agenda"})

    text = answer.get_data(as_text=True)
    escaped = services.authorization.url.replace("&", "&amp;")
    assert answer.status_code == 200
    assert f'<meta http-equiv="refresh" content="0; url={escaped}">' in text
    assert f'href="{escaped}"' in text
    name, provider, return_to, browser_token = services.authorization.calls[0]
    assert (name, provider, return_to) == ("start_sign_in", "google", "/agenda")
    assert browser_token.reveal() == stranger.cookie(CONSENT).value


def test_a_second_tab_keeps_the_binding_cookie_of_the_first(stranger):
    stranger.get("/")
    first = stranger.cookie(CONSENT).value

    stranger.submit("/", "/sign-in/google")
    stranger.submit("/", "/sign-in/microsoft")

    assert stranger.cookie(CONSENT).value == first


def test_an_unknown_provider_is_not_found(stranger, services):
    token = stranger.get("/").get_data(as_text=True).split('name="csrf_token" value="')[1].split('"')[0]
    services.authorization.error = None

    answer = stranger.post("/sign-in/nowhere", {"csrf_token": token})

    assert answer.status_code == 404


def test_sign_out_ends_the_session_and_forgets_the_cookies(browser, services):
    answer = browser.submit("/connections", "/sign-out")

    assert answer.headers["Location"] == "/?news=signed-out"
    assert services.sessions.calls[-1] == ("end", SESSION_TOKEN)
    assert browser.cookie(SESSION) is None
    assert browser.cookie(CONSENT) is None
    assert "signed out" in browser.get("/?news=signed-out").get_data(as_text=True)


def test_a_leftover_session_cookie_does_not_lock_the_sign_in(browser, services):
    services.sessions.live.clear()

    assert browser.submit("/", "/sign-in/google").status_code == 200
    assert services.authorization.calls[0][3].reveal() == BROWSER_TOKEN


def test_an_unknown_news_code_is_not_repeated(stranger):
    answer = stranger.client.get("/?news=<script>alert(1)</script>", base_url=PUBLIC_URL)

    assert "alert(1)" not in answer.get_data(as_text=True)
