import base64
from uuid import uuid4

import pytest

from app.domain import errors as domain
from app.domain.connections import Reason
from app.domain.features import Feature
from app.services.token_exchange import ExchangeRequest
from app.web.api.token_request import ACCESS_TOKEN_TYPE, CONNECTION_TYPE, TOKEN_EXCHANGE
from tests.fakes import CONNECTION_ID, SERVICE, SERVICE_TOKEN, broken_connection, make_connection
from tests.integration.web.conftest import PUBLIC_URL

EXCHANGE = {
    "grant_type": TOKEN_EXCHANGE,
    "subject_token": str(CONNECTION_ID),
    "subject_token_type": CONNECTION_TYPE,
}
BEARER = {"Authorization": f"Bearer {SERVICE_TOKEN}"}


@pytest.fixture
def ask(client, basic):
    """Post a form to the token endpoint, by default as the known service."""

    def post(data=None, headers=None, **more):
        return client.post(
            "/oauth2/token", base_url=PUBLIC_URL, data=data, headers=basic if headers is None else headers, **more
        )

    return post


def basic_of(text):
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def refusal(answer):
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    assert answer.mimetype == "application/json"
    description = answer.json["error_description"]
    assert all(0x20 <= ord(c) <= 0x7E and c not in '"\\' for c in description)
    return answer.status_code, answer.json["error"]


def test_client_credentials_give_a_short_lived_token(ask):
    answer = ask({"grant_type": "client_credentials"})

    assert answer.status_code == 200
    assert answer.json == {"access_token": SERVICE_TOKEN, "token_type": "Bearer", "expires_in": 600}
    assert answer.headers["Cache-Control"] == "no-store"


def test_an_exchange_gives_the_provider_token_and_says_whose_it_is(ask, services):
    answer = ask(EXCHANGE)

    assert answer.status_code == 200
    assert answer.json == {
        "access_token": "provider-access-token-marker",
        "issued_token_type": ACCESS_TOKEN_TYPE,
        "token_type": "Bearer",
        "expires_in": 1799,
        "scope": " ".join(make_connection().granted_scopes),
        "connection_id": str(CONNECTION_ID),
        "provider": "google",
        "account": "ada@example.test",
        "granted_at": "2026-11-20T12:00:00Z",
        "handout_id": "44444444-4444-4444-8444-444444444444",
    }
    assert services.token_exchange.calls == [
        ("exchange", SERVICE, ExchangeRequest(CONNECTION_ID, None, (), (), None, 60, None))
    ]


def test_every_parameter_of_an_exchange_arrives(ask, services):
    wanted = {
        "audience": "google",
        "scope": "openid email",
        "features": "calendar.read mail.send",
        "purpose": "availability.compute",
        "min_validity": "120",
        "rejected_token_sha256": "AB" * 32,
        "requested_token_type": ACCESS_TOKEN_TYPE,
        "unknown_parameter": "ignored",
        "resource": "",
    }

    assert ask({**EXCHANGE, **wanted}).status_code == 200

    features = (Feature.CALENDAR_READ, Feature.MAIL_SEND)
    expected = ExchangeRequest(
        CONNECTION_ID, "google", ("openid", "email"), features, "availability.compute", 120, "ab" * 32
    )
    assert services.token_exchange.calls[0][2] == expected


def test_a_latchkey_token_serves_for_an_exchange_but_not_for_another_token(ask, services):
    assert ask(EXCHANGE, BEARER).status_code == 200

    renewed = ask({"grant_type": "client_credentials"}, BEARER)

    assert refusal(renewed) == (401, "invalid_client")
    assert not [call for call in services.clients.calls if call[0] == "issue_token"]


def test_a_warning_is_passed_on(ask, services):
    services.token_exchange.warning = "provider_unavailable"

    assert ask(EXCHANGE).json["warning"] == "provider_unavailable"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic_of("scheduler:wrong"),
        basic_of("scheduler"),
        basic_of(":secret"),
        basic_of("scheduler:%ff"),
        {"Authorization": "Basic ***"},
        {"Authorization": "Basic"},
        {"Authorization": "Basic " + "A" * 5000},
        {"Authorization": "Digest username=scheduler"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
    ],
)
def test_a_service_that_cannot_prove_itself_gets_401_and_a_challenge(ask, headers, services):
    answer = ask(EXCHANGE, headers)

    assert refusal(answer) == (401, "invalid_client")
    scheme = "Bearer" if headers.get("Authorization", "").startswith("Bearer") else "Basic"
    assert answer.headers["WWW-Authenticate"].startswith(f'{scheme} realm="latchkey"')
    assert services.token_exchange.calls == []


def test_two_methods_at_once_are_refused(ask, services):
    answer = ask({**EXCHANGE, "client_id": "scheduler", "client_secret": "x"})

    assert refusal(answer) == (400, "invalid_request")
    assert services.clients.calls == []


def test_secrets_in_the_body_are_not_a_method(ask):
    assert refusal(ask({**EXCHANGE, "client_id": "scheduler", "client_secret": "x"}, {})) == (401, "invalid_client")


def test_a_client_id_must_be_the_authenticated_one(ask):
    assert ask({**EXCHANGE, "client_id": "scheduler"}).status_code == 200
    assert refusal(ask({**EXCHANGE, "client_id": "other"})) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token"}, "unsupported_grant_type"),
        ({"subject_token": ""}, "invalid_request"),
        ({"subject_token": "not-an-id"}, "invalid_request"),
        ({"subject_token": "{" + str(CONNECTION_ID) + "}"}, "invalid_request"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:jwt"}, "invalid_request"),
        ({"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
        ({"actor_token": "x"}, "invalid_request"),
        ({"actor_token_type": ACCESS_TOKEN_TYPE}, "invalid_request"),
        ({"resource": "https://www.googleapis.com"}, "invalid_target"),
        ({"audience": "../google"}, "invalid_target"),
        ({"scope": "a  b"}, "invalid_request"),
        ({"scope": 'a"b'}, "invalid_request"),
        ({"features": "calendar.everything"}, "invalid_request"),
        ({"purpose": "a purpose in words"}, "invalid_request"),
        ({"min_validity": "-1"}, "invalid_request"),
        ({"min_validity": "NaN"}, "invalid_request"),
        ({"min_validity": "3001"}, "invalid_request"),
        ({"min_validity": "1e3"}, "invalid_request"),
        ({"min_validity": "\u0661"}, "invalid_request"),
        ({"rejected_token_sha256": "ab"}, "invalid_request"),
    ],
)
def test_a_malformed_request_is_refused_and_never_repeated(ask, services, change, error):
    answer = ask({**EXCHANGE, **change})

    assert refusal(answer) == (400, error)
    value = next(iter(change.values()))
    assert len(value) < 4 or value not in answer.get_data(as_text=True)
    assert services.token_exchange.calls == []


@pytest.mark.parametrize("value", ["0", "3000"])
def test_min_validity_reaches_from_zero_to_its_cap(ask, services, value):
    assert ask({**EXCHANGE, "min_validity": value}).status_code == 200
    assert services.token_exchange.calls[0][2].min_validity_s == int(value)


def test_repeated_parameters_are_refused(ask):
    assert refusal(ask({**EXCHANGE, "audience": ["google", "google"]})) == (400, "invalid_request")


def test_parameters_in_the_address_are_refused(ask):
    assert refusal(ask(EXCHANGE, query_string={"subject_token": "x"})) == (400, "invalid_request")


def test_only_forms_by_post_are_understood(client, basic):
    as_json = client.post("/oauth2/token", base_url=PUBLIC_URL, json=EXCHANGE, headers=basic)
    by_get = client.get("/oauth2/token", base_url=PUBLIC_URL, headers=basic)

    assert refusal(as_json) == (415, "invalid_request")
    assert refusal(by_get) == (405, "invalid_request")
    assert by_get.headers["Allow"] == "POST"


@pytest.mark.parametrize("reason", list(Reason))
def test_a_dead_connection_says_why_since_when_and_where_to_send_the_person(ask, services, reason):
    services.token_exchange.error = domain.ReconnectRequired(reason)
    services.clients.visible = (broken_connection(reason),)

    answer = ask(EXCHANGE)

    assert refusal(answer) == (400, "interaction_required")
    assert answer.json["reason"] == reason.value
    assert answer.json["connect_uri"] == f"{PUBLIC_URL}/connections/{CONNECTION_ID}/repair"
    assert answer.json["since"] == "2026-11-20T12:00:00Z"


def test_missing_scopes_are_named(ask, services):
    services.token_exchange.error = domain.ScopesMissing(["b", "a"])

    answer = ask(EXCHANGE)

    assert refusal(answer) == (400, "interaction_required")
    assert answer.json["reason"] == "scope_insufficient"
    assert answer.json["missing_scopes"] == ["a", "b"]
    assert answer.json["connect_uri"].endswith("/repair")
    assert "since" not in answer.json


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (domain.NotAllowed("features"), (400, "unauthorized_client", "policy", None)),
        (domain.UnknownConnection(), (400, "invalid_target", None, None)),
        (domain.UnknownProvider(), (400, "invalid_target", None, None)),
        (domain.ValidityUnattainable(), (400, "invalid_request", "min_validity_unattainable", None)),
        (domain.ProviderUnavailable("x"), (503, "temporarily_unavailable", "provider_outage", "5")),
        (domain.ProviderThrottled("x"), (503, "temporarily_unavailable", "provider_throttled", "5")),
        (domain.ProviderThrottled("x", retry_after_s=90), (503, "temporarily_unavailable", "provider_throttled", "90")),
        (domain.ProviderThrottled("x", retry_after_s=0), (503, "temporarily_unavailable", "provider_throttled", "1")),
        (domain.RefreshInProgress(), (503, "temporarily_unavailable", "refresh_in_progress", "1")),
        (domain.StoreUnavailable(), (503, "temporarily_unavailable", "store_unavailable", "5")),
        (domain.ProviderRejected("x"), (502, "server_error", "provider_rejected", None)),
        (domain.CipherError("marker"), (500, "server_error", None, None)),
        (RuntimeError("marker"), (500, "server_error", None, None)),
    ],
)
def test_every_failure_has_its_answer(ask, services, error, expected):
    status, code, reason, retry_after = expected
    services.token_exchange.error = error

    answer = ask(EXCHANGE)

    assert refusal(answer) == (status, code)
    assert answer.json.get("reason") == reason
    assert answer.headers.get("Retry-After") == retry_after
    assert "marker" not in answer.get_data(as_text=True)
    assert ("error_id" in answer.json) == (status >= 500)


def test_unknown_and_not_yours_are_the_same_answer(ask, services):
    services.token_exchange.error = domain.UnknownConnection()
    unknown = ask({**EXCHANGE, "subject_token": str(uuid4())})
    services.token_exchange.error = domain.UnknownConnection("policy")
    foreign = ask(EXCHANGE)

    assert unknown.get_data() == foreign.get_data()
    assert dict(unknown.headers) == dict(foreign.headers)


def test_no_answer_and_no_log_line_holds_a_token_it_should_not(ask, services, capsys):
    answer = ask(EXCHANGE)

    written = capsys.readouterr()
    assert answer.get_data(as_text=True).count("provider-access-token-marker") == 1
    assert "refresh_token" not in answer.get_data(as_text=True)
    assert "provider-access-token-marker" not in written.out + written.err
