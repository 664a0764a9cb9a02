"""Row X14 of the list of threats over HTTP: Latchkey tokens ended early, on two web processes with one database."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, LiteralString
from uuid import uuid4

import jwt
import psycopg
import pytest

from app.domain.errors import InvalidClient
from app.domain.rates import TokenBuckets
from app.services.service_tokens import TOKEN_LIFETIME_S, TOKEN_TYPE
from app.web.current import SERVICES_KEY
from tests.integration.services.conftest import House
from tests.integration.services.exchange_desk import counted_statements
from tests.integration.services.nodes import US
from tests.integration.services.web_node import CREDENTIALS, HANDLE, Scheduler, Web, refusal
from tests.signing import Signer, unsigned

INTERFACE = "/v1/connections"


@pytest.fixture
def web(house: House) -> Web:
    return Web(house)


@pytest.fixture
def other_web(house: House) -> Web:
    return Web(house)


@pytest.fixture
def scheduler(web: Web) -> Scheduler:
    return Scheduler(web)


@pytest.fixture
def reporter(web: Web) -> Scheduler:
    return Scheduler(web, "reporter")


def issued(service: Scheduler) -> str:
    """Return a new Latchkey token of ``service``."""
    return service.bearer()["Authorization"].removeprefix("Bearer ")


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def jti_of(token: str) -> str:
    return str(jwt.decode(token, options={"verify_signature": False})["jti"])


def fresh_status(house: House, token: str) -> int:
    """Return what a process that never saw the token answers to it."""
    return int(Web(house).get(INTERFACE, bearing(token)).status_code)


def rows(database_url: str, query: LiteralString, *values: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        return connection.execute(query, values).fetchall()


def revoked(database_url: str) -> list[str]:
    return [str(row[0]) for row in rows(database_url, "SELECT jti FROM revoked_tokens")]


# --- what is revoked, and by whom


def test_x14_a_revoked_token_is_refused_at_once_and_elsewhere_within_a_second_on_both_ways(
    web: Web, other_web: Web, scheduler: Scheduler
) -> None:
    token = issued(scheduler)
    reached: list[int] = []
    other_web.app.before_request_funcs[None].insert(0, lambda: reached.append(1))
    ordinary, quick = other_web.get(INTERFACE, bearing(token)), other_web.token(HANDLE, bearing(token))
    repeated = other_web.token(HANDLE, bearing(token))
    assert [ordinary.status_code, quick.status_code, repeated.status_code, len(reached)] == [200, 200, 200, 2]

    answer = web.revoke(token, scheduler.basic())
    assert refusal(web.get(INTERFACE, bearing(token))) == (401, "invalid_token", None)
    time.sleep(1.0)

    assert (answer.status_code, answer.json, answer.headers["Cache-Control"]) == (200, {}, "no-store")
    assert refusal(other_web.token(HANDLE, bearing(token))) == (401, "invalid_client", None)
    assert refusal(other_web.get(INTERFACE, bearing(token))) == (401, "invalid_token", None)


def test_every_method_of_proof_revokes_a_token_even_the_token_itself(
    house: House, web: Web, scheduler: Scheduler
) -> None:
    tokens = [issued(scheduler) for _ in range(4)]

    answers = [
        web.revoke(tokens[0], scheduler.basic()),
        web.revoke(tokens[1], None, **scheduler.assertion()),
        web.revoke(tokens[2], bearing(tokens[2])),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [fresh_status(house, token) for token in tokens] == [401, 401, 401, 200]
    # What was revoked proves nothing any more, here either.
    assert refusal(Web(house).revoke(tokens[3], bearing(tokens[2]))) == (401, "invalid_client", None)


def test_x14_what_is_no_living_token_of_ours_is_answered_like_success(
    house: House, web: Web, scheduler: Scheduler, database_url: str
) -> None:
    ended = issued(scheduler)
    house.clock.advance(TOKEN_LIFETIME_S + 1)
    living = issued(scheduler)
    claims = jwt.decode(living, options={"verify_signature": False})
    kid = jwt.get_unverified_header(living)["kid"]
    unknown = [
        "nonsense",
        "ya29.a0Af_provider-access-token",
        "a.b.c",
        "\u00e9\u00e9.\u00e9\u00e9.\u00e9\u00e9",
        "A" * 20_000,
        str(uuid4()),
        ended,
        unsigned(claims),
        Signer().sign(claims, typ=TOKEN_TYPE, kid=kid),
        scheduler.signer.sign(scheduler.claims()),
        living[:-3] + ("abc" if living[-3:] != "abc" else "cba"),
    ]

    answers = [web.revoke(token, scheduler.basic()) for token in unknown]

    assert {(answer.status_code, answer.get_data(), str(sorted(answer.headers))) for answer in answers} == {
        (200, answers[0].get_data(), str(sorted(answers[0].headers)))
    }
    assert answers[0].json == {}
    assert revoked(database_url) == []
    assert fresh_status(house, living) == 200


def test_x14_a_token_of_somebody_else_is_refused_and_goes_on_working(
    house: House, web: Web, scheduler: Scheduler, reporter: Scheduler, database_url: str
) -> None:
    token = issued(scheduler)

    by_secret = web.revoke(token, reporter.basic())
    by_key = web.revoke(token, None, **reporter.assertion())
    by_token = web.revoke(token, reporter.bearer())

    for answer in (by_secret, by_key, by_token):
        assert refusal(answer) == (400, "unauthorized_client", "issued_to_another")
    assert revoked(database_url) == []
    assert fresh_status(house, token) == 200


@pytest.mark.parametrize("hint", ["refresh_token", "access_token", "id_token", "x" * 500])
def test_x14_a_wrong_hint_hides_nothing(house: House, web: Web, scheduler: Scheduler, hint: str) -> None:
    token = issued(scheduler)

    assert web.revoke(token, scheduler.basic(), token_type_hint=hint).status_code == 200
    assert fresh_status(house, token) == 401


def test_another_spelling_of_a_revoked_token_is_the_same_token(house: House, web: Web, scheduler: Scheduler) -> None:
    token = issued(scheduler)
    # Not as RFC 7515 wants it, but the library that checks signatures takes it.
    respelt = f"{token}=="
    assert fresh_status(house, respelt) == 200

    web.revoke(token, scheduler.basic())

    assert fresh_status(house, respelt) == 401


def test_two_revocations_at_once_are_one(
    house: House, web: Web, other_web: Web, scheduler: Scheduler, database_url: str
) -> None:
    token = issued(scheduler)

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda n: (web, other_web)[n % 2].revoke(token, scheduler.basic()), range(12)))

    assert {answer.status_code for answer in answers} == {200}
    assert revoked(database_url) == [jti_of(token)]
    house.audit.collect()
    with house.store.reading() as tx:
        entries = [logged.entry for logged in tx.audit_log.after(0, 100)]
    written = [entry for entry in entries if entry.kind == "service_token_revoked"]
    service = web.node.clients.authenticate(scheduler.name, scheduler.secret)
    assert [(entry.service_id, entry.detail) for entry in written] == [(service.id, {"jti": jti_of(token)})]


# --- who may ask, and how


@pytest.mark.parametrize("method", ["get", "head", "put", "delete"])
def test_x14_only_a_post_revokes(house: House, web: Web, scheduler: Scheduler, method: str) -> None:
    token = issued(scheduler)

    answer = getattr(web.client(), method)(
        "/oauth2/revoke", base_url=US, query_string={"token": token}, headers=scheduler.basic()
    )

    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert fresh_status(house, token) == 200


def test_x14_nobody_revokes_without_proof(house: House, web: Web, scheduler: Scheduler) -> None:
    token = issued(scheduler)
    used = scheduler.assertion()
    assert web.token(CREDENTIALS | used).status_code == 200

    answers = [
        web.revoke(token),
        web.revoke(token, scheduler.basic("wrong")),
        web.revoke(token, bearing("nonsense")),
        web.revoke(token, None, client_id=scheduler.name),
        web.revoke(token, None, client_id=scheduler.name, client_secret=scheduler.secret),
        web.revoke(token, None, **used),
    ]

    for answer in answers:
        assert refusal(answer) == (401, "invalid_client", None)
        assert answer.headers["WWW-Authenticate"]
    assert fresh_status(house, token) == 200


def test_a_malformed_revocation_is_refused(house: House, web: Web, scheduler: Scheduler) -> None:
    token, basic = issued(scheduler), scheduler.basic()
    post = web.client().post

    malformed = [
        web.post("/oauth2/revoke", {"token_type_hint": "access_token"}, basic),
        web.revoke("", basic),
        web.post("/oauth2/revoke", {"token": [token, token]}, basic),
        post("/oauth2/revoke", base_url=US, query_string={"token": token}, data={"token": token}, headers=basic),
        web.revoke(token, basic, **scheduler.assertion()),
        web.revoke(token, basic, client_id="reporter"),
    ]
    as_json = post("/oauth2/revoke", base_url=US, json={"token": token}, headers=basic)

    assert [refusal(answer) for answer in malformed] == [(400, "invalid_request", None)] * 6
    assert as_json.status_code == 415
    assert fresh_status(house, token) == 200


def test_a_frozen_service_is_told_so(web: Web, scheduler: Scheduler) -> None:
    token = issued(scheduler)
    fresh = Web(web.house)
    web.node.callers.registry.freeze(scheduler.name)

    assert refusal(fresh.revoke(token, scheduler.basic())) == (400, "unauthorized_client", "client_frozen")


def test_a_service_in_a_loop_waits_and_nobody_else_does(web: Web, scheduler: Scheduler, reporter: Scheduler) -> None:
    web.app.extensions[SERVICES_KEY].rates = TokenBuckets(0.01, 2, time.monotonic)

    answers = [web.revoke("nonsense", scheduler.basic()) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert int(answers[2].headers["Retry-After"]) >= 1
    assert web.revoke("nonsense", reporter.basic()).status_code == 200


# --- what it costs, and what stays


def test_a_check_asks_the_database_no_oftener_than_before(web: Web, scheduler: Scheduler) -> None:
    token = issued(scheduler)
    tokens = Web(web.house).node.callers.tokens

    with counted_statements() as sent:
        for _ in range(2000):
            tokens.check(token)

    # One for the keys and one for token and service, again after most of a second; never one for each request.
    assert 2 <= len(sent) < 20
    assert len([statement for statement in sent if "revoked_tokens" in statement]) <= len(sent) / 2


def test_a_token_is_known_from_its_first_use_to_its_first_refusal(web: Web, scheduler: Scheduler) -> None:
    token, tokens, other = issued(scheduler), web.node.callers.tokens, Web(web.house).node.callers.tokens
    assert not other.is_known(token)
    other.check(token)
    assert other.is_known(token)
    assert web.revoke(token, scheduler.basic()).status_code == 200

    with pytest.raises(InvalidClient):
        tokens.check(token)
    web.house.clock.advance(600)
    with pytest.raises(InvalidClient):
        other.check(token)

    assert not tokens.is_known(token)
    assert not other.is_known(token)


def test_notes_of_revoked_tokens_go_when_the_tokens_have_ended(
    house: House, web: Web, scheduler: Scheduler, database_url: str
) -> None:
    old, new = issued(scheduler), issued(scheduler)
    for token in (old, new):
        web.revoke(token, scheduler.basic())
    ends_at = dict(rows(database_url, "SELECT jti::text, expires_at FROM revoked_tokens"))[jti_of(new)]
    with house.store.transaction() as tx:
        assert tx.credentials.forget_revoked(10) == 0
    rows(
        database_url,
        "UPDATE revoked_tokens SET expires_at = clock_timestamp() - interval '1 hour' WHERE jti = %s RETURNING 1",
        jti_of(old),
    )

    web.node.callers.tidy()

    assert ends_at == datetime.fromtimestamp(jwt.decode(new, options={"verify_signature": False})["exp"], UTC)
    assert revoked(database_url) == [jti_of(new)]
    assert fresh_status(house, new) == 401
