"""From the provider back to the service: who can finish, once, and what the service is told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from app.domain.connect_links import ANSWER_WITHIN, COMPLETION_WITHIN, LIFETIME
from app.domain.connections import Status
from app.domain.errors import AwaitingCompletion, ProviderUnavailable
from app.domain.features import Feature
from app.domain.subjects import Subject, SubjectMode
from app.services.resolution import CHECKS, Ask, Resolver
from app.web import error_texts
from app.web.cookies import CONSENT, SESSION
from tests.fake_provider import ADA, FakeProvider
from tests.integration.links.conftest import (
    BRUNO,
    HOME_ACCOUNT,
    RETURN_URI,
    PersonsBrowser,
    callback_path,
    outcome_of,
    title_of,
)


def words(code: str) -> str:
    return error_texts.ERROR_PAGES[code].title


def connection_of(desk, link):
    with desk.house.store.reading() as tx:
        return tx.connections.get(desk.rows(f"connect_links WHERE id = '{link.id}'", "connection_id")[0][0])


def what_stands_in_the_way(desk, connection) -> list[str]:
    """Return why the service gets no token for the connection, by the checks of the hand-out."""
    resolver = Resolver(desk.house.store, desk.house.providers, desk.house.clock)
    ask = Ask(Subject(SubjectMode.ABSENT, connection_id=connection.id), features=(Feature.CALENDAR_READ,))
    found = resolver.resolve(desk.clients.services["assistant"].id, ask)
    return [error.code for error in (check(found) for check in CHECKS.values()) if error is not None]


def visible_connections(desk):
    with desk.house.store.reading() as tx:
        service = desk.clients.services["assistant"]
        return [c.id for c in tx.connections.visible_to(service.id, None, desk.house.clock())]


# --- the straight way


def test_a_link_ends_at_the_service_with_the_connection_and_nothing_of_the_providers(desk, ada):
    link = desk.make(ada.person_id())
    person_id = ada.person_id()

    ended = ada.use(link)

    connection = connection_of(desk, link)
    assert outcome_of(ended) == {
        "tenant": "7", "connect_link": str(link.id), "status": "connected", "connection_id": str(connection.id),
    }  # fmt: skip
    assert (connection.person_id, connection.subject) == (person_id, HOME_ACCOUNT.subject)
    assert desk.state(link) | {"expires_at": "…"} == {
        "id": str(link.id), "state": "connected", "provider": "google", "features": ["identity", "calendar.read"],
        "completion": "automatic", "expires_at": "…", "connection_id": str(connection.id),
    }  # fmt: skip
    assert ("list", connection.id) in desk.house.nudge.sent
    assert desk.audited() == ["connect_link_created", "connect_link_opened", "connect_link_used"]
    assert visible_connections(desk) == [connection.id]


def test_the_link_is_forgotten_by_the_browser_and_works_no_second_time(desk, ada):
    link = desk.make(ada.person_id())
    leaving = ada.confirm(link)
    ada.come_back(leaving)
    redeemed = desk.exchanges()

    replayed = ada.come_back(leaving)
    forgotten = ada.get(link.page)
    again = ada.open(link)

    assert replayed.status_code == 409
    assert forgotten.status_code == 404
    assert (again.status_code, title_of(again)) == (410, words("connect_link_used"))
    assert desk.exchanges() == redeemed


# --- others


def test_another_browser_cannot_finish(desk, ada):
    link, elsewhere = desk.make(ada.person_id()), desk.browser()
    leaving = ada.confirm(link)
    redeemed = desk.exchanges()

    refused = elsewhere.come_back(leaving)

    assert (refused.status_code, title_of(refused)) == (403, words("state_mismatch"))
    assert desk.exchanges() == redeemed
    assert desk.state(link)["state"] == "started"
    assert outcome_of(ada.come_back(leaving))["status"] == "connected"


def test_another_person_in_the_same_browser_cannot_finish(desk, ada):
    link = desk.make()
    leaving = ada.confirm(link)
    # Signing out takes the binding cookie along; so as not to lean on that, only the session is another one here.
    ada.set_cookie(SESSION, desk.browser(BRUNO).cookie(SESSION).value)
    redeemed = desk.exchanges()

    refused, looked = ada.come_back(leaving), ada.get(link.page)

    assert (refused.status_code, title_of(refused)) == (403, words("state_mismatch"))
    assert (looked.status_code, title_of(looked)) == (409, words("connect_link_taken"))
    assert desk.exchanges() == redeemed
    assert desk.rows("connections") == [(0,)]


@pytest.mark.parametrize("is_signed_in", [True, False])
def test_whoever_sends_the_providers_address_to_a_victim_gets_nothing(desk, ada, is_signed_in):
    attacker = desk.browser(BRUNO)
    link = desk.make(attacker.person_id())
    leaving = attacker.confirm(link)
    victim = ada if is_signed_in else PersonsBrowser(desk)
    victim.get("/")
    desk.house.provider.identity = ADA
    redeemed = desk.exchanges()

    refused = victim.come_back(leaving)

    assert (refused.status_code, title_of(refused)) == (403, words("state_mismatch"))
    assert "Location" not in refused.headers
    assert desk.exchanges() == redeemed
    assert desk.rows("connections") == [(0,)]


def test_whoever_sends_a_link_for_nobody_to_a_victim_needs_the_host_to_look_away(desk, ada):
    # The host's own look at the returning browser is the last defence: without its word the grant goes again.
    link = desk.make()

    assert outcome_of(ada.use(link))["status"] == "connected"

    connection = connection_of(desk, link)
    assert visible_connections(desk) == []
    desk.later(seconds=COMPLETION_WITHIN.total_seconds())
    desk.links.lapse()
    assert connection_of(desk, link).status is Status.DISCONNECTED
    assert "revoke" in desk.house.provider.calls
    assert desk.rows(f"data_keys WHERE connection_id = '{connection.id}'") == [(0,)]


def test_a_consent_begun_on_our_own_pages_ends_there(desk, ada):
    desk.make(ada.person_id())

    landed = ada.come_back(ada.submit("/connect", "/connect/google", {"feature": ["calendar.read"]}))

    assert landed.headers["Location"] == "/connections?news=connected"


# --- two tabs


def test_of_two_tabs_of_one_link_the_first_to_come_back_finishes_it(desk, ada):
    link = desk.make(ada.person_id())
    first, second = ada.confirm(link), ada.submit(link.page, link.page)
    redeemed = desk.exchanges()

    assert outcome_of(ada.come_back(second))["status"] == "connected"
    late = ada.come_back(first)

    assert (late.status_code, title_of(late)) == (410, words("connect_link_used"))
    assert desk.exchanges() == redeemed + 1


def test_two_tabs_with_two_links_do_not_disturb_each_other(desk, ada):
    one, other = desk.make(ada.person_id()), desk.make(ada.person_id())
    first, second = ada.confirm(one), ada.confirm(other)

    assert outcome_of(ada.come_back(second))["connect_link"] == str(other.id)
    assert outcome_of(ada.come_back(first))["connect_link"] == str(one.id)


def test_of_answers_that_come_at_once_one_is_redeemed(desk, ada):
    link = desk.make(ada.person_id())
    paths = [callback_path(ada.confirm(link)), callback_path(ada.submit(link.page, link.page))]
    redeemed, cookies = desk.exchanges(), "; ".join(
        f"{c.key}={c.value}" for c in (ada.cookie(SESSION), ada.cookie(CONSENT))
    )  # fmt: skip

    def come_back(path: str) -> int:
        client = desk.app.test_client(use_cookies=False)
        return client.get(path, base_url="https://latchkey.example.test", headers={"Cookie": cookies}).status_code

    with ThreadPoolExecutor(6) as pool:
        statuses = sorted(pool.map(come_back, paths * 3))

    assert statuses[0] == 303
    assert all(status in {409, 410} for status in statuses[1:])
    assert desk.exchanges() == redeemed + 1


# --- no


def test_cancelling_at_the_provider_declines(desk, ada):
    link = desk.make(ada.person_id())

    ended = ada.come_back(ada.confirm(link), error="access_denied")

    assert outcome_of(ended) == {"tenant": "7", "connect_link": str(link.id), "status": "declined"}
    assert desk.state(link)["state"] == "declined"
    assert title_of(ada.open(link)) == words("connect_link_used")


def test_no_thanks_declines_before_anything_starts(desk, ada):
    link = desk.make(ada.person_id())
    ada.open(link)

    left = ada.submit(link.page, f"{link.page}/decline")

    assert left.status_code == 200
    assert f"{RETURN_URI}&connect_link={link.id}&status=declined".replace("&", "&amp;") in left.get_data(as_text=True)
    assert desk.state(link)["state"] == "declined"
    assert desk.rows("authorization_requests WHERE purpose = 'connect'") == [(0,)]


@pytest.mark.parametrize(
    ("error", "reason"),
    [("admin_policy_enforced", "admin_approval_required"), ("server_error", "provider_unavailable"),
     ("invalid_scope", "provider_rejected"), ("%3Cscript%3E", "provider_rejected")],
)  # fmt: skip
def test_what_fails_at_the_provider_is_told_by_a_stable_code(desk, ada, error, reason):
    link = desk.make(ada.person_id())

    ended = ada.come_back(ada.confirm(link), error=error)

    assert outcome_of(ended) == {"tenant": "7", "connect_link": str(link.id), "status": "failed"}
    assert (desk.state(link)["state"], desk.state(link)["reason"]) == ("failed", reason)


class BrokenProvider(FakeProvider):
    """Grants access that does not work."""

    def probe(self, access_token, *, subject=None):
        raise ProviderUnavailable("http_503")


@pytest.mark.parametrize("person_named", [True, False])
def test_a_grant_that_fails_its_first_call_is_no_connection_for_the_service(desk, ada, person_named):
    link = desk.make(ada.person_id() if person_named else None)
    leaving = ada.confirm(link)
    desk.house.provider.identity = HOME_ACCOUNT
    desk.house.provider.__class__ = BrokenProvider

    ended = ada.come_back(leaving)

    assert outcome_of(ended)["status"] == "failed"
    assert "connection_id" not in outcome_of(ended) | desk.state(link)
    if not person_named:
        assert desk.complete(link).status_code == 409
        desk.later(seconds=COMPLETION_WITHIN.total_seconds())
        desk.links.lapse()
        assert connection_of(desk, link).status is Status.DISCONNECTED


def test_no_offline_access_fails(desk, ada):
    link = desk.make(ada.person_id())
    leaving = ada.confirm(link)
    desk.house.provider.gives_refresh_token = False
    desk.house.provider.identity = HOME_ACCOUNT

    assert outcome_of(ada.come_back(leaving))["status"] == "failed"
    assert desk.state(link)["reason"] == "no_offline_access"


# --- time


def test_an_answer_after_the_half_hour_is_not_redeemed(desk, ada):
    link = desk.make(ada.person_id())
    ada.open(link)
    desk.later(seconds=LIFETIME.total_seconds() - 30)
    leaving = ada.submit(link.page, link.page)
    redeemed = desk.exchanges()
    desk.later(seconds=30)

    late = ada.come_back(leaving)

    assert (late.status_code, title_of(late)) == (410, words("connect_link_expired"))
    assert desk.exchanges() == redeemed


def test_what_time_ends_is_written_down_once_and_deleted_in_the_end(desk, ada):
    link = desk.make(ada.person_id(), email_hint="ada.work@example.com")
    desk.later(seconds=LIFETIME.total_seconds())

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: desk.links.lapse(), range(6)))

    assert desk.rows("connect_links", "state, email_hint") == [("expired", None)]
    assert desk.audited() == ["connect_link_created", "connect_link_expired"]
    assert desk.state(link)["state"] == "expired"
    desk.later(days=31)
    desk.links.lapse()
    assert desk.rows("connect_links") == [(0,)]


def test_an_answer_that_is_being_worked_on_is_not_ended_under_its_hands(desk, ada):
    link = desk.make(ada.person_id())
    ada.confirm(link)
    with desk.house.store.transaction() as tx:
        tx.connect_links.put(replace(tx.connect_links.lock(link.id), used_at=desk.house.clock()))
    desk.later(seconds=LIFETIME.total_seconds())

    desk.links.lapse()
    assert desk.state(link)["state"] == "started"
    desk.later(seconds=ANSWER_WITHIN.total_seconds())
    desk.links.lapse()
    assert desk.state(link)["state"] == "expired"


# --- completion by the host


def test_a_connection_waits_for_its_host_and_nothing_is_handed_out_meanwhile(desk, ada):
    link = desk.make(ada.person_id(), completion="host")

    ended = ada.use(link)

    connection = connection_of(desk, link)
    assert outcome_of(ended)["connection_id"] == str(connection.id)
    assert desk.state(link)["state"] == "awaiting_completion"
    assert desk.state(link)["complete_by"]
    assert connection.status is Status.ACTIVE
    assert what_stands_in_the_way(desk, connection) == [AwaitingCompletion.code]
    assert visible_connections(desk) == []
    assert desk.rows("connections WHERE calendar_list_due_at IS NOT NULL") == [(0,)]
    assert "Waiting for the service" in ada.get("/connections").get_data(as_text=True)


def test_the_host_completes_it_and_may_say_so_twice(desk, ada):
    link = desk.make(ada.person_id(), completion="host")
    ada.use(link)
    desk.house.nudge.sent.clear()

    answers = [desk.complete(link), desk.complete(link)]

    connection = connection_of(desk, link)
    assert [(answer.status_code, answer.json["state"]) for answer in answers] == [(200, "connected")] * 2
    assert answers[0].json["connection_id"] == str(connection.id)
    assert what_stands_in_the_way(desk, connection) == []
    assert visible_connections(desk) == [connection.id]
    assert desk.house.nudge.sent == [("list", connection.id)]
    assert desk.audited()[-1] == "connect_link_completed"
    assert desk.audited().count("connect_link_completed") == 1
    desk.later(days=1)
    desk.links.lapse()
    assert connection_of(desk, link).status is Status.ACTIVE


def test_another_service_can_neither_see_nor_complete_it(desk, ada):
    desk.service("other", Feature.CALENDAR_READ)
    link = desk.make(ada.person_id(), completion="host")
    ada.use(link)

    refused = desk.complete(link, by="other")
    unknown = desk.call("POST", "/v1/connect-links/00000000-0000-4000-8000-000000000000/complete", by="other")

    assert refused.status_code == unknown.status_code == 404
    assert refused.json == unknown.json
    assert desk.call("GET", f"/v1/connect-links/{link.id}", by="other").status_code == 404
    assert desk.state(link)["state"] == "awaiting_completion"


def test_a_completion_that_comes_too_late_is_refused_and_the_connection_let_go(desk, ada):
    link = desk.make(ada.person_id(), completion="host")
    ada.use(link)
    desk.later(seconds=COMPLETION_WITHIN.total_seconds())

    late = desk.complete(link)
    desk.links.lapse()

    assert (late.status_code, late.json["reason"]) == (409, "not_awaiting_completion")
    assert connection_of(desk, link).status is Status.DISCONNECTED
    assert desk.state(link)["state"] == "expired"
    assert desk.complete(link).status_code == 409
    assert desk.house.provider.calls.count("revoke") >= 1
    assert desk.audited()[-1] == "connect_link_expired"


def test_several_beats_let_a_connection_go_once(desk, ada):
    link = desk.make(ada.person_id(), completion="host")
    ada.use(link)
    desk.later(seconds=COMPLETION_WITHIN.total_seconds())

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: desk.links.lapse(), range(6)))

    assert desk.rows("audit_events WHERE kind = 'disconnected'") == [(1,)]


@pytest.mark.parametrize("step", ["open", "started", "automatic", "declined"])
def test_there_is_nothing_to_complete_before_or_without(desk, ada, step):
    link = desk.make(ada.person_id(), completion="automatic" if step == "automatic" else "host")
    if step == "started":
        ada.confirm(link)
    elif step == "automatic":
        ada.use(link)
    elif step == "declined":
        ada.come_back(ada.confirm(link), error="access_denied")

    answer = desk.complete(link)

    assert (answer.status_code, answer.json["reason"]) == (409, "not_awaiting_completion")


def test_what_the_person_has_ended_meanwhile_cannot_be_completed(desk, ada):
    link = desk.make(ada.person_id(), completion="host")
    person_id = ada.person_id()
    ada.use(link)
    desk.links.disconnect.disconnect(person_id, connection_of(desk, link).id)

    assert desk.complete(link).status_code == 409
    assert connection_of(desk, link).status is Status.DISCONNECTED


def test_a_connection_that_others_use_keeps_working_while_a_host_makes_up_its_mind(desk, ada):
    person_id = ada.person_id()
    ada.use(desk.make(person_id))
    link = desk.make(person_id, completion="host")
    ada.use(link)
    connection = connection_of(desk, link)

    assert desk.state(link)["state"] == "awaiting_completion"
    assert visible_connections(desk) == [connection.id]
    desk.later(seconds=COMPLETION_WITHIN.total_seconds())
    desk.links.lapse()
    assert connection_of(desk, link).status is Status.ACTIVE
    assert desk.state(link)["state"] == "expired"


def test_the_persons_own_consent_makes_a_waiting_connection_good(desk, ada):
    link = desk.make(ada.person_id(), completion="host")
    ada.use(link)

    ada.come_back(ada.submit("/connect", "/connect/google", {"feature": ["calendar.read"]}))

    assert connection_of(desk, link).completion_due_at is None
    desk.later(seconds=COMPLETION_WITHIN.total_seconds())
    desk.links.lapse()
    assert connection_of(desk, link).status is Status.ACTIVE
