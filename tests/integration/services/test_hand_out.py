"""The hand-out decides by policy and scopes, and writes every decision down."""

from __future__ import annotations

import threading
from dataclasses import replace
from uuid import uuid4

import pytest

from app.domain.connections import Connection
from app.domain.errors import InvalidClient, NotAllowed, ScopesMissing, UnknownConnection
from app.domain.features import Feature
from app.domain.people import Service
from app.services.service_clients import ServiceClients
from app.services.token_exchange import Exchanged, ExchangeRequest, TokenExchange
from tests.fake_provider import SCOPES
from tests.integration.services.conftest import House

REQUEST = ExchangeRequest(uuid4(), None, (), (), "test", 60, None)


def a_service(house: House, *features: Feature, provider: str | None = None) -> Service:
    clients, name = ServiceClients(house.store, house.clock), f"service-{uuid4().hex}"
    secret = clients.add(name, features, provider)
    return clients.authenticate(name, secret.reveal())


def connected(house: House, scope: str = SCOPES) -> Connection:
    house.provider.scope = scope
    return house.connect(house.sign_in()).connection


def exchange(house: House, service: Service, connection: Connection, **changes: object) -> Exchanged:
    exchanges = TokenExchange(house.store, house.tokens, house.sealer, house.clock, house.hand_out_log)
    return exchanges.exchange(service, replace(REQUEST, connection_id=connection.id, **changes))


def test_a_service_gets_what_policy_allows(house: House) -> None:
    connection = connected(house)

    exchanged = exchange(house, a_service(house, Feature.CALENDAR_READ), connection)

    assert exchanged.token.token
    assert exchanged.connection.id == connection.id


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        (SCOPES, (Feature.IDENTITY,)),
        # A part of a feature: enough to be dangerous, too little to count as granted.
        ("openid https://www.googleapis.com/auth/calendar.events", (Feature.IDENTITY,)),
        ("openid https://www.googleapis.com/auth/calendar.events", (Feature.CALENDAR_READ,)),
        # Granted to the same project by some other way.
        ("openid https://mail.google.com/", tuple(Feature)),
    ],
)
def test_a_token_that_carries_more_than_policy_allows_stays(
    house: House, scope: str, allowed: tuple[Feature, ...]
) -> None:
    connection = connected(house, scope)

    with pytest.raises(NotAllowed):
        exchange(house, a_service(house, *allowed), connection)


def test_without_a_policy_a_connection_does_not_exist(house: House) -> None:
    connection = connected(house)

    with pytest.raises(UnknownConnection):
        exchange(house, a_service(house, *Feature, provider="microsoft"), connection)
    with pytest.raises(UnknownConnection):
        exchange(house, a_service(house, *Feature), replace(connection, id=uuid4()))


def test_what_the_person_did_not_grant_is_named(house: House) -> None:
    connection = connected(house)

    with pytest.raises(ScopesMissing) as caught:
        exchange(house, a_service(house, *Feature), connection, features=(Feature.MAIL_SEND,))

    assert caught.value.missing == ("https://www.googleapis.com/auth/gmail.send",)


def test_a_disconnected_connection_is_gone_within_the_second(house: House) -> None:
    connection = connected(house)
    service = a_service(house, *Feature)
    exchanges = TokenExchange(house.store, house.tokens, house.sealer, house.clock, house.hand_out_log)
    request = replace(REQUEST, connection_id=connection.id)
    exchanges.exchange(service, request)

    with house.store.transaction() as tx:
        tx.connections.disconnect(connection.id, house.clock())
    gone = threading.Event()
    gone.wait(1.0)

    with pytest.raises(UnknownConnection):
        exchanges.exchange(service, request)


def test_a_rotated_secret_lives_until_the_next_rotation(house: House) -> None:
    clients = ServiceClients(house.store, house.clock)
    first = clients.add("rotating", (Feature.IDENTITY,))
    second = clients.rotate_secret("rotating")
    assert clients.authenticate("rotating", first.reveal()) == clients.authenticate("rotating", second.reveal())

    third = clients.rotate_secret("rotating")

    fresh = ServiceClients(house.store, house.clock)
    assert fresh.authenticate("rotating", second.reveal())
    assert fresh.authenticate("rotating", third.reveal())
    with pytest.raises(InvalidClient):
        fresh.authenticate("rotating", first.reveal())
