"""``/oauth2/token`` over fakes: how requests are read and answers worded. X.. are rows of the list of threats."""

import base64
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from app.domain import errors as domain
from app.domain.connections import Reason
from app.domain.features import Feature
from app.domain.rates import TokenBuckets
from app.domain.subjects import Subject, SubjectMode
from app.services.resolution import Ask
from app.services.token_exchange import ExchangeRequest
from app.web.api.token_request import ACCESS_TOKEN_TYPE, CONNECTION_TYPE, JWT_TYPE, PERSON_TYPE, TOKEN_EXCHANGE
from app.web.current import FAILED_ATTEMPTS_KEY
from app.web.failed_attempts import BURST, FailedAttempts
from tests.fakes import (
    CONNECTION_ID,
    NOW,
    PERSON,
    SERVICE,
    SERVICE_TOKEN,
    USER_TOKEN,
    broken_connection,
    make_connection,
)
from tests.integration.web.conftest import PUBLIC_URL

EXCHANGE = {
    "grant_type": TOKEN_EXCHANGE,
    "subject_token": str(CONNECTION_ID),
    "subject_token_type": CONNECTION_TYPE,
}
BY_CONNECTION = Subject(SubjectMode.ABSENT, connection_id=CONNECTION_ID)
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
    assert services.token_exchange.calls == [("exchange", SERVICE, ExchangeRequest(Ask(BY_CONNECTION)))]


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
        "resource": "https://www.googleapis.com/auth/calendar",
        "account": "ada@example.test",
    }

    assert ask({**EXCHANGE, **wanted}).status_code == 200

    features = (Feature.CALENDAR_READ, Feature.MAIL_SEND)
    ask_for = Ask(
        BY_CONNECTION,
        audience="google",
        resource="https://www.googleapis.com/auth/calendar",
        features=features,
        scopes=("openid", "email"),
        purpose="availability.compute",
        account="ada@example.test",
    )
    expected = ExchangeRequest(ask_for, 120, "ab" * 32)
    assert services.token_exchange.calls[0][2] == expected


def test_a_latchkey_token_serves_for_an_exchange_but_not_for_another_token(ask, services):
    assert ask(EXCHANGE, BEARER).status_code == 200

    renewed = ask({"grant_type": "client_credentials"}, BEARER)

    assert refusal(renewed) == (401, "invalid_client")
    assert not [call for call in services.callers.tokens.calls if call[0] == "issue"]


@pytest.mark.parametrize(
    ("token_type", "token", "subject"),
    [
        (PERSON_TYPE, str(PERSON.id), Subject(SubjectMode.ABSENT, person_id=PERSON.id)),
        (JWT_TYPE, USER_TOKEN, Subject(SubjectMode.PRESENT, person_id=PERSON.id)),
    ],
)
def test_a_person_is_named_in_either_way(ask, services, token_type, token, subject):
    named = {**EXCHANGE, "subject_token_type": token_type, "subject_token": token, "audience": "google"}

    assert ask(named).status_code == 200

    assert services.token_exchange.calls[0][2].ask == Ask(subject, audience="google")


def test_a_genuine_stranger_is_a_subject_without_a_person(ask, services):
    services.callers.subjects.error = domain.UnknownPerson()

    ask({**EXCHANGE, "subject_token_type": JWT_TYPE, "subject_token": USER_TOKEN, "audience": "google"})

    assert services.token_exchange.calls[0][2].ask.subject == Subject(SubjectMode.PRESENT)


def test_a_person_needs_a_provider(ask, services):
    answer = ask({**EXCHANGE, "subject_token_type": PERSON_TYPE, "subject_token": str(PERSON.id)})

    assert refusal(answer) == (400, "invalid_request")
    assert services.token_exchange.calls == []


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
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:jwt"}, "invalid_request"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
        ({"subject_token": "x" * 20_000}, "invalid_request"),
        ({"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
        ({"actor_token": "x"}, "invalid_request"),
        ({"actor_token_type": ACCESS_TOKEN_TYPE}, "invalid_request"),
        ({"resource": "https://www.googleapis.com/\x00"}, "invalid_request"),
        ({"resource": "https://www.googleapis.com/" + "x" * 600}, "invalid_request"),
        ({"account": "a\nb"}, "invalid_request"),
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
def test_x10_a_malformed_request_is_refused_and_never_repeated(ask, services, change, error):
    answer = ask({**EXCHANGE, **change})

    assert refusal(answer) == (400, error)
    value = next(iter(change.values()))
    assert len(value) < 5 or value not in answer.get_data(as_text=True)
    assert services.token_exchange.calls == []


@pytest.mark.parametrize("value", ["0", "3000"])
def test_x10_min_validity_reaches_from_zero_to_its_cap(ask, services, value):
    assert ask({**EXCHANGE, "min_validity": value}).status_code == 200
    assert services.token_exchange.calls[0][2].min_validity_s == int(value)


def test_x12_repeated_parameters_are_refused(ask):
    assert refusal(ask({**EXCHANGE, "audience": ["google", "google"]})) == (400, "invalid_request")


def test_x12_parameters_in_the_address_are_refused(ask):
    assert refusal(ask(EXCHANGE, query_string={"subject_token": "x"})) == (400, "invalid_request")


def test_x12_only_forms_by_post_are_understood(client, basic):
    as_json = client.post("/oauth2/token", base_url=PUBLIC_URL, json=EXCHANGE, headers=basic)
    by_get = client.get("/oauth2/token", base_url=PUBLIC_URL, headers=basic)

    assert refusal(as_json) == (415, "invalid_request")
    assert refusal(by_get) == (405, "invalid_request")
    assert by_get.headers["Allow"] == "POST"


def test_x12_an_empty_parameter_counts_as_absent(ask, services):
    empty = {"audience": "", "scope": "", "resource": "", "client_assertion": "", "min_validity": ""}

    assert ask({**EXCHANGE, **empty}).status_code == 200

    assert services.token_exchange.calls[0][2] == ExchangeRequest(Ask(BY_CONNECTION))


@pytest.mark.parametrize("body", [b"\xff\xfe", b"a=%ff", b"a=%FF&grant_type=x", b"&".join([b"a=1"] * 200)])
def test_x12_what_is_no_form_is_refused(client, basic, body):
    answer = client.post(
        "/oauth2/token", base_url=PUBLIC_URL, data=body, headers=basic,
        content_type="application/x-www-form-urlencoded",
    )  # fmt: skip

    assert refusal(answer) == (400, "invalid_request")


@pytest.mark.parametrize("reason", list(Reason))
def test_x08_a_dead_connection_says_why_since_when_and_where_to_send_the_person(ask, services, reason):
    services.token_exchange.error = domain.ReconnectRequired(reason)
    services.token_exchange.connection = broken_connection(reason)

    answer = ask(EXCHANGE)

    assert refusal(answer) == (400, "interaction_required")
    assert answer.json["reason"] == reason.value
    assert answer.json["connect_uri"] == f"{PUBLIC_URL}/connections/{CONNECTION_ID}/repair"
    assert answer.json["since"] == "2026-11-20T12:00:00Z"
    assert answer.json["last_ok"] == "2026-11-23T11:40:00Z"


def test_missing_scopes_are_named(ask, services):
    services.token_exchange.error = domain.ScopesMissing(["b", "a"])

    answer = ask(EXCHANGE)

    assert refusal(answer) == (400, "interaction_required")
    assert answer.json["reason"] == "scope_insufficient"
    assert answer.json["missing_scopes"] == ["a", "b"]
    assert answer.json["connect_uri"].endswith("/repair")
    assert "since" not in answer.json


def test_x07_a_scope_that_was_not_granted_is_invalid_scope_with_the_cure(ask, services):
    services.token_exchange.error = domain.ScopeNotGranted(["b", "a"])

    answer = ask({**EXCHANGE, "scope": "a b"})

    assert refusal(answer) == (400, "invalid_scope")
    assert answer.json["reason"] == "scope_insufficient"
    assert answer.json["missing_scopes"] == ["a", "b"]
    assert answer.json["connect_uri"].endswith("/repair")


@pytest.mark.parametrize(("provider", "query"), [("google", "?provider=google"), (None, "")])
def test_who_never_connected_is_sent_to_connect(ask, services, provider, query):
    services.token_exchange.error = domain.NeverConnected(provider)
    services.token_exchange.connection = None

    answer = ask({**EXCHANGE, "subject_token_type": PERSON_TYPE, "audience": "google"})

    assert refusal(answer) == (400, "interaction_required")
    assert answer.json["reason"] == "never_connected"
    assert answer.json["connect_uri"] == f"{PUBLIC_URL}/connect{query}"


@pytest.mark.parametrize(
    ("error", "reason", "until"),
    [
        (domain.ServiceBlocked(None), "service_blocked_by_user", None),
        (domain.ServiceBlocked(NOW + timedelta(days=1)), "service_blocked_by_user", "2026-11-24T12:00:00Z"),
        (domain.ConnectionPaused(NOW + timedelta(days=2)), "paused_by_user", "2026-11-25T12:00:00Z"),
    ],
)
def test_a_persons_own_no_says_until_when(ask, services, error, reason, until):
    services.token_exchange.error = error

    answer = ask(EXCHANGE)

    assert refusal(answer) == (400, "invalid_target")
    assert (answer.json["reason"], answer.json.get("until")) == (reason, until)


def test_a_refusal_by_policy_names_the_one_policy_that_came_closest(ask, services):
    policy = UUID("55555555-5555-4555-8555-555555555555")
    services.token_exchange.error = domain.NotAllowed("purpose", policy_id=policy)

    answer = ask(EXCHANGE)

    assert refusal(answer) == (400, "unauthorized_client")
    assert (answer.json["reason"], answer.json["policy_id"]) == ("policy", str(policy))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (domain.NotAllowed("features"), (400, "unauthorized_client", "policy", None)),
        (domain.UnknownConnection(), (400, "invalid_target", None, None)),
        (domain.ScopeNotAllowed(), (400, "invalid_scope", None, None)),
        (domain.AccountAmbiguous(), (400, "invalid_target", "account_required", None)),
        (domain.RateLimited("requests", retry_after_s=2.1), (429, "rate_limited", None, "3")),
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


def test_x06_unknown_and_not_yours_are_the_same_answer(ask, services):
    services.token_exchange.connection = None
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


def test_x11_headers_name_nobody(ask, services, basic):
    forged = {"X-User-Id": str(uuid4()), "X-Forwarded-User": "root", "X-Client-Id": "other", **basic}

    assert ask(EXCHANGE, forged).status_code == 200

    assert services.token_exchange.calls == [("exchange", SERVICE, ExchangeRequest(Ask(BY_CONNECTION)))]


@pytest.mark.parametrize("change", [{}, {"subject_token": "bad"}, {"grant_type": "password"}])
def test_x13_no_answer_may_be_stored(ask, change):
    answer = ask({**EXCHANGE, **change})

    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    assert answer.mimetype == "application/json"


def test_x18_each_grant_type_has_its_own_bucket(ask, services):
    services.rates = TokenBuckets(1.0, 2.0, lambda: 100.0)

    tokens = [ask({"grant_type": "client_credentials"}) for _ in range(3)]

    assert [answer.status_code for answer in tokens] == [200, 200, 429]
    assert refusal(tokens[-1]) == (429, "rate_limited")
    assert tokens[-1].headers["Retry-After"] == "1"
    assert ask(EXCHANGE).status_code == 200


@pytest.fixture
def still(app):
    """The counter of failures under a clock that stands still, so that nothing is forgiven meanwhile."""
    app.extensions[FAILED_ATTEMPTS_KEY] = FailedAttempts(lambda: 100.0)


@pytest.mark.usefixtures("still")
def test_x18_an_address_that_keeps_failing_is_refused_before_anything_is_looked_up(ask, services, basic):
    wrong = basic_of("scheduler:wrong")
    elsewhere = {"environ_overrides": {"REMOTE_ADDR": "203.0.113.7"}}

    first = [ask(EXCHANGE, wrong, **elsewhere).status_code for _ in range(BURST)]
    looked_up = len(services.clients.calls)
    limited = ask(EXCHANGE, wrong, **elsewhere)

    assert set(first) == {401}
    assert refusal(limited) == (429, "rate_limited")
    assert int(limited.headers["Retry-After"]) >= 1
    assert len(services.clients.calls) == looked_up
    assert ask(EXCHANGE, basic).status_code == 200


@pytest.mark.usefixtures("still")
def test_x18_behind_our_proxy_the_caller_is_who_the_proxy_says(ask, basic):
    def behind(address):
        return {**basic_of("scheduler:wrong"), "X-Forwarded-For": f"198.51.100.1, {address}"}

    for _ in range(BURST + 1):
        limited = ask(EXCHANGE, behind("203.0.113.7"))
    other = ask(EXCHANGE, behind("203.0.113.8"))

    assert limited.status_code == 429
    assert other.status_code == 401


@pytest.mark.usefixtures("still")
def test_x18_a_neighbour_who_forges_the_header_locks_nobody_else_out(ask, basic):
    near = {"environ_overrides": {"REMOTE_ADDR": "10.0.0.66"}}
    forged = {**basic_of("scheduler:wrong"), "X-Forwarded-For": "10.0.0.5"}

    for _ in range(BURST + 1):
        limited = ask(EXCHANGE, forged, **near)

    assert limited.status_code == 429
    assert ask(EXCHANGE, basic, environ_overrides={"REMOTE_ADDR": "10.0.0.5"}).status_code == 200


@pytest.mark.usefixtures("still")
def test_x18_from_outside_the_header_is_not_believed(ask):
    # Addresses for documentation count as private, so this is a public one.
    outside = {"environ_overrides": {"REMOTE_ADDR": "1.1.1.1"}}

    for n in range(BURST + 1):
        forged = {**basic_of("scheduler:wrong"), "X-Forwarded-For": f"198.51.100.{n % 250}"}
        answer = ask(EXCHANGE, forged, **outside)

    assert answer.status_code == 429


@pytest.mark.usefixtures("still")
def test_x18_a_token_that_is_known_is_not_shut_out_by_a_neighbour(ask, basic):
    wrong, values = basic_of("scheduler:wrong"), {**EXCHANGE, "unknown": "so that no request is worded as before"}
    assert ask(EXCHANGE, BEARER).status_code == 200
    for _ in range(BURST):
        assert ask(EXCHANGE, wrong).status_code == 401

    assert ask(values, BEARER).status_code == 200
    for others in (wrong, basic, {"Authorization": "Bearer unknown"}, {"Authorization": f"Basic {SERVICE_TOKEN}"}):
        assert refusal(ask(values, others)) == (429, "rate_limited")


@pytest.mark.usefixtures("still")
def test_x18_a_token_that_was_never_shown_waits_like_a_guess(ask):
    for _ in range(BURST):
        ask(EXCHANGE, basic_of("scheduler:wrong"))

    assert ask(EXCHANGE, BEARER).status_code == 429
