"""Row X14 of the list of threats, its second half: what disconnecting deletes here and asks of the provider."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy import create_engine, text

from app.domain.connections import Status
from app.domain.errors import UnknownConnection
from app.ports import Revocation
from app.services.channel_tokens import ChannelTokens
from app.services.channels import Channels
from app.services.disconnect import Disconnect
from tests.integration.services.conftest import House


def disconnect_of(house: House) -> Disconnect:
    """Return one process's way to disconnect."""
    channels = Channels(
        house.store, house.providers, house.tokens, ChannelTokens(house.sealer), house.nudge, house.clock, lambda: 0.5,
        "http://localhost:1", push_enabled=False,
    )  # fmt: skip
    return Disconnect(house.store, house.providers, house.sealer, channels, house.tokens, house.clock)


def sealed_rows(database_url: str, connection_id: UUID) -> int:
    """Return how many keys and token sets of a connection there are."""
    engine = create_engine(database_url)
    try:
        with engine.connect() as connection:
            return sum(
                connection.execute(text(query), {"id": connection_id}).scalar_one()
                for query in (
                    "SELECT count(*) FROM data_keys WHERE connection_id = :id",
                    "SELECT count(*) FROM token_generations WHERE connection_id = :id",
                )
            )
    finally:
        engine.dispose()


@pytest.mark.parametrize("outcome", ["revoked", "already_dead", "unsupported", "failed"])
def test_x14_everything_here_goes_at_once_and_the_provider_is_asked_once(
    house: House, database_url: str, outcome: str
) -> None:
    person = house.sign_in()
    connection = house.connect(person).connection
    assert sealed_rows(database_url, connection.id) >= 2
    house.provider.calls.clear()
    house.provider.revocation = Revocation(outcome)

    disconnect_of(house).disconnect(person.id, connection.id)

    assert house.provider.calls.count("revoke") == 1
    assert sealed_rows(database_url, connection.id) == 0
    with pytest.raises(UnknownConnection):
        house.tokens.get(connection.id, 60)
    with house.store.reading() as tx:
        found = tx.connections.get(connection.id)
    assert found is not None
    assert found.status is Status.DISCONNECTED


def test_x14_two_who_disconnect_at_once_ask_the_provider_once(house: House) -> None:
    person = house.sign_in()
    connection = house.connect(person).connection
    house.provider.calls.clear()

    def disconnect(_turn: int) -> bool:
        try:
            disconnect_of(house).disconnect(person.id, connection.id)
        except UnknownConnection:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        done = sorted(pool.map(disconnect, range(4)))

    assert done == [False, False, False, True]
    assert house.provider.calls.count("revoke") == 1
