import html

import pytest

from app.domain import errors as domain
from app.domain.errors import AuthorizationError, ProviderThrottled, ProviderUnavailable
from app.domain.features import Feature
from app.domain.secret import Secret
from app.services.authorization import Connected, SignedIn
from app.web import error_texts, texts
from app.web.cookies import SESSION
from tests.fakes import BROWSER_TOKEN, PERSON, SESSION_TOKEN, all_leaves, make_connection

GOOD = "/callback/google?state=st&code=co"


def test_connect_explains_features_use_and_retention(browser):
    text = html.unescape(browser.get("/connect").get_data(as_text=True))

    for feature, words in texts.FEATURES.items():
        assert (words.name in text) == (feature is not Feature.IDENTITY)
    for sentence in (texts.CONNECT_WHO, texts.CONNECT_KEEP, texts.CONNECT_IDENTITY_ONLY):
        assert sentence in text
    assert "googleapis.com/auth" not in text


def test_the_chosen_provider_is_the_open_one(browser):
    text = browser.get("/connect?provider=microsoft").get_data(as_text=True)

    assert text.count(" open>") == 1
    assert text.index(" open>") < text.index('action="/connect/microsoft"')
    assert text.index(" open>") > text.index('action="/connect/google"')


def test_connect_starts_a_consent_for_the_ticked_features(browser, services):
    answer = browser.submit("/connect", "/connect/google", {"feature": ["calendar.read", "mail.send"]})

    assert answer.status_code == 200
    assert services.authorization.calls == [
        (
            "start_connect",
            PERSON.id,
            "google",
            (Feature.IDENTITY, Feature.CALENDAR_READ, Feature.MAIL_SEND),
            "/connections",
            None,
            Secret(BROWSER_TOKEN),
        )
    ]


@pytest.mark.parametrize(("provider", "feature"), [("google", "mail.read"), ("acme", "calendar.read")])
def test_a_feature_the_form_does_not_offer_is_refused(browser, services, provider, feature):
    answer = browser.submit("/connect", f"/connect/{provider}", {"feature": feature})

    assert answer.status_code == 400
    assert services.authorization.calls == []


def test_a_finished_sign_in_gets_a_new_session_and_leaves_the_code_behind(browser, services):
    services.authorization.result = SignedIn(PERSON, Secret("n" * 43), "/agenda")

    answer = browser.get(GOOD)

    assert (answer.status_code, answer.headers["Location"]) == (303, "/agenda")
    assert browser.cookie(SESSION).value == "n" * 43
    assert ("end", SESSION_TOKEN) in services.sessions.calls
    assert answer.get_data() == b""


@pytest.mark.parametrize(("is_new", "news"), [(True, "connected"), (False, "reconnected")])
def test_a_finished_consent_returns_with_the_news(browser, services, is_new, news):
    services.authorization.result = Connected(make_connection(), is_new, (), "/connections")

    answer = browser.get(GOOD)

    assert answer.headers["Location"] == f"/connections?news={news}"


def test_the_callback_hands_over_what_came(browser, services):
    services.authorization.result = Connected(make_connection(), is_new=True, declined=(), return_to="/connections")

    browser.get(GOOD + "&iss=https://accounts.google.com")

    callback = services.authorization.calls[0][1]
    assert (callback.provider, callback.state, callback.code) == ("google", "st", Secret("co"))
    assert (callback.iss, callback.error, callback.person_id) == ("https://accounts.google.com", None, PERSON.id)
    assert callback.browser_token == Secret(BROWSER_TOKEN)


def test_a_providers_description_is_cut_and_never_shown(browser, services):
    services.authorization.error = domain.ConsentDenied()

    answer = browser.get("/callback/google?state=st&error=access_denied&error_description=" + "<b>marker</b>" * 50)

    assert len(services.authorization.calls[0][1].error_detail) == 200
    assert "marker" not in answer.get_data(as_text=True)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "code=co",
        "state=&code=co",
        "state=a&state=b&code=co",
        "state=a&code=co&code=other",
        "state=a&code=co&iss=x&iss=y",
        "state=a&code=co&access_token=x",
        "state=a&id_token=x",
        "state=a&code=" + "c" * 9000,
        "state=" + "s" * 600 + "&code=co",
    ],
)
def test_a_callback_that_no_provider_sends_is_refused_before_anything_else(browser, services, query):
    answer = browser.get(f"/callback/google?{query}")

    assert answer.status_code == 403
    assert "does not belong to this browser" in answer.get_data(as_text=True)
    assert services.authorization.calls == []


LEAVES = [*all_leaves(AuthorizationError), ProviderUnavailable, ProviderThrottled, domain.ProviderRejected]


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
def test_every_reason_has_its_own_page_with_one_action(browser, services, leaf):
    services.authorization.error = leaf()
    words = error_texts.ERROR_PAGES[leaf.code]

    answer = browser.get(GOOD)

    text = html.unescape(answer.get_data(as_text=True))
    assert 400 <= answer.status_code < 600
    assert f"<h1>{words.title}</h1>" in text
    assert words.text in text
    assert text.count('class="button main"') == 1
    assert f'href="{words.href}">{words.action}</a>' in text


def test_no_two_reasons_share_their_words():
    words = [error_texts.ERROR_PAGES[leaf.code].text for leaf in LEAVES]

    assert len(set(words)) == len(words)


def test_a_busy_provider_says_when_to_come_back(browser, services):
    services.authorization.error = ProviderThrottled(retry_after_s=16.2)

    assert browser.get(GOOD).headers["Retry-After"] == "17"
