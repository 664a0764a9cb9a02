"""An explanation names what stands in the way, all of it, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from app.domain.connections import Connection, Reason
from app.domain.errors import ProviderThrottled, ProviderUnavailable, RateLimited
from app.domain.features import Feature
from app.domain.people import Service
from app.domain.policies import Terms
from app.services.explanation import Explanation
from app.services.resolution import Ask
from app.services.token_exchange import ExchangeRequest
from tests.integration.services.conftest import House
from tests.integration.services.exchange_desk import EVERYTHING, Desk, by_connection, by_person, counted_statements

READ = Terms("google", frozenset({Feature.CALENDAR_READ}), act_as=True)
NAMES = ("authentication", "target", "policy", "person", "consent", "scopes", "health", "rate")


@pytest.fixture
def desk(house: House) -> Desk:
    return Desk(house)


def explain(desk: Desk, service: Service, ask: Ask, **wishes: object) -> Explanation:
    return desk.explain.explain(service, ExchangeRequest(ask, **wishes))  # type: ignore[arg-type]


def failed(found: Explanation) -> dict[str, str]:
    return {check.name: check.error.code for check in found.checks if check.error is not None}


def test_what_works_passes_every_check(desk: Desk) -> None:
    connection, service = desk.connection(), desk.service(READ)

    found = explain(desk, service, by_connection(connection.id))

    assert found.would_work
    assert tuple(check.name for check in found.checks) == NAMES
    assert all(check.is_passed for check in found.checks)
    assert found.connection is not None
    assert found.connection.id == connection.id


def test_it_takes_counts_and_calls_nothing(desk: Desk) -> None:
    connection, service = desk.connection(), desk.service(replace(READ, max_per_hour=3))
    desk.house.clock.advance(3600)
    calls, entries = list(desk.house.provider.calls), len(desk.log())

    with counted_statements() as sent:
        for _ in range(5):
            explain(desk, service, by_connection(connection.id))

    assert desk.house.provider.calls == calls
    assert all(statement.startswith("SELECT") for statement in sent)
    assert len(desk.log()) == entries
    assert explain(desk, service, by_connection(connection.id)).would_work


@pytest.mark.parametrize("named", ["there is none", "no policy"])
def test_what_the_service_may_not_know_of_is_not_told(desk: Desk, named: str) -> None:
    connection = desk.connection()
    service = desk.service(EVERYTHING) if named == "there is none" else desk.service()
    ask = by_connection(uuid4() if named == "there is none" else connection.id)

    found = explain(desk, service, ask)

    assert failed(found) == {"target": "unknown_connection"}
    assert [check.is_passed for check in found.checks] == [True, False] + [None] * 6
    assert found.connection is None
    assert not found.would_work


def test_who_never_connected_is_named_so(desk: Desk) -> None:
    found = explain(desk, desk.service(EVERYTHING), by_person(uuid4()))

    assert failed(found) == {"target": "never_connected"}


def purpose(desk: Desk, service: Service, connection: Connection) -> dict[str, object]:
    return {"purpose": "other"}


def block(desk: Desk, service: Service, connection: Connection) -> dict[str, object]:
    desk.switches.block(connection.person_id, service.id)
    return {}


def pause(desk: Desk, service: Service, connection: Connection) -> dict[str, object]:
    desk.switches.pause(connection.person_id, connection.id, desk.house.clock() + timedelta(days=1))
    return {}


def consent(desk: Desk, service: Service, connection: Connection) -> dict[str, object]:
    with desk.house.store.transaction() as tx:
        tx.connections.mark_needs_reconnect(
            connection.id, connection.generation, Reason.REVOKED_BY_USER, desk.house.clock()
        )
    return {}


def scopes(desk: Desk, service: Service, connection: Connection) -> dict[str, object]:
    return {"features": (Feature.MAIL_SEND,)}


def outage(desk: Desk, service: Service, connection: Connection) -> dict[str, object]:
    desk.house.provider.failures = [ProviderUnavailable("down")]
    desk.house.clock.advance(3600)
    desk.refusal(service, by_connection(connection.id, purpose="sync"))
    return {}


CAUSES: dict[Callable[..., dict[str, object]], tuple[str, str]] = {
    purpose: ("policy", "not_allowed"),
    block: ("person", "service_blocked"),
    pause: ("person", "connection_paused"),
    consent: ("consent", "reconnect_required"),
    scopes: ("scopes", "scopes_missing"),
    outage: ("health", "provider_throttled"),
}


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.__name__)
def test_each_cause_is_found_alone(desk: Desk, cause: Callable[..., dict[str, object]]) -> None:
    connection = desk.connection()
    service = desk.service(replace(EVERYTHING, purposes=frozenset({"sync"})))

    ask = by_connection(connection.id, **({"purpose": "sync"} | cause(desk, service, connection)))

    check, code = CAUSES[cause]
    assert failed(explain(desk, service, ask)) == {check: code}


def test_several_causes_are_all_named(desk: Desk) -> None:
    connection = desk.connection()
    service = desk.service(READ)
    block(desk, service, connection)
    consent(desk, service, connection)

    found = explain(desk, service, by_connection(connection.id, features=(Feature.MAIL_SEND,)))

    assert set(failed(found)) == {"policy", "person", "consent", "scopes"}


def test_too_much_validity_is_a_matter_of_health(desk: Desk) -> None:
    desk.house.provider.lifetime_s = 300
    connection, service = desk.connection(), desk.service(READ)

    found = explain(desk, service, by_connection(connection.id), min_validity_s=301)

    assert failed(found) == {"health": "min_validity_unattainable"}


def test_a_provider_application_in_trouble_is_a_matter_of_health(desk: Desk) -> None:
    connection, service = desk.connection(), desk.service(READ)
    desk.house.gate.paused = ("google",)
    assert explain(desk, service, by_connection(connection.id)).would_work
    desk.house.clock.advance(3600)

    found = explain(desk, service, by_connection(connection.id))

    assert failed(found) == {"health": "breaker_open"}


def test_a_spent_hour_is_found(desk: Desk) -> None:
    connection, service = desk.connection(), desk.service(replace(READ, max_per_hour=1))
    desk.get(service, by_connection(connection.id))

    assert failed(explain(desk, service, by_connection(connection.id))) == {"rate": "rate_limited"}


def test_a_caller_in_a_loop_is_found_and_stopped(desk: Desk) -> None:
    still = Desk(desk.house, per_s=1.0, monotonic=lambda: 9.0)
    connection, service = desk.connection(), desk.service(READ)
    still.get(service, by_connection(connection.id))

    assert failed(explain(still, service, by_connection(connection.id))) == {"rate": "rate_limited"}
    with pytest.raises(RateLimited):
        explain(still, service, by_connection(connection.id))


def test_health_says_when_to_come_back(desk: Desk) -> None:
    connection, service = desk.connection(), desk.service(replace(EVERYTHING, purposes=frozenset({"sync"})))
    outage(desk, service, connection)

    found = explain(desk, service, by_connection(connection.id, purpose="sync"))

    (error,) = [check.error for check in found.checks if check.error is not None]
    assert isinstance(error, ProviderThrottled)
    assert error.retry_after_s is not None
