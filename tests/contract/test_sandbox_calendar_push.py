"""The sandbox's push messages: Google channels, Graph subscriptions, delivery, scripted losses."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from tests.contract.sandbox_calendars import CALENDAR, calendars, receiver

TIMED = {"start": {"dateTime": "2031-03-03T10:00:00Z"}, "end": {"dateTime": "2031-03-03T11:00:00Z"}}
SINGLE = {
    "subject": "Single",
    "start": {"dateTime": "2031-03-03T10:00:00", "timeZone": "UTC"},
    "end": {"dateTime": "2031-03-03T11:00:00", "timeZone": "UTC"},
}


@pytest.fixture
def served():
    with calendars() as running:
        yield running


@pytest.fixture
def hook():
    with receiver() as listening:
        yield listening


def watch(caller, hook, channel_id="channel-one", **extra):
    body = {"id": channel_id, "type": "web_hook", "address": f"{hook.url}/hooks/google", "token": "secret", **extra}
    return caller.post(f"{CALENDAR}/watch", json=body)


def subscribe(caller, hook, **extra):
    until = datetime.now(UTC) + timedelta(days=3)
    body = {
        "changeType": "created,updated,deleted",
        "notificationUrl": f"{hook.url}/hooks/microsoft?c=7",
        "lifecycleNotificationUrl": f"{hook.url}/hooks/life",
        "resource": "me/events",
        "expirationDateTime": f"{until:%Y-%m-%dT%H:%M:%SZ}",
        "clientState": "state",
    }
    return caller.post("/v1.0/subscriptions", json={**body, **extra})


def sent(served, count):
    """Wait until all is delivered; return the record, which must have `count` entries."""
    record = served.control("/push?wait_s=20", "GET")
    assert record["idle"]
    assert len(record["sent"]) == count, record["sent"]
    return record["sent"]


def test_channel_starts_with_sync_and_tells_of_changes(served, hook):
    ada = served.google("ada")
    channel = watch(ada, hook).json()
    hook.wait_for(1)
    ada.post(CALENDAR, json=TIMED)

    sync, change = hook.wait_for(2)

    assert (sync.headers["X-Goog-Resource-State"], sync.headers["X-Goog-Message-Number"]) == ("sync", "1")
    assert change.headers["X-Goog-Resource-State"] == "exists"
    assert int(change.headers["X-Goog-Message-Number"]) > 1
    assert change.headers["X-Goog-Channel-ID"] == channel["id"] == "channel-one"
    assert change.headers["X-Goog-Channel-Token"] == "secret"
    assert change.headers["X-Goog-Resource-ID"] == channel["resourceId"]
    assert change.headers["X-Goog-Resource-URI"] == channel["resourceUri"]
    expiry = parsedate_to_datetime(change.headers["X-Goog-Channel-Expiration"])
    assert expiry.timestamp() == int(channel["expiration"]) // 1000
    assert change.body == b""


def test_channel_lifetime_is_cut_at_a_week_and_can_be_shorter(served, hook):
    ada = served.google("ada")
    now_ms = datetime.now(UTC).timestamp() * 1000

    short = watch(ada, hook, "short", params={"ttl": "600"}).json()
    endless = watch(ada, hook, "long", expiration=int(now_ms + 90 * 86_400_000)).json()

    assert abs(int(short["expiration"]) - now_ms - 600_000) < 60_000
    assert abs(int(endless["expiration"]) - now_ms - 7 * 86_400_000) < 60_000
    sent(served, 2)


def test_channel_expires_without_a_word(served, hook):
    ada = served.google("ada")
    watch(ada, hook, params={"ttl": "600"})
    served.control("/clock", advance_s=601)

    ada.post(CALENDAR, json=TIMED)

    assert [entry["state"] for entry in sent(served, 1)] == ["sync"]


def test_only_the_account_and_client_that_opened_a_channel_can_stop_it(served, hook):
    ada, other_client, bruno = served.google(), served.google(client_id="client-two"), served.google("bruno")
    channel = watch(ada, hook).json()
    stop = {"id": channel["id"], "resourceId": channel["resourceId"]}
    url = "/calendar/v3/channels/stop"

    refused = [caller.post(url, json=stop).status_code for caller in (other_client, bruno)]
    stopped = [ada.post(url, json=stop).status_code for _ in range(2)]
    ada.post(CALENDAR, json=TIMED)

    assert refused == [404, 404]
    assert stopped == [204, 404]
    sent(served, 1)


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({"address": "http://hooks.example.com/x"}, "push.webhookUrlNotHttps"),
        ({"type": "pigeon"}, "invalid"),
        ({"address": ""}, "required"),
        ({"token": "x" * 257}, "invalid"),
    ],
)
def test_channels_that_cannot_be_are_refused(served, hook, extra, expected):
    answer = watch(served.google(), hook, **extra)

    assert (answer.status_code, answer.json()["error"]["errors"][0]["reason"]) == (400, expected)


def test_channel_ids_are_unique_and_generated_calendars_cannot_be_watched(served, hook):
    ada = served.google()
    watch(ada, hook)
    holidays = "/calendar/v3/calendars/en.sandbox%23holiday@group.v.calendar.google.com/events/watch"
    body = {"id": "other", "type": "web_hook", "address": hook.url}

    reasons = [a.json()["error"]["errors"][0]["reason"] for a in (watch(ada, hook), ada.post(holidays, json=body))]

    assert reasons == ["channelIdNotUnique", "pushNotSupportedForRequestedResource"]
    sent(served, 1)


@pytest.mark.parametrize(("kind", "states"), [("drop", ["sync"]), ("duplicate", ["sync", "exists", "exists"])])
def test_messages_are_dropped_and_doubled_on_request(served, hook, kind, states):
    ada = served.google()
    watch(ada, hook)
    served.control("/faults", operation="push.google", kind=kind)

    ada.post(CALENDAR, json=TIMED)

    assert sorted(entry["state"] for entry in sent(served, len(states))) == sorted(states)


def test_forged_message_carries_a_wrong_token(served, hook):
    ada = served.google()
    watch(ada, hook)
    served.control("/faults", operation="push.google", kind="forge")

    ada.post(CALENDAR, json=TIMED)

    tokens = sorted(request.headers["X-Goog-Channel-Token"] for request in hook.wait_for(2))
    assert tokens == ["forged", "secret"]


def test_delayed_message_comes_later(served, hook):
    ada = served.google()
    watch(ada, hook)
    hook.wait_for(1)
    served.control("/faults", operation="push.google", kind="delay", seconds=0.6)

    ada.post(CALENDAR, json=TIMED)
    early = len(hook.received)
    hook.wait_for(2)

    assert early == 1


def test_push_can_be_switched_off(served, hook):
    ada = served.google()
    served.control("/settings", push_enabled=False)

    watch(ada, hook)
    ada.post(CALENDAR, json=TIMED)

    sent(served, 0)


def test_google_repeats_after_a_server_error_and_gives_up_on_others(served, hook):
    hook.answers = [503, 204, 404]
    ada = served.google()
    watch(ada, hook)
    hook.wait_for(2)

    ada.post(CALENDAR, json=TIMED)

    # Two of the courier's threads may write their entries the other way round.
    assert {(entry["status"], entry["attempt"]) for entry in sent(served, 3)} == {(503, 1), (204, 2), (404, 1)}


def test_bulk_edits_are_told_once(served, hook):
    watch(served.google(), hook)

    served.control("/bulk", provider="google", account="ada", count=50)

    sent(served, 2)


def test_subscription_is_validated_and_told_of_changes(served, hook):
    chiara = served.graph()
    answer = subscribe(chiara, hook)
    made = chiara.post("/v1.0/me/events", json=SINGLE).json()

    (request,) = hook.wait_for(1)
    (item,) = json.loads(request.body)["value"]

    assert answer.status_code == 201, answer.text
    assert request.path == "/hooks/microsoft?c=7"
    assert (item["subscriptionId"], item["clientState"], item["changeType"]) == (
        answer.json()["id"],
        "state",
        "created",
    )
    assert item["resourceData"]["id"] == made["id"]
    assert item["tenantId"]


def test_receiver_that_does_not_echo_gets_no_subscription(served, hook):
    hook.echoes = False

    answer = subscribe(served.graph(), hook)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "ValidationError")
    assert served.graph().get("/v1.0/subscriptions").json()["value"] == []


@pytest.mark.parametrize(
    ("extra", "status"),
    [
        ({"expirationDateTime": "2099-01-01T00:00:00Z"}, 400),
        ({"resource": "users/somebody@example.com/events"}, 403),
        ({"changeType": "exploded"}, 400),
        ({"clientState": "x" * 129}, 400),
        ({"notificationUrl": "http://hooks.example.com"}, 400),
        ({"lifecycleNotificationUrl": "http://127.0.0.1:9/closed"}, 400),
    ],
)
def test_subscriptions_that_cannot_be_are_refused(served, hook, extra, status):
    assert subscribe(served.graph(), hook, **extra).status_code == status


def test_short_subscriptions_are_raised_and_renewal_moves_the_end(served, hook):
    chiara = served.graph()
    now = datetime.now(UTC)
    soon = f"{now + timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}"
    later = f"{now + timedelta(days=6):%Y-%m-%dT%H:%M:%SZ}"

    made = subscribe(chiara, hook, expirationDateTime=soon).json()
    path = f"/v1.0/subscriptions/{made['id']}"
    renewed = chiara.patch(path, json={"expirationDateTime": later}).json()

    assert datetime.fromisoformat(made["expirationDateTime"]) > now + timedelta(minutes=44)
    assert renewed["expirationDateTime"] == later
    assert chiara.patch(path, json={"lifecycleNotificationUrl": hook.url}).status_code == 400
    assert chiara.post(f"{path}/reauthorize").status_code == 204
    assert chiara.delete(path).status_code == 204
    assert chiara.patch(path, json={"expirationDateTime": later}).status_code == 404


def test_subscriptions_belong_to_account_and_client(served, hook):
    made = subscribe(served.graph(), hook).json()

    others = served.graph(client_id="client-two"), served.graph("devon")

    assert [caller.get(f"/v1.0/subscriptions/{made['id']}").status_code for caller in others] == [404, 404]
    assert len(served.graph().get("/v1.0/subscriptions").json()["value"]) == 1


def test_reading_basics_is_not_enough_to_subscribe(served, hook):
    assert subscribe(served.graph("devon", "Calendars.ReadBasic"), hook).status_code == 403


def test_expired_subscription_is_gone_and_silent(served, hook):
    chiara = served.graph()
    made = subscribe(chiara, hook).json()
    served.control("/clock", advance_s=3 * 86_400 + 60)
    renewed_token = served.graph()

    renewed_token.post("/v1.0/me/events", json=SINGLE)

    assert renewed_token.get(f"/v1.0/subscriptions/{made['id']}").status_code == 404
    sent(served, 0)


def test_changing_an_occurrence_tells_and_forging_changes_the_client_state(served, hook):
    chiara = served.graph()
    subscribe(chiara, hook)
    served.control("/faults", operation="push.graph", kind="forge")

    chiara.post("/v1.0/me/events", json=SINGLE)

    (request,) = hook.wait_for(1)
    assert json.loads(request.body)["value"][0]["clientState"] == "forged"


@pytest.mark.parametrize(("event", "left"), [("missed", 1), ("reauthorizationRequired", 1), ("subscriptionRemoved", 0)])
def test_lifecycle_events_go_to_their_own_address(served, hook, event, left):
    chiara = served.graph()
    subscribe(chiara, hook)

    served.control("/lifecycle", account="chiara", event=event)

    (request,) = hook.wait_for(1)
    (item,) = json.loads(request.body)["value"]
    assert (request.path, item["lifecycleEvent"], item["clientState"]) == ("/hooks/life", event, "state")
    assert len(chiara.get("/v1.0/subscriptions").json()["value"]) == left


def test_channel_on_the_calendar_list_tells_of_calendars(served, hook):
    ada = served.google("ada")
    body = {"id": "list", "type": "web_hook", "address": hook.url}
    assert ada.post("/calendar/v3/users/me/calendarList/watch", json=body).status_code == 200
    ada.post(CALENDAR, json=TIMED)

    served.control("/calendars", provider="google", account="ada", action="add", name="Garden")

    assert sorted(entry["state"] for entry in sent(served, 2)) == ["exists", "sync"]


def test_nothing_is_told_between_a_demand_for_reauthorization_and_the_answer(served, hook):
    chiara = served.graph()
    made = subscribe(chiara, hook).json()
    served.control("/lifecycle", account="chiara", event="reauthorizationRequired")
    hook.wait_for(1)

    chiara.post("/v1.0/me/events", json=SINGLE)
    chiara.post(f"/v1.0/subscriptions/{made['id']}/reauthorize")
    chiara.post("/v1.0/me/events", json=SINGLE)

    assert sorted(entry["state"] for entry in sent(served, 2)) == ["created", "reauthorizationRequired"]


def test_ids_in_notifications_have_the_form_asked_for_at_creation(served, hook):
    chiara = served.graph()
    chiara.headers["Prefer"] = 'IdType="ImmutableId"'
    subscribe(chiara, hook)

    made = chiara.post("/v1.0/me/events", json=SINGLE).json()

    (request,) = hook.wait_for(1)
    assert json.loads(request.body)["value"][0]["resourceData"]["id"] == made["id"]


def test_bursts_and_messages_of_stopped_channels_are_sent_on_request(served, hook):
    ada = served.google()
    channel = watch(ada, hook).json()
    who = {"provider": "google", "account": "ada"}

    burst = served.control("/push", **who, count=20)
    ada.post("/calendar/v3/channels/stop", json={"id": channel["id"], "resourceId": channel["resourceId"]})
    late = served.control("/push", **who, stopped=True)

    assert (burst["sent"], late["sent"]) == (20, 1)
    sent(served, 22)
