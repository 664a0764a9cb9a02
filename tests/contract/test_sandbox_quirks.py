"""Quirks of the providers on request: strangers and garbage, batches, lost handshakes, full pages, tokens that age."""

import json
import threading
import time

import pytest

from tests.contract.sandbox_calendars import CALENDAR, calendars, receiver
from tests.contract.sandbox_walk import Walker, clients
from tests.contract.test_sandbox_calendar_faults import DELTA, LIST, fault, graph_error
from tests.contract.test_sandbox_calendar_push import SINGLE, TIMED, sent, subscribe, watch

WEEK_S = 7 * 86_400


@pytest.fixture
def served():
    with calendars(clients=clients()) as running:
        yield running


@pytest.fixture
def hook():
    with receiver() as listening:
        yield listening


@pytest.fixture
def walker(served):
    walker = Walker(served.base_url)
    with walker.http:
        yield walker


def items(request):
    return json.loads(request.body)["value"]


def reason(answer):
    return answer.status_code, answer.json()["error"]["errors"][0]["reason"]


# Push


def test_garbage_for_google_has_no_channel_headers(served, hook):
    ada = served.google()
    watch(ada, hook)
    hook.wait_for(1)
    fault(served, "push.google", "garbage")
    hook.answers = [503]

    ada.post(CALENDAR, json=TIMED)

    garbage = hook.wait_for(2)[1]
    assert [name for name in garbage.headers if name.lower().startswith("x-goog-")] == []
    # Not repeated, though the answer asked for it: one fault is one message.
    assert [entry.get("is") for entry in sent(served, 2)].count("garbage") == 1


def test_garbage_for_graph_is_not_json(served, hook):
    chiara = served.graph()
    subscribe(chiara, hook)
    fault(served, "push.graph", "garbage")
    hook.answers = [400]

    chiara.post("/v1.0/me/events", json=SINGLE)

    (garbage,) = hook.wait_for(1)
    with pytest.raises(ValueError, match="decode"):
        json.loads(garbage.body)
    assert garbage.headers["Content-Type"].startswith("application/json")
    assert [(entry["is"], entry["status"]) for entry in sent(served, 1)] == [("garbage", 400)]


def test_stranger_names_a_channel_nobody_knows_and_is_right_otherwise(served, hook):
    ada, chiara = served.google(), served.graph()
    watch(ada, hook)
    made = subscribe(chiara, hook).json()
    hook.wait_for(1)
    for operation in ("push.google", "push.graph"):
        fault(served, operation, "stranger")

    ada.post(CALENDAR, json=TIMED)
    google = hook.wait_for(2)[1]
    chiara.post("/v1.0/me/events", json=SINGLE)
    (graph,) = items(hook.wait_for(3)[2])

    assert google.headers["X-Goog-Channel-ID"] != "channel-one"
    assert google.headers["X-Goog-Channel-Token"] == "secret"
    assert graph["subscriptionId"] != made["id"]
    assert graph["clientState"] == "state"


def test_notifications_of_several_mailboxes_travel_in_one_post(served, hook):
    chiara, devon = served.graph("chiara"), served.graph("devon")
    made = [subscribe(caller, hook).json()["id"] for caller in (chiara, devon)]
    fault(served, "push.graph", "batch", count=3, seconds=2)

    for caller in (chiara, devon, chiara):
        caller.post("/v1.0/me/events", json=SINGLE)

    (post,) = hook.wait_for(1)
    assert [item["subscriptionId"] for item in items(post)] == [made[0], made[1], made[0]]
    assert [entry["is"] for entry in sent(served, 1)] == ["batch of 3"]


def test_batches_keep_to_their_address_and_leave_others_alone(served, hook):
    chiara, devon = served.graph("chiara"), served.graph("devon")
    subscribe(chiara, hook)
    subscribe(devon, hook, notificationUrl=f"{hook.url}/hooks/elsewhere")
    fault(served, "push.graph", "batch", count=2, seconds=0.5)

    for caller in (chiara, devon, chiara):
        caller.post("/v1.0/me/events", json=SINGLE)

    assert sorted(len(items(post)) for post in hook.wait_for(3)) == [1, 1, 1]
    sent(served, 3)


def test_batch_that_is_refused_comes_again_whole(served, hook):
    chiara = served.graph()
    subscribe(chiara, hook)
    fault(served, "push.graph", "batch", count=2, seconds=1.5)
    hook.answers = [503]

    for _ in range(2):
        chiara.post("/v1.0/me/events", json=SINGLE)

    first, second = hook.wait_for(2)
    assert first.body == second.body
    assert len(items(first)) == 2
    assert [entry["status"] for entry in sent(served, 2)] == [503, 204]


def test_a_thousand_items_come_at_once_on_request(served, hook):
    subscribe(served.graph(), hook)
    fault(served, "push.graph", "batch", count=None, seconds=3)

    served.control("/push", provider="microsoft", account="chiara", count=1000)

    (post,) = hook.wait_for(1)
    assert len(items(post)) == 1000


def test_messages_after_the_end_of_a_channel_come_on_request(served, hook):
    watch(served.google(), hook, params={"ttl": "600"})
    hook.wait_for(1)
    served.control("/clock", advance_s=601)

    late = served.control("/push", provider="google", account="ada")

    assert late["sent"] == 1
    assert hook.wait_for(2)[1].headers["X-Goog-Channel-ID"] == "channel-one"


def test_subscription_is_gone_without_a_word_when_the_word_is_dropped(served, hook):
    chiara = served.graph()
    subscribe(chiara, hook)
    fault(served, "push.graph", "drop")

    served.control("/lifecycle", account="chiara", event="subscriptionRemoved")

    assert chiara.get("/v1.0/subscriptions").json()["value"] == []
    sent(served, 0)


# Handshakes


def test_subscription_whose_handshake_never_comes_is_refused(served, hook):
    chiara = served.graph()
    fault(served, "graph.subscriptions", "no_validation", seconds=0.3)
    # Had it been called, the refusal would name the answer.
    hook.echoes = False

    began = time.monotonic()
    refused = subscribe(chiara, hook)
    took_s = time.monotonic() - began

    assert graph_error(refused) == (400, "ValidationError")
    assert "timed out" in refused.json()["error"]["message"]
    assert took_s >= 0.3
    assert chiara.get("/v1.0/subscriptions").json()["value"] == []


def test_handshake_comes_late_on_request(served, hook):
    fault(served, "graph.subscriptions", "hang", seconds=2)
    # An early call would find a receiver that does not answer as it must.
    hook.echoes = False
    ready = threading.Timer(0.3, setattr, (hook, "echoes", True))
    ready.start()

    made = subscribe(served.graph(), hook)
    ready.join()

    assert made.status_code == 201


# Pages


@pytest.mark.parametrize(("path", "operation"), [(CALENDAR, "google.events"), (LIST, "google.calendarlist")])
def test_google_page_holds_more_than_asked_for_and_nothing_is_lost(served, path, operation):
    ada = served.google()
    whole = [item["id"] for item in ada.get(path).json()["items"]]
    fault(served, operation, "overfull")

    pages = list(ada.pages(path, maxResults="1"))

    assert [len(page["items"]) for page in pages[:2]] == [2, 1]
    assert [item["id"] for page in pages for item in page["items"]] == whole


def test_graph_delta_page_holds_more_than_asked_for_and_nothing_is_lost(served):
    chiara = served.graph()
    whole = [item["id"] for page in chiara.rounds(DELTA) for item in page["value"]]
    # Larger than the first series, which takes a page of its own whatever is asked for.
    prefer = "odata.maxpagesize=45"
    usual = len(next(chiara.rounds(DELTA, prefer))["value"])
    fault(served, "graph.delta", "overfull")

    pages = list(chiara.rounds(DELTA, prefer))

    assert len(pages[0]["value"]) > usual
    assert [item["id"] for page in pages for item in page["value"]] == whole


@pytest.mark.parametrize(
    ("path", "operation"), [("/v1.0/me/events", "graph.events"), ("/v1.0/me/calendars", "graph.calendars")]
)
def test_graph_list_page_holds_more_than_asked_for_and_nothing_is_lost(served, path, operation):
    chiara = served.graph()
    whole = [item["id"] for item in chiara.get(f"{path}?$top=50").json()["value"]]
    fault(served, operation, "overfull")

    pages = list(chiara.rounds(f"{path}?$top=1"))

    assert [len(page["value"]) for page in pages] == [2] + [1] * (len(whole) - 2)
    assert [item["id"] for page in pages for item in page["value"]] == whole


# Tokens that age


@pytest.mark.parametrize("path", [CALENDAR, LIST])
def test_google_sync_token_dies_of_age(served, path):
    served.control("/settings", sync_token_life_s=WEEK_S)
    token = list(served.google().pages(path))[-1]["nextSyncToken"]

    served.control("/clock", advance_s=WEEK_S - 60)
    young = served.google().get(path, params={"syncToken": token})
    served.control("/clock", advance_s=60)
    old = served.google().get(path, params={"syncToken": token})
    renewed = served.google().get(path, params={"syncToken": young.json()["nextSyncToken"]})

    assert (young.status_code, renewed.status_code) == (200, 200)
    assert reason(old) == (410, "fullSyncRequired")


def test_graph_delta_link_dies_of_age_and_a_next_link_too(served):
    served.control("/settings", sync_token_life_s=3600)
    chiara = served.graph()
    pages = list(chiara.rounds(DELTA, "odata.maxpagesize=3"))
    links = pages[0]["@odata.nextLink"], pages[-1]["@odata.deltaLink"]

    served.control("/clock", advance_s=3600)
    answers = [served.graph().get(link) for link in links]

    assert [graph_error(answer) for answer in answers] == [(410, "SyncStateNotFound")] * 2
    assert "generation=1;[highest=2]" in answers[0].json()["error"]["message"]


def test_tokens_do_not_age_unless_told(served):
    token = list(served.google().pages(CALENDAR))[-1]["nextSyncToken"]
    link = list(served.graph().rounds(DELTA))[-1]["@odata.deltaLink"]

    served.control("/clock", advance_s=400 * 86_400)

    assert served.control("/settings", "GET")["sync_token_life_s"] is None
    assert served.google().get(CALENDAR, params={"syncToken": token}).status_code == 200
    assert served.graph().get(link).status_code == 200


def test_google_refresh_token_dies_when_its_time_is_set(served, walker):
    served.control("/settings", google_refresh_life_s=WEEK_S)
    first = walker.connect("google", "ada", "openid email")

    served.control("/clock", advance_s=86_400)
    refreshed = walker.refresh("google", first["refresh_token"]).json()
    served.control("/clock", advance_s=WEEK_S)
    refused = walker.refresh("google", first["refresh_token"])

    assert first["refresh_token_expires_in"] == WEEK_S
    assert refreshed["refresh_token_expires_in"] == pytest.approx(WEEK_S - 86_400, abs=60)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


# Accounts and refusals


def test_somebody_moves_to_another_tenant_and_nothing_is_granted_any_more(served, walker):
    scope = "openid email offline_access User.Read"
    before = walker.connect("microsoft", "chiara", scope)
    tenant = "9188040d-6c67-4c5b-b112-36a304b66dad"

    moved = served.control("/accounts/move", account="chiara", tenant=tenant)
    refused = walker.refresh("microsoft", before["refresh_token"])
    person = served.graph().get("/v1.0/me").json()

    assert (moved["tid"], moved["email"]) == (tenant, "chiara@alder.example.org")
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert (person["id"], person["mail"]) == (moved["oid"], moved["email"])


def test_mailbox_without_a_licence_can_be_scripted(served):
    fault(served, "graph.delta", "status", status=404, reason="MailboxNotEnabledForRESTAPI")

    assert graph_error(served.graph().get(DELTA)) == (404, "MailboxNotEnabledForRESTAPI")


@pytest.mark.parametrize(
    ("form", "part"),
    [
        ("", 'authorization_uri="https://'),
        ("unquoted", "authorization_uri=https://"),
        ("several", 'PoP realm="", error="invalid_token", Bearer'),
    ],
)
def test_claims_challenge_comes_in_the_forms_the_service_uses(served, form, part):
    fault(served, "graph.events", "claims_challenge", reason=form)

    refused = served.graph().get("/v1.0/me/events")

    assert refused.status_code == 401
    assert part in refused.headers["WWW-Authenticate"]
    assert 'error="insufficient_claims", claims="ey' in refused.headers["WWW-Authenticate"]


def test_faults_page_offers_every_kind(served, walker):
    page = walker.http.get(f"{served.base_url}/sandbox/faults", timeout=10).text

    for kind in ("stranger", "garbage", "batch", "no_validation", "overfull"):
        assert f"<option>{kind}</option>" in page
