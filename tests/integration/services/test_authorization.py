"""Sign-in and consent on the real store: what is bound, what is single use, what is stored."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.connections import Identity, Status
from app.domain.errors import (
    AccountMismatch,
    AdminApprovalRequired,
    ConsentAlreadyUsed,
    ConsentDenied,
    ConsentExpired,
    NoOfflineAccess,
    StateMismatch,
    UnknownConnection,
)
from app.domain.features import Feature
from app.domain.secret import Secret
from app.services.authorization import SignedIn
from tests.integration.services.conftest import FEATURES, House, callback_of

OTHER = Identity("https://accounts.google.com", "subject-2", None, "bob@example.com", "Bob")


def test_the_same_subject_is_the_same_person_whatever_the_email(house: House) -> None:
    first = house.sign_in()
    house.provider.identity = replace(house.provider.identity, email="renamed@example.com")
    second = house.sign_in()
    house.provider.identity = replace(OTHER, email="renamed@example.com")
    third = house.sign_in()

    assert first.id == second.id
    assert third.id != first.id


def test_a_session_works_until_it_is_ended(house: House) -> None:
    started = house.authorization.start_sign_in("google", "/", None)
    result = house.authorization.finish(callback_of(started.authorization_url, started.browser_token))
    assert isinstance(result, SignedIn)
    token = result.session_token.reveal()

    found = house.sessions.resolve(token)
    house.sessions.end(token)

    assert found is not None
    assert found.person.id == result.person.id
    assert house.sessions.resolve(token) is None
    assert house.sessions.resolve("guess") is None


def test_a_session_ends_after_its_life(house: House) -> None:
    started = house.authorization.start_sign_in("google", "/", None)
    result = house.authorization.finish(callback_of(started.authorization_url, started.browser_token))
    assert isinstance(result, SignedIn)

    house.clock.advance(3600 * 24 * 20)

    assert house.sessions.resolve(result.session_token.reveal()) is None


def test_a_callback_counts_once(house: House) -> None:
    started = house.authorization.start_sign_in("google", "/", None)
    callback = callback_of(started.authorization_url, started.browser_token)
    house.authorization.finish(callback)

    with pytest.raises((ConsentAlreadyUsed, StateMismatch)):
        house.authorization.finish(callback)

    assert house.provider.calls.count("exchange") == 1


def test_another_browser_cannot_finish_nor_burn_a_request(house: House) -> None:
    started = house.authorization.start_sign_in("google", "/", None)
    callback = callback_of(started.authorization_url, started.browser_token)

    for stranger in (None, Secret("someone-else")):
        with pytest.raises(StateMismatch):
            house.authorization.finish(replace(callback, browser_token=stranger))

    assert house.provider.calls == []
    assert isinstance(house.authorization.finish(callback), SignedIn)


def test_an_unknown_state_makes_no_call(house: House) -> None:
    started = house.authorization.start_sign_in("google", "/", None)
    callback = callback_of(started.authorization_url, started.browser_token)

    with pytest.raises(StateMismatch):
        house.authorization.finish(replace(callback, state="guess"))

    assert house.provider.calls == []


def test_a_request_of_ten_minutes_ago_has_expired(house: House) -> None:
    started = house.authorization.start_sign_in("google", "/", None)
    house.clock.advance(601)

    with pytest.raises(ConsentExpired):
        house.authorization.finish(callback_of(started.authorization_url, started.browser_token))

    assert house.provider.calls == []


def test_another_person_in_the_same_browser_cannot_finish_a_consent(house: House) -> None:
    ada = house.sign_in()
    house.provider.identity = OTHER
    bob = house.sign_in()
    started = house.authorization.start_connect(ada.id, "google", FEATURES, "/")
    callback = callback_of(started.authorization_url, started.browser_token)

    with pytest.raises(StateMismatch):
        house.authorization.finish(replace(callback, person_id=bob.id))


@pytest.mark.parametrize(
    ("error", "detail", "expected"),
    [
        ("access_denied", None, ConsentDenied),
        ("access_denied", "AADSTS90094: admin consent is required", AdminApprovalRequired),
        ("admin_policy_enforced", None, AdminApprovalRequired),
    ],
)
def test_a_refusal_is_told_apart(house: House, error: str, detail: str | None, expected: type[Exception]) -> None:
    started = house.authorization.start_sign_in("google", "/", None)
    callback = callback_of(started.authorization_url, started.browser_token)

    with pytest.raises(expected):
        house.authorization.finish(replace(callback, code=None, error=error, error_detail=detail))

    assert house.provider.calls == []


def test_connecting_stores_what_was_granted_and_asks_for_the_calendar_list(house: House) -> None:
    connected = house.connect(house.sign_in())

    assert connected.is_new
    assert connected.connection.status is Status.ACTIVE
    assert Feature.CALENDAR_READ in connected.connection.features()
    assert connected.declined == ()
    assert ("list", connected.connection.id) in house.nudge.sent
    assert house.provider.calls[-1] == "probe"


def test_an_unticked_scope_leaves_the_feature_off_and_the_connection_on(house: House) -> None:
    house.provider.scope = "openid email profile"

    connected = house.connect(house.sign_in())

    assert connected.connection.status is Status.ACTIVE
    assert connected.declined == (Feature.CALENDAR_READ,)


def test_the_same_account_again_is_the_same_connection_and_another_is_a_new_one(house: House) -> None:
    person = house.sign_in()
    first = house.connect(person)
    second = house.connect(person)
    house.provider.identity = OTHER
    third = house.connect(person)

    assert second.connection.id == first.connection.id
    assert third.connection.id != first.connection.id
    with house.store.reading() as tx:
        assert len(tx.connections.of_person(person.id)) == 2


def test_another_account_coming_back_leaves_the_connection_untouched(house: House) -> None:
    person = house.sign_in()
    connection = house.connect(person).connection
    house.provider.identity = OTHER

    with pytest.raises(AccountMismatch):
        house.connect(person, connection)

    with house.store.reading() as tx:
        assert tx.connections.get(connection.id) == connection
    assert "revoke" not in house.provider.calls


def test_a_grant_that_cannot_be_kept_alive_is_refused(house: House) -> None:
    house.provider.gives_refresh_token = False

    with pytest.raises(NoOfflineAccess):
        house.connect(house.sign_in())


def test_a_strangers_connection_cannot_be_repaired(house: House) -> None:
    ada = house.sign_in()
    connection = house.connect(ada).connection
    house.provider.identity = OTHER
    bob = house.sign_in()

    with pytest.raises(UnknownConnection):
        house.authorization.start_connect(bob.id, "google", (), "/", connection_id=connection.id)
