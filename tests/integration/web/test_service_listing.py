from dataclasses import replace

import pytest

from app.domain.connections import Reason
from tests.fakes import CONNECTION_ID, SERVICE, SERVICE_TOKEN, broken_connection, make_connection
from tests.integration.web.conftest import PUBLIC_URL

BEARER = {"Authorization": f"Bearer {SERVICE_TOKEN}"}


def ask(client, headers, query=""):
    return client.get(f"/v1/connections{query}", base_url=PUBLIC_URL, headers=headers)


@pytest.mark.parametrize("method", ["basic", "bearer"])
def test_a_service_sees_what_policy_shows_it(client, basic, services, method):
    answer = ask(client, basic if method == "basic" else BEARER)

    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json == {
        "connections": [
            {
                "id": str(CONNECTION_ID),
                "person_id": str(make_connection().person_id),
                "provider": "google",
                "account": "ada@example.test",
                "status": "active",
                "reason": None,
                "features": ["calendar.freebusy", "calendar.read", "identity"],
                "granted_scopes": sorted(make_connection().granted_scopes),
                "granted_at": "2026-11-20T12:00:00Z",
            }
        ]
    }
    assert services.clients.calls[-1] == ("connections", SERVICE, None)


def test_a_broken_connection_has_its_reason_and_keeps_the_time_of_its_grant(client, services):
    services.clients.visible = (broken_connection(Reason.EXPIRED_INACTIVE),)

    item = ask(client, BEARER).json["connections"][0]

    assert (item["status"], item["reason"]) == ("needs_reconnect", "expired_inactive")
    assert item["granted_at"] == "2026-10-24T12:00:00Z"


def test_the_provider_narrows_the_list(client, services):
    other = replace(make_connection(), provider="microsoft", kind="microsoft", granted_scopes=("User.Read",))
    services.clients.visible = (make_connection(), other)

    items = ask(client, BEARER, "?provider=microsoft").json["connections"]

    assert [item["provider"] for item in items] == ["microsoft"]


@pytest.mark.parametrize(
    ("query", "error"),
    [("?provider=nowhere", "invalid_target"), ("?provider=google&provider=google", "invalid_request")],
)
def test_a_query_that_cannot_be_answered(client, query, error):
    answer = ask(client, BEARER, query)

    assert (answer.status_code, answer.json["error"]) == (400, error)


@pytest.mark.parametrize(
    ("headers", "error", "challenge"),
    [
        ({}, "invalid_client", "Basic"),
        ({"Authorization": "Bearer wrong"}, "invalid_token", "Bearer"),
        ({"Cookie": "__Host-latchkey-session=" + "s" * 43}, "invalid_client", "Basic"),
    ],
)
def test_a_caller_without_proof_gets_nothing(client, headers, error, challenge):
    answer = ask(client, headers)

    assert (answer.status_code, answer.json["error"]) == (401, error)
    assert answer.headers["WWW-Authenticate"].startswith(challenge)


def test_unknown_paths_answer_in_json(client):
    answer = client.get("/v1/nothing", base_url=PUBLIC_URL)

    assert (answer.status_code, answer.json["error"]) == (404, "not_found")
