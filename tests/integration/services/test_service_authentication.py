"""Who calls, over HTTP: two web processes on one database, real credentials. X.. are rows of the list of threats."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import jwt
import pytest
from sqlalchemy import event

from app.domain.errors import ClientFrozen, InvalidClient
from app.services.client_assertions import ASSERTION_TYPE
from app.services.service_clients import ServiceClients
from app.services.signing_keys import KEY_SET_KEPT, PUBLISHED_AHEAD
from app.services.subjects import JWT_TYPE, PERSON_TYPE
from app.web.api.token_request import TOKEN_EXCHANGE
from app.web.application import rules
from tests.integration.services.conftest import House
from tests.integration.services.nodes import US, Node
from tests.integration.services.web_node import CREDENTIALS, HANDLE, Scheduler, Web, basic, by_assertion, refusal
from tests.signing import Signer, signed_with_public_key, statement, unsigned


@pytest.fixture
def web(house: House) -> Web:
    return Web(house)


@pytest.fixture
def other_web(house: House) -> Web:
    return Web(house)


@pytest.fixture
def scheduler(web: Web) -> Scheduler:
    return Scheduler(web)


def test_every_method_gets_a_token_and_the_token_opens_the_interface_everywhere(
    web: Web, other_web: Web, scheduler: Scheduler
) -> None:
    for form, headers in ((CREDENTIALS, scheduler.basic()), (CREDENTIALS | scheduler.assertion(), None)):
        answer = web.token(form, headers)

        assert answer.status_code == 200, answer.json
        bearer = {"Authorization": f"Bearer {answer.json['access_token']}"}
        assert other_web.get("/v1/connections", bearer).status_code == 200
        assert other_web.token(HANDLE, bearer).status_code == 200


def test_x01_no_wrong_and_malformed_credentials(web: Web, scheduler: Scheduler) -> None:
    bearer = scheduler.bearer()["Authorization"]
    attempts: list[tuple[dict[str, str], dict[str, str]]] = [
        ({}, {}),
        ({}, basic("scheduler:wrong")),
        ({}, basic("nobody:wrong")),
        ({}, basic(f"{'n' * 65}:x")),
        ({}, basic("scheduler")),
        ({}, basic("a%00b:x")),
        ({}, {"Authorization": "Basic ***"}),
        ({}, {"Authorization": "Basic \xe9\xe9"}),
        ({}, {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe:x").decode()}),
        ({}, {"Authorization": "Digest username=scheduler"}),
        ({}, {"Authorization": bearer[:-3]}),
        ({}, {"Authorization": "Bearer " + "A" * 5000}),
        ({"client_id": "scheduler", "client_secret": scheduler.secret}, {}),
        ({"client_assertion_type": ASSERTION_TYPE}, {}),
        (by_assertion("nonsense"), {}),
        ({**scheduler.assertion(), "client_assertion_type": "urn:other"}, {}),
    ]

    for form, headers in attempts:
        answer = web.token(CREDENTIALS | form, headers)
        assert refusal(answer) == (401, "invalid_client", None), (form, headers)
        assert answer.headers["WWW-Authenticate"]


def live_secrets(web: Web, scheduler: Scheduler, *secrets: str) -> list[bool]:
    return [web.token(CREDENTIALS, scheduler.basic(secret)).status_code == 200 for secret in secrets]


def test_a_rotated_secret_works_until_the_next_rotation(web: Web, other_web: Web, scheduler: Scheduler) -> None:
    registry, first = web.node.callers.registry, scheduler.secret
    second = registry.rotate_secret("scheduler").reveal()
    assert [live_secrets(node, scheduler, first, second) for node in (web, other_web)] == [[True, True]] * 2

    third = registry.rotate_secret("scheduler").reveal()
    time.sleep(1.0)

    for node in (web, other_web):
        assert live_secrets(node, scheduler, first, second, third) == [False, True, True]


def test_a_stolen_secret_is_worth_nothing_a_second_later(web: Web, other_web: Web, scheduler: Scheduler) -> None:
    registry, first = web.node.callers.registry, scheduler.secret
    second = registry.rotate_secret("scheduler").reveal()
    assert [live_secrets(node, scheduler, first, second) for node in (web, other_web)] == [[True, True]] * 2

    third = registry.rotate_secret("scheduler", is_stolen=True).reveal()
    time.sleep(1.0)

    for node in (web, other_web):
        assert live_secrets(node, scheduler, first, second, third) == [False, False, True]


def test_x01_two_methods_at_once(web: Web, scheduler: Scheduler) -> None:
    assertion = scheduler.assertion()
    attempts: list[tuple[dict[str, Any], dict[str, str] | None]] = [
        (assertion, scheduler.basic()),
        (assertion, scheduler.bearer()),
        ({"client_secret": "x"}, scheduler.basic()),
        ({**assertion, "client_secret": "x"}, None),
        ({**assertion, "client_assertion": [assertion["client_assertion"], "another"]}, None),
    ]

    for form, headers in attempts:
        assert refusal(web.token(CREDENTIALS | form, headers)) == (400, "invalid_request", None)
    assert web.token(CREDENTIALS | assertion).status_code == 200


def test_x02_every_failed_assertion_gets_the_same_bytes(web: Web, other_web: Web, scheduler: Scheduler) -> None:
    at = web.house.clock().timestamp()
    used = scheduler.assertion()
    assert web.token(CREDENTIALS | used).status_code == 200
    sign = scheduler.signer.sign
    attempts = [
        scheduler.assertion(iss="reporter"),
        scheduler.assertion(sub="reporter"),
        scheduler.assertion(iss="nobody", sub="nobody"),
        scheduler.assertion(aud="https://other.example.test"),
        scheduler.assertion(aud=[US]),
        scheduler.assertion(iat=at + 300, exp=at + 301),
        scheduler.assertion(iat=at - 50, exp=at - 1),
        scheduler.assertion(jti=...),
        by_assertion(sign(scheduler.claims(), typ="at+jwt")),
        by_assertion(unsigned(scheduler.claims())),
        by_assertion(signed_with_public_key(scheduler.claims(), scheduler.signer)),
        by_assertion(Signer().sign(scheduler.claims())),
        scheduler.assertion() | {"client_id": "reporter"},
        used,
    ]

    answers = [other_web.token(CREDENTIALS | form) for form in attempts]

    assert {refusal(answer) for answer in answers} == {(401, "invalid_client", None)}
    assert len({answer.get_data() for answer in answers}) == 1
    assert len({str(sorted(answer.headers)) for answer in answers}) == 1


def test_an_assertion_counts_at_the_token_endpoint_alone(web: Web, scheduler: Scheduler) -> None:
    as_json = web.client().post("/v1/tokens", base_url=US, json=scheduler.assertion())
    in_the_query = web.client().get("/v1/connections", base_url=US, query_string=scheduler.assertion())

    assert refusal(as_json) == (401, "invalid_client", None)
    assert in_the_query.status_code == 401


def test_x04_unknown_grants_and_a_token_that_wants_to_prolong_itself(web: Web, scheduler: Scheduler) -> None:
    for grant in ("password", "refresh_token", "authorization_code", "urn:ietf:params:oauth:grant-type:jwt-bearer"):
        answer = web.token({"grant_type": grant, **scheduler.assertion()})
        assert refusal(answer) == (400, "unsupported_grant_type", None)
    assert refusal(web.token(CREDENTIALS, scheduler.bearer())) == (401, "invalid_client", None)


def test_x05_a_bad_subject_is_never_a_bad_client_or_grant(web: Web, scheduler: Scheduler) -> None:
    person_id = str(uuid4())
    said = scheduler.signer.sign
    bad_subjects = [
        (JWT_TYPE, "nonsense"),
        (JWT_TYPE, said(scheduler.claims(sub=person_id, aud="https://other.example.test"))),
        (JWT_TYPE, said(scheduler.claims(sub=person_id, exp=1))),
        (JWT_TYPE, said(scheduler.claims(sub="not-an-id"))),
        (JWT_TYPE, Signer().sign({"iss": "https://idp.example.test", "aud": "another-app", "sub": "1"})),
        (PERSON_TYPE, "not-an-id"),
    ]
    for token_type, token in bad_subjects:
        form = {"grant_type": TOKEN_EXCHANGE, "audience": "google"}
        form |= {"subject_token": token, "subject_token_type": token_type}
        assert refusal(web.token(form, scheduler.basic())) == (400, "invalid_request", "subject_token_invalid")
    for lacking in ("subject_token", "subject_token_type"):
        form = {name: value for name, value in HANDLE.items() if name != lacking}
        assert refusal(web.token(form, scheduler.basic()))[:2] == (400, "invalid_request")


def test_x11_what_one_service_holds_is_of_no_use_to_another(web: Web, scheduler: Scheduler) -> None:
    reporter = Scheduler(web, "reporter")
    person_id = str(uuid4())
    exchange = {"grant_type": TOKEN_EXCHANGE, "subject_token_type": JWT_TYPE, "audience": "google"}
    of_scheduler = exchange | {"subject_token": scheduler.signer.sign(scheduler.claims(sub=person_id))}

    assert refusal(web.token(of_scheduler, reporter.basic())) == (400, "invalid_request", "subject_token_invalid")
    assert web.token(of_scheduler, scheduler.basic()).status_code == 200
    assert refusal(web.token(CREDENTIALS | scheduler.assertion() | {"client_id": "reporter"}))[0] == 401
    assert refusal(web.token(HANDLE | {"client_id": "reporter"}, scheduler.bearer()))[:2] == (400, "invalid_request")
    assert refusal(web.token(HANDLE | {"client_id": "reporter"}, scheduler.basic()))[:2] == (400, "invalid_request")
    by_header = web.token({"grant_type": TOKEN_EXCHANGE, "audience": "google"}, scheduler.basic() | {"X-User": "ada"})
    assert refusal(by_header)[:2] == (400, "invalid_request")


def test_a_frozen_service_is_told_so_whatever_it_proves_itself_with(web: Web, scheduler: Scheduler) -> None:
    bearer = scheduler.bearer()
    fresh = Web(web.house)
    web.node.callers.registry.freeze(scheduler.name)

    frozen = (400, "unauthorized_client", "client_frozen")
    assert refusal(fresh.token(CREDENTIALS, scheduler.basic())) == frozen
    assert refusal(fresh.token(CREDENTIALS | scheduler.assertion())) == frozen
    assert refusal(fresh.token(HANDLE, bearer)) == frozen
    assert refusal(fresh.get("/v1/connections", bearer)) == (403, "unauthorized_client", "client_frozen")
    assert refusal(fresh.token(CREDENTIALS, scheduler.basic("wrong"))) == (401, "invalid_client", None)


# --- metadata


def test_x15_the_metadata_lists_what_works_and_nothing_else(web: Web, scheduler: Scheduler) -> None:
    answer = web.get("/.well-known/oauth-authorization-server")
    found = answer.json

    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == f"public, max-age={int(KEY_SET_KEPT.total_seconds())}"
    assert found["issuer"] == US
    endpoints = {found[name] for name in found if name.endswith("_endpoint")}
    assert endpoints == {f"{US}/oauth2/token", f"{US}/oauth2/revoke"}
    assert {f"{US}{rule.rule}" for rule in rules(web.app)} >= {*endpoints, found["jwks_uri"]}
    assert found["response_types_supported"] == []
    for algorithm in found["token_endpoint_auth_signing_alg_values_supported"]:
        signer = Signer(algorithm, f"key-{algorithm}")
        web.node.callers.registry.add_key("scheduler", json.dumps(signer.jwk()), None)
        assert web.token(CREDENTIALS | by_assertion(signer.sign(scheduler.claims()))).status_code == 200
    for grant in found["grant_types_supported"]:
        assert web.token(HANDLE | {"grant_type": grant}, scheduler.basic()).status_code == 200
    assert found["token_endpoint_auth_methods_supported"] == ["client_secret_basic", "private_key_jwt"]
    for name in ("methods", "signing_alg_values"):
        there, here = (found[f"{at}_endpoint_auth_{name}_supported"] for at in ("token", "revocation"))
        assert there == here


def test_x15_the_published_keys_hold_nothing_private_and_verify_our_tokens(web: Web, scheduler: Scheduler) -> None:
    token = scheduler.bearer()["Authorization"].split()[1]
    answer = web.get("/oauth2/jwks")

    assert answer.headers["Cache-Control"].startswith("public, max-age=")
    assert answer.headers.get("Pragma") is None
    assert all(set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"} for key in answer.json["keys"])
    key_set = jwt.PyJWKSet.from_dict(answer.json)
    key = key_set[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, key.key, ["ES256"], audience=US, issuer=US)["client_id"] == "scheduler"


def test_keys_rotate_under_callers_of_two_processes(web: Web, other_web: Web, scheduler: Scheduler) -> None:
    before = scheduler.bearer()
    kept = {key["kid"] for key in other_web.get("/oauth2/jwks").json["keys"]}
    web.house.clock.advance(PUBLISHED_AHEAD.total_seconds())

    web.node.callers.signing_keys.rotate()
    fresh = Web(web.house)
    after = fresh.token(CREDENTIALS, scheduler.basic()).json["access_token"]

    assert jwt.get_unverified_header(after)["kid"] in kept
    for reached in (web, other_web, fresh):
        assert reached.get("/v1/connections", before).status_code == 200
        assert reached.get("/v1/connections", {"Authorization": f"Bearer {after}"}).status_code == 200


# --- enumeration


def statements(house: House, work: Callable[[], object]) -> list[str]:
    """Return the statements that ``work`` sends to the database."""
    seen: list[str] = []

    def note(_connection, _cursor, statement, *_):
        seen.append(statement)

    engines = (house.store._reads, house.store._writes)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        work()
    except (InvalidClient, ClientFrozen):
        pass
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)
    return seen


def test_x17_an_unknown_name_costs_what_a_wrong_secret_costs(house: House, scheduler: Scheduler) -> None:
    def cost(name: str, secret: str) -> list[str]:
        clients = ServiceClients(house.store, house.sealer, house.clock)
        return statements(house, lambda: clients.authenticate(name, secret))

    wrong, unknown, right = cost("scheduler", "wrong"), cost("nobody", "wrong"), cost("scheduler", scheduler.secret)

    assert len(wrong) == 1
    assert wrong == unknown == right


def test_x17_an_unknown_service_costs_what_a_wrong_signature_costs(house: House, scheduler: Scheduler) -> None:
    def cost(name: str) -> list[str]:
        claims = statement(name, US, house.clock())
        return statements(house, lambda: Node(house).authenticate(Signer().sign(claims)))

    assert len(cost("scheduler")) == 1
    assert cost("scheduler") == cost("nobody")


def test_secrets_are_kept_as_keyed_hashes(house: House, scheduler: Scheduler) -> None:
    with house.store.reading() as tx:
        unkeyed = tx.credentials.by_secret(
            "scheduler", hashlib.sha256(scheduler.secret.encode()).digest(), house.clock()
        )
        keyed = tx.credentials.by_secret(
            "scheduler", house.sealer.keyed_hash("service_secret", scheduler.secret), house.clock()
        )

    assert unkeyed is None
    assert keyed is not None
