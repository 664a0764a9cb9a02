"""``/v1/tokens`` and its explanation over fakes: how requests are read and answers worded."""

from uuid import uuid4

import pytest

from app.domain import errors as domain
from app.domain.features import Feature
from app.domain.subjects import Subject, SubjectMode
from app.services.explanation import Check, Explanation
from app.services.resolution import Ask
from app.services.token_exchange import ExchangeRequest
from app.web.api.error_registry import CODES, REASONS
from tests.fakes import CONNECTION_ID, PERSON, SERVICE, SERVICE_TOKEN, USER_TOKEN, broken_connection, make_connection
from tests.integration.web.conftest import PUBLIC_URL

BEARER = {"Authorization": f"Bearer {SERVICE_TOKEN}"}
BY_CONNECTION = Subject(SubjectMode.ABSENT, connection_id=CONNECTION_ID)


@pytest.fixture
def ask(client):
    def post(body, path="/v1/tokens", headers=BEARER, **more):
        return client.post(path, base_url=PUBLIC_URL, json=body, headers=headers, **more)

    return post


def test_the_answer_is_that_of_the_token_endpoint(ask, services):
    answer = ask({"connection_id": str(CONNECTION_ID)})

    assert answer.status_code == 200
    assert answer.json["access_token"] == "provider-access-token-marker"
    assert answer.json["handout_id"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert services.token_exchange.calls == [("exchange", SERVICE, ExchangeRequest(Ask(BY_CONNECTION)))]


def test_every_member_arrives(ask, services):
    body = {
        "person_id": str(PERSON.id),
        "provider": "google",
        "resource": "https://www.googleapis.com/",
        "features": ["calendar.read", "mail.send", "calendar.read"],
        "scopes": ["openid", "email"],
        "purpose": "availability.compute",
        "account": "ada@example.test",
        "min_validity": 120,
        "rejected_token_sha256": "AB" * 32,
    }

    assert ask(body).status_code == 200

    wanted = Ask(
        Subject(SubjectMode.ABSENT, person_id=PERSON.id),
        audience="google",
        resource="https://www.googleapis.com/",
        features=(Feature.CALENDAR_READ, Feature.MAIL_SEND),
        scopes=("openid", "email"),
        purpose="availability.compute",
        account="ada@example.test",
    )
    assert services.token_exchange.calls[0][2] == ExchangeRequest(wanted, 120, "ab" * 32)


def test_a_persons_own_token_names_them(ask, services):
    assert ask({"subject_token": USER_TOKEN, "provider": "google"}).status_code == 200

    assert services.token_exchange.calls[0][2].ask.subject == Subject(SubjectMode.PRESENT, person_id=PERSON.id)


@pytest.mark.parametrize(
    "change",
    [
        {"connection_id": None},
        {"connection_id": "not-an-id"},
        {"person_id": str(uuid4())},
        {"connection_id": None, "person_id": str(uuid4())},
        {"subject_token": USER_TOKEN},
        {"connection_id": None, "subject_token": "unknown", "provider": "google"},
        {"features": ["calendar.everything"]},
        {"features": "calendar.read"},
        {"scopes": ["a b"]},
        {"scopes": ['a"b']},
        {"purpose": "in words"},
        {"min_validity": "60"},
        {"min_validity": -1},
        {"min_validity": 3001},
        {"min_validity": 1.5},
        {"rejected_token_sha256": "ab"},
        {"account": "a\nb"},
        {"unknown_member": "marker"},
    ],
)
def test_a_malformed_request_is_refused_and_never_repeated(ask, services, change):
    answer = ask({"connection_id": str(CONNECTION_ID)} | change)

    assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")
    assert "marker" not in answer.get_data(as_text=True)
    assert services.token_exchange.calls == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (domain.NotAllowed("purpose"), (403, "unauthorized_client", "policy")),
        (domain.UnknownConnection(), (400, "invalid_target", None)),
        (domain.ScopeNotAllowed(), (400, "invalid_scope", None)),
        (domain.ReconnectRequired("revoked_by_user"), (400, "interaction_required", "revoked_by_user")),
        (domain.RateLimited("requests", retry_after_s=1), (429, "rate_limited", None)),
        (domain.ProviderUnavailable("x"), (503, "temporarily_unavailable", "provider_outage")),
    ],
)
def test_a_refusal_by_policy_is_forbidden_and_the_rest_is_as_ever(ask, services, error, expected):
    services.token_exchange.error = error

    answer = ask({"connection_id": str(CONNECTION_ID)})

    assert (answer.status_code, answer.json["error"], answer.json.get("reason")) == expected


def test_nobody_gets_anything_without_proof(ask, services):
    assert ask({"connection_id": str(CONNECTION_ID)}, headers={}).status_code == 401
    assert ask({"connection_id": str(CONNECTION_ID)}, "/v1/tokens/explain", headers={}).status_code == 401
    assert services.token_exchange.calls == []


def test_an_explanation_lists_every_check_with_what_to_do(ask, services):
    connection = broken_connection()
    services.explain.explanation = Explanation(
        (
            Check("authentication", is_passed=True),
            Check("policy", is_passed=False, error=domain.NotAllowed("purpose")),
            Check("consent", is_passed=False, error=domain.ReconnectRequired("revoked_by_user")),
            Check("health", is_passed=None),
        ),
        connection,
    )

    answer = ask({"connection_id": str(CONNECTION_ID), "min_validity": 5}, "/v1/tokens/explain")

    assert answer.status_code == 200
    assert answer.json == {
        "would_work": False,
        "connection_id": str(CONNECTION_ID),
        "provider": "google",
        "checks": [
            {"check": "authentication", "passed": True},
            {
                "check": "policy",
                "passed": False,
                "error": "unauthorized_client",
                "reason": "policy",
                "action": REASONS["policy"].action,
            },
            {
                "check": "consent",
                "passed": False,
                "error": "interaction_required",
                "reason": "revoked_by_user",
                "action": REASONS["revoked_by_user"].action,
                "connect_uri": f"{PUBLIC_URL}/connections/{CONNECTION_ID}/repair",
                "since": "2026-11-20T12:00:00Z",
                "last_ok": "2026-11-23T11:40:00Z",
            },
            {"check": "health", "passed": None},
        ],
    }
    assert services.explain.calls == [("explain", SERVICE, ExchangeRequest(Ask(BY_CONNECTION), 5))]
    assert services.token_exchange.calls == []


def test_an_explanation_of_nothing_names_nothing(ask, services):
    services.explain.explanation = Explanation(
        (Check("target", is_passed=False, error=domain.UnknownConnection()),), None
    )

    answer = ask({"connection_id": str(uuid4())}, "/v1/tokens/explain")

    assert (answer.json["connection_id"], answer.json["provider"], answer.json["would_work"]) == (None, None, False)
    assert answer.json["checks"][0]["action"] == CODES["invalid_target"].action


# --- the links in the errors, opened


@pytest.mark.parametrize(
    ("error", "connection"),
    [
        (domain.ReconnectRequired("revoked_by_user"), broken_connection()),
        (domain.ScopesMissing(["x"]), make_connection()),
        (domain.ScopeNotGranted(["x"]), make_connection()),
        (domain.NeverConnected("google"), None),
        (domain.NeverConnected(None), None),
    ],
)
def test_the_link_in_a_refusal_opens_where_the_person_can_act(ask, services, browser, stranger, error, connection):
    services.token_exchange.error, services.token_exchange.connection = error, connection
    link = ask({"connection_id": str(CONNECTION_ID)}).json["connect_uri"]
    assert link.startswith(PUBLIC_URL)
    path = link.removeprefix(PUBLIC_URL)

    page = browser.get(path)
    before_sign_in = stranger.get(path)

    assert page.status_code == 200
    action = "/connect/google" if connection is None else f"/connections/{CONNECTION_ID}/reconnect"
    assert f'action="{action}"' in page.get_data(as_text=True)
    # Signing in leads back to it.
    assert before_sign_in.status_code == 303
    assert path.partition("?")[0] in before_sign_in.headers["Location"].replace("%2F", "/")
