"""The short way of a repeated token exchange: the same answers, and never a way around anything."""

from urllib.parse import urlencode

import pytest

from app.domain import errors as domain
from app.domain.connections import Reason
from app.web.api.quick_lane import LONGEST_BODY, MOST_REMEMBERED
from app.web.api.token_request import CONNECTION_TYPE, JWT_TYPE, TOKEN_EXCHANGE
from app.web.current import QUICK_LANE_KEY
from tests.fakes import CONNECTION_ID, SERVICE, SERVICE_TOKEN, USER_TOKEN
from tests.integration.web.conftest import PUBLIC_URL

FORM = "application/x-www-form-urlencoded"
BEARER = {"Authorization": f"Bearer {SERVICE_TOKEN}"}
EXCHANGE = {"grant_type": TOKEN_EXCHANGE, "subject_token": str(CONNECTION_ID), "subject_token_type": CONNECTION_TYPE}


@pytest.fixture
def post(client):
    """Post a form to the token endpoint with a Latchkey token."""

    def send(values=EXCHANGE, headers=BEARER, base_url=PUBLIC_URL, path="/oauth2/token", content_type=FORM):
        return client.post(path, base_url=base_url, data=urlencode(values), headers=headers, content_type=content_type)

    return send


@pytest.fixture
def framework(app):
    """Count the requests that get as far as the framework."""
    seen = []
    app.before_request_funcs[None].insert(0, lambda: seen.append(1) and None)
    return seen


def test_the_second_request_of_the_same_words_spares_the_framework_and_gets_the_same_answer(post, framework, services):
    first, second = post(), post()

    assert len(framework) == 1
    assert (first.status_code, first.json) == (second.status_code, second.json)
    assert sorted(first.headers) == sorted(second.headers)
    assert services.token_exchange.calls[0] == services.token_exchange.calls[1]


def test_the_caller_is_asked_who_it_is_every_time(post, framework, services):
    post()

    stranger = post(headers={"Authorization": "Bearer nobody"})
    services.callers.tokens.error = domain.ClientFrozen()
    frozen = post()

    assert (stranger.status_code, stranger.json["error"]) == (401, "invalid_client")
    assert (frozen.status_code, frozen.json["reason"]) == (400, "client_frozen")
    assert [call[1] for call in services.token_exchange.calls] == [SERVICE]


@pytest.mark.parametrize(
    "error",
    [
        domain.ReconnectRequired(Reason.REVOKED_BY_USER),
        domain.ProviderThrottled("budget", retry_after_s=7),
        domain.RateLimited("requests", retry_after_s=3),
        domain.UnknownConnection(),
        RuntimeError("a mistake of ours"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_refusal_is_worded_as_ever_and_the_exchange_asked_once(post, framework, services, error):
    services.token_exchange.error = error
    ordinary = post()
    services.token_exchange.error = None
    post()
    services.token_exchange.calls.clear()
    services.token_exchange.error = error

    quick = post()

    assert (quick.status_code, sorted(quick.headers)) == (ordinary.status_code, sorted(ordinary.headers))
    assert {k: v for k, v in quick.json.items() if k != "error_id"} == {
        k: v for k, v in ordinary.json.items() if k != "error_id"
    }
    assert quick.headers.get("Retry-After") == ordinary.headers.get("Retry-After")
    assert len(services.token_exchange.calls) == 1


@pytest.mark.parametrize(
    "values",
    [
        {**EXCHANGE, "client_id": SERVICE.name},
        {**EXCHANGE, "subject_token": USER_TOKEN, "subject_token_type": JWT_TYPE, "audience": "google"},
        {**EXCHANGE, "unknown": "x" * LONGEST_BODY},
        {"grant_type": "client_credentials"},
    ],
    ids=["names the caller", "holds a token of somebody", "too long", "another grant"],
)
def test_what_proves_something_or_is_no_plain_exchange_is_read_every_time(post, framework, values):
    post(values)
    post(values)

    assert len(framework) == 2


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"base_url": "https://elsewhere.example.test"}, 400),
        ({"path": "/oauth2/token?audience=google"}, 400),
        ({"content_type": "text/plain"}, 415),
        ({"headers": {**BEARER, "Content-Encoding": "gzip"}}, 200),
        ({"headers": {}}, 401),
    ],
    ids=["other host", "query", "other type", "encoded", "no token"],
)
def test_anything_out_of_the_ordinary_goes_the_ordinary_way(post, framework, change, status):
    post()

    assert post(**change).status_code == status
    assert len(framework) == 2


@pytest.mark.parametrize("length", ["0000019999", "00001", "1025", "\xb2", "-1", "+1"])
def test_a_body_is_not_even_read_here_unless_it_is_announced_as_a_short_one(app, length):
    class Unread:
        def read(self, size):
            raise AssertionError(f"{size} bytes of nobody's were read")

    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/oauth2/token",
        "CONTENT_TYPE": FORM,
        "CONTENT_LENGTH": length,
        "HTTP_HOST": PUBLIC_URL.removeprefix("https://"),
        "HTTP_AUTHORIZATION": "Bearer x",
        "wsgi.input": Unread(),
    }
    lane = app.extensions[QUICK_LANE_KEY]
    lane._application = lambda _environ, _start_response: (b"the framework",)

    assert lane(environ, None) == (b"the framework",)


def test_what_is_remembered_is_bounded(app, post, framework):
    lane = app.extensions[QUICK_LANE_KEY]
    for n in range(MOST_REMEMBERED + 10):
        lane.remember(b"%d" % n, None)

    assert len(lane._read) <= MOST_REMEMBERED
