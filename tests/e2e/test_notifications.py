"""Notifications are hints: forged ones move nothing, doubled and lost ones change nothing but timing."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import uuid4

import pytest
import requests

from tests.e2e.conftest import LONGEST_GAP_S, emptied, signed_in
from tests.e2e.walk import tomorrow_at
from tests.running_product import eventually

ACTIVE = """
    SELECT channels.id, provider_channel_id, resource_id, calendar_id FROM channels
    JOIN calendars ON calendars.id = calendar_id JOIN connections ON connections.id = connection_id
    WHERE is_primary AND state = 'active' AND provider = %s
"""
OCCURRENCES = """
    SELECT count(*) FROM occurrences JOIN events
    ON events.provider_id = source_id AND events.calendar_id = occurrences.calendar_id WHERE summary = %s
"""
CREATING = "SELECT 1 FROM channels WHERE state = 'creating'"
NOTED = "SELECT news, last_seen_at FROM channels WHERE id = %s"


@pytest.fixture(scope="module")
def product(running):
    product = emptied(running)
    person = signed_in(product)
    person.connect("google", "ada")
    person.connect("microsoft", "chiara")
    eventually(lambda: all(product.rows(ACTIVE, kind) for kind in ("google", "microsoft")), within_s=25, what="pushes")
    product.control("push?wait_s=10", "GET")
    return product


def forged_google(product, channel_id, token, resource_id):
    headers = {
        "X-Goog-Channel-ID": str(channel_id),
        "X-Goog-Channel-Token": token,
        "X-Goog-Resource-ID": resource_id or "",
        "X-Goog-Resource-State": "exists",
        "X-Goog-Message-Number": "7",
    }
    return requests.post(f"{product.public_url}/hooks/google", headers=headers, timeout=10)


def test_w01_a_forged_google_notification_is_refused_and_marks_nothing(product):
    (channel_id, _, resource_id, _), *_ = product.rows(ACTIVE, "google")
    before = product.rows(NOTED, channel_id)

    assert forged_google(product, channel_id, "guessed", resource_id).status_code == 404
    assert forged_google(product, uuid4(), "guessed", resource_id).status_code == 404
    assert forged_google(product, "not-a-channel", "guessed", resource_id).status_code == 404
    assert requests.post(f"{product.public_url}/hooks/google", data=b"\xff" * 9000, timeout=10).status_code == 404
    assert product.rows(NOTED, channel_id) == before


def test_w05_a_forged_graph_notification_is_taken_and_marks_nothing(product):
    (channel_id, subscription_id, _, _), *_ = product.rows(ACTIVE, "microsoft")
    before = product.rows(NOTED, channel_id)
    forged = {"subscriptionId": subscription_id, "clientState": "guessed", "changeType": "updated"}

    for body in ({"value": [forged]}, {"value": [forged, 7, None, {}]}, {"value": []}):
        assert requests.post(f"{product.public_url}/hooks/microsoft", json=body, timeout=10).status_code == 202

    assert product.rows(NOTED, channel_id) == before


def test_w04_the_handshake_is_answered_while_our_own_request_is_open(product):
    """Graph calls the web while the worker waits for Graph: both addresses, before it answers."""
    assert [entry["status"] for entry in product.sandbox_log("graph.subscriptions")].count(201) >= 1


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"value": 7}', json.dumps({"value": [{}] * 1001}).encode()])
def test_w10_garbage_is_refused_without_a_server_error(product, body):
    headers = {"Content-Type": "application/json"}

    answer = requests.post(f"{product.public_url}/hooks/microsoft", data=body, headers=headers, timeout=10)

    assert answer.status_code in {400, 413}


def test_w03_nobody_else_can_make_the_hook_repeat_a_text(product):
    eventually(lambda: not product.rows(CREATING), within_s=25, what="no handshake expected")

    answer = requests.post(f"{product.public_url}/hooks/microsoft?validationToken=hello", timeout=10)

    assert answer.status_code == 404
    assert "hello" not in answer.text


@pytest.mark.parametrize(
    ("provider", "account", "operation"), [("google", "ada", "push.google"), ("microsoft", "chiara", "push.graph")]
)
@pytest.mark.parametrize("kind", ["duplicate", "forge", "stranger", "garbage"])
def test_an_event_is_there_once_however_its_notification_comes(product, provider, account, operation, kind):
    product.control("faults", operation=operation, kind=kind, account=account, count=1)
    title, start = f"{provider} {kind} {uuid4()}", tomorrow_at(14)
    times = {"start": start.isoformat(), "end": (start + timedelta(hours=1)).isoformat()}

    product.control("events", provider=provider, account=account, action="add", title=title, **times)

    rows = eventually(
        lambda: product.rows("SELECT provider_id FROM events WHERE summary = %s", title),
        within_s=LONGEST_GAP_S,
        what=title,
    )
    assert len(rows) == 1
    sent = product.control("push?wait_s=10", "GET")["sent"]
    assert [one for one in sent if one["status"] is None or one["status"] >= 500] == []
    assert product.control("faults", "GET") == []
    assert product.rows(OCCURRENCES, title) == [(1,)]
