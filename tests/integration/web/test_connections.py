import html
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from app.domain.connections import Reason
from app.domain.features import Feature, scopes_for
from app.domain.secret import Secret
from app.ports import Revocation
from app.services.calendar_choices import Choice
from app.web import texts
from tests.fakes import (
    BROWSER_TOKEN,
    CONNECTION_ID,
    NOW,
    PERSON,
    broken_connection,
    make_calendar,
    make_connection,
    make_view,
)

PAGE = f"/connections/{CONNECTION_ID}"


def text_of(answer):
    assert answer.status_code == 200
    return html.unescape(answer.get_data(as_text=True))


def show(services, connection=None, **changes):
    services.connections.views = {CONNECTION_ID: make_view(connection, **changes)}


def test_an_empty_list_leads_to_the_first_account(browser, services):
    services.connections.views = {}

    text = text_of(browser.get("/connections"))

    assert texts.CONNECTIONS_EMPTY_TITLE in text
    assert text.count('class="button main"') == 1


def test_a_working_connection_says_so(browser):
    text = text_of(browser.get("/connections"))

    assert texts.STATE_WORKING in text
    assert "42 events, updated 2 minutes ago" in text
    assert 'http-equiv="refresh"' not in text


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_its_sentence_and_the_one_action_is_reconnect(browser, services, reason):
    show(services, broken_connection(reason))

    text = text_of(browser.get("/connections"))

    assert texts.REASONS[reason] in text
    assert f'action="{PAGE}/reconnect"' in text
    assert text.count('<button class="main"') == 1


def test_a_declined_feature_is_off_and_can_be_allowed(browser, services):
    asked = (Feature.IDENTITY, Feature.CALENDAR_READ, Feature.MAIL_SEND)
    granted = scopes_for("google", (Feature.CALENDAR_READ,))
    show(services, make_connection(requested_features=asked, granted_scopes=tuple(granted)))

    text = text_of(browser.get("/connections"))

    assert texts.STATE_PARTLY in text
    assert "You declined: send follow-up mails for you." in text
    assert texts.ACTION_GRANT in text


def test_the_first_read_shows_its_progress_and_refreshes_without_script(browser, services):
    waiting = make_calendar(name="Holidays", is_primary=False, last_success_at=None)
    show(services, calendars=(make_calendar(), waiting), is_syncing=True)

    text = text_of(browser.get("/connections"))

    assert "1 of 2 calendars read" in text
    assert '<noscript><meta http-equiv="refresh"' in text
    assert 'data-live="/connections/live"' in text


def test_the_live_part_is_the_same_cards_without_the_page_around(browser):
    part = text_of(browser.get("/connections/live"))

    assert "<html" not in part
    assert part.strip() in text_of(browser.get("/connections"))


def test_one_connection_shows_features_calendars_and_history(browser, services):
    history = ((make_connection().created_at, "needs_reconnect", {"reason": "credential_changed"}),)
    show(services, history=history)

    text = text_of(browser.get(PAGE + "?news=connected"))

    assert texts.NEWS["connected"] in text
    assert texts.FEATURES[Feature.CALENDAR_READ].meaning in text
    assert "24 October 2026, 14:00" in text
    assert texts.REASONS[Reason.CREDENTIAL_CHANGED] in text
    assert "https://myaccount.google.com/connections" in text
    assert f'data-live="{PAGE}/live"' in text
    assert text_of(browser.get(PAGE + "/live")).strip() in text


@pytest.mark.parametrize("ending", ["", "/live", "/repair", "/disconnect"])
def test_a_strangers_connection_looks_like_a_missing_one(browser, services, ending):
    foreign = make_connection(person_id=uuid4())
    show(services, foreign)

    theirs = browser.get(PAGE + ending)
    services.connections.views = {}
    missing = browser.get(PAGE + ending)

    assert theirs.status_code == missing.status_code == 404
    assert "ada@example.test" not in theirs.get_data(as_text=True)


def test_reconnect_keeps_the_connection_and_asks_for_what_it_had(browser, services):
    show(services, broken_connection())

    answer = browser.submit("/connections", f"{PAGE}/reconnect")

    assert "Continue to Google" in text_of(answer)
    assert services.authorization.calls == [
        (
            "start_connect",
            PERSON.id,
            "google",
            (Feature.IDENTITY, Feature.CALENDAR_READ),
            PAGE,
            CONNECTION_ID,
            Secret(BROWSER_TOKEN),
        )
    ]


def test_a_feature_can_be_added_later(browser, services):
    browser.submit(PAGE, f"{PAGE}/reconnect", {"feature": "preferences.read"})

    assert services.authorization.calls[0][3] == (Feature.IDENTITY, Feature.CALENDAR_READ, Feature.PREFERENCES_READ)


def test_the_repair_link_leads_through_the_sign_in(stranger, browser, services):
    show(services, broken_connection(Reason.SESSION_POLICY))

    first = stranger.get(f"{PAGE}/repair")
    page = text_of(browser.get(f"{PAGE}/repair"))

    assert first.headers["Location"] == f"/?return_to={PAGE}/repair"
    assert texts.REASONS[Reason.SESSION_POLICY] in page
    assert texts.ACTION_RECONNECT in page
    assert page.count('<button class="main"') == 1


def test_the_repair_link_of_a_working_connection_says_that_it_works(browser):
    assert texts.REPAIR_WORKING_TITLE in text_of(browser.get(f"{PAGE}/repair"))


def test_disconnect_asks_first(browser, services):
    text = text_of(browser.get(f"{PAGE}/disconnect"))

    assert "Disconnect ada@example.test?" in text
    assert services.disconnect.calls == []


@pytest.mark.parametrize("outcome", list(texts.REVOCATIONS))
@pytest.mark.parametrize("proved", [True, False, None])
def test_the_receipt_says_what_the_provider_answered_and_what_was_deleted(browser, services, outcome, proved):
    services.disconnect.revocation, services.disconnect.proved_dead = Revocation(outcome), proved

    text = text_of(browser.submit(f"{PAGE}/disconnect", f"{PAGE}/disconnect"))

    assert services.disconnect.calls == [("disconnect", PERSON.id, CONNECTION_ID)]
    for said in (texts.REVOCATIONS[outcome], texts.PROOFS[proved], "2 calendars, 57 events", "23 November 2026, 13:00"):
        assert said in text
    assert (texts.RECEIPT_REMOVE in text) == (outcome in {"unsupported", "failed"})


def test_names_from_providers_are_escaped(browser, services):
    marked = make_calendar(name="<img src=x onerror=alert(1)>")
    show(services, replace(make_connection(), email='"><script>alert(2)</script>'), calendars=(marked,))

    for path in ("/connections", PAGE, f"{PAGE}/repair", f"{PAGE}/disconnect"):
        text = browser.get(path).get_data(as_text=True)
        assert "<img src=x" not in text
        assert "<script>alert" not in text


def test_an_id_that_is_none_is_not_found(browser):
    assert browser.get("/connections/1").status_code == 404
    assert browser.get(f"/connections/{UUID(int=0)}").status_code == 404


def test_a_calendar_is_shown_as_it_was_chosen_and_only_known_choices_are_taken(browser, services):
    kept, paused, out = make_calendar(name="Work"), make_calendar(name="Home", paused_at=NOW), make_calendar(
        name="Team", is_selected=False, last_success_at=None
    )  # fmt: skip
    show(services, calendars=(kept, paused, out))

    text = text_of(browser.get(PAGE))
    answer = browser.submit(
        PAGE,
        f"{PAGE}/calendars",
        {str(kept.id): "leave_out", str(paused.id): "sync", str(out.id): "for ever", "not an id": "sync"},
    )

    for status in (texts.CALENDAR_PAUSED, texts.CALENDAR_LEFT_OUT, "42 events, updated 2 minutes ago"):
        assert text.count(status) == 1
    assert [value for value in ("sync", "pause", "leave_out") if f'value="{value}" selected' in text] == [
        "sync", "pause", "leave_out",
    ]  # fmt: skip
    assert services.calendar_choices.calls == [
        ("choose", PERSON.id, CONNECTION_ID, {kept.id: Choice.LEAVE_OUT, paused.id: Choice.SYNC})
    ]
    assert answer.headers["Location"] == f"{PAGE}?news=calendars-chosen"
