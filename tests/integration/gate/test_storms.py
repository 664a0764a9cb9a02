"""The engine behind the gate while a provider is in trouble: calls stop, nobody is disconnected, all recover."""

from dataclasses import replace

import pytest

from app.budgets import LocalBudget
from app.domain.connections import Identity, Reason
from app.domain.errors import (
    BreakerOpen,
    InvalidGrant,
    LatchkeyError,
    ProviderRejected,
    ProviderThrottled,
    ProviderUnavailable,
    ReconnectRequired,
)
from app.domain.tokens import RotationClass
from app.services.due_work import DueWork
from tests.integration.gate.conftest import Crew
from tests.integration.services.conftest import house, keyring_file  # noqa: F401 - fixtures

PEOPLE = 14
CONFIRMED_S = 61


class Installation:
    """Some people with a token that has run out, two processes, and one provider that does as a test says."""

    def __init__(self, house, crew):  # noqa: F811 - the fixture's value
        self.house, self.crew = house, crew
        house.provider.rotation = RotationClass.NONE
        house.provider.gives_refresh_token = True
        self.gates = [crew.gate(budget=LocalBudget(crew.monotonic)) for _ in range(2)]
        self.engines = [
            replace(house.tokens, refresher=replace(house.tokens.refresher, gate=gate)) for gate in self.gates
        ]
        person = house.sign_in()
        self.connections = []
        for number in range(PEOPLE):
            house.provider.identity = Identity("https://accounts.google.com", f"s{number}", None, None, "Ada")
            self.connections.append(house.connect(person).connection.id)
        house.clock.advance(3600)
        house.provider.calls.clear()

    def ask(self, number, engine=None):
        """Ask for one person's token; returns the error, or null for a token."""
        try:
            (engine or self.engines[number % 2]).get(self.connections[number])
        except LatchkeyError as error:
            return error
        return None

    def ask_all(self):
        return [self.ask(number) for number in range(PEOPLE)]

    def calls(self):
        return self.house.provider.calls.count("refresh")

    def marked(self):
        return self.crew.sql("SELECT count(*) FROM connections WHERE status <> 'active'")[0][0]

    def let_live(self):
        """Let the provider accept whatever refresh token comes."""
        self.house.provider.during_refresh = lambda: None
        provider = self.house.provider
        object.__setattr__(self.house.provider, "refresh", lambda _token, _scopes: self._accept(provider))

    def _accept(self, provider):
        provider.calls.append("refresh")
        return replace(provider._answer(with_id_token=False), refresh_token=None)

    def fail_with(self, error):
        def fail(_token, _scopes):
            self.house.provider.calls.append("refresh")
            raise error

        object.__setattr__(self.house.provider, "refresh", fail)

    def later(self, seconds):
        self.house.clock.advance(seconds)
        self.crew.monotonic.now += seconds


@pytest.fixture
def installation(house, database_url):  # noqa: F811 - a fixture
    crew = Crew(database_url)
    yield Installation(house, crew)
    for store in crew.stores:
        store.close()


@pytest.mark.parametrize(
    ("error", "most_calls"),
    [
        (ProviderRejected("invalid_client"), 6),
        (ProviderUnavailable("http_503"), 10),
        (ProviderThrottled("http_429", retry_after_s=1), 10),
        (ProviderThrottled("AADSTS50196"), 10),
        (InvalidGrant("invalid_grant", reason=Reason.GRANT_REJECTED), 12),
    ],
    ids=["invalid_client", "503", "429", "AADSTS50196", "invalid_grant"],
)
def test_a_storm_stops_calls_and_disconnects_nobody(installation, error, most_calls):
    installation.fail_with(error)

    for _ in range(6):
        errors = installation.ask_all()
        installation.later(CONFIRMED_S)
        installation.crew.sql("UPDATE provider_health SET open_until = open_until - interval '61 seconds'")

    assert installation.marked() == 0
    assert all(isinstance(one, ProviderThrottled | ProviderUnavailable | ProviderRejected) for one in errors)
    assert sum(isinstance(one, BreakerOpen) for one in errors) >= PEOPLE - 1
    # The storm itself, then at most one probe in each of the six rounds.
    assert installation.calls() <= most_calls + 6


def test_after_the_storm_everybody_has_a_token_again(installation):
    installation.fail_with(InvalidGrant("invalid_grant", reason=Reason.GRANT_REJECTED))
    installation.ask_all()
    installation.later(CONFIRMED_S)
    installation.ask_all()
    assert installation.crew.row("cause") == ("refusals",)

    installation.let_live()
    for _ in range(12):
        installation.later(CONFIRMED_S)
        installation.crew.sql("UPDATE provider_health SET open_until = clock_timestamp()")
        errors = installation.ask_all()

    assert errors == [None] * PEOPLE
    assert installation.marked() == 0
    assert installation.crew.sql("SELECT count(*) FROM connections WHERE suspected_since IS NOT NULL") == [(0,)]


def test_one_false_refusal_ends_nothing(installation):
    installation.let_live()
    good = installation.house.provider.refresh
    installation.fail_with(InvalidGrant("invalid_grant", reason=Reason.GRANT_REJECTED))
    assert isinstance(installation.ask(0), ProviderThrottled)
    object.__setattr__(installation.house.provider, "refresh", good)

    others = [installation.ask(number) for number in range(1, PEOPLE)]
    installation.later(CONFIRMED_S)
    again = installation.ask(0)

    assert others == [None] * (PEOPLE - 1)
    assert again is None
    assert installation.marked() == 0


def test_a_person_who_really_revoked_is_told_while_others_go_on(installation):
    installation.let_live()
    good = installation.house.provider.refresh
    outcomes = []
    for _ in range(2):
        installation.fail_with(InvalidGrant("invalid_grant", reason=Reason.REVOKED_BY_USER))
        outcomes.append(installation.ask(0))
        object.__setattr__(installation.house.provider, "refresh", good)
        outcomes.append(installation.ask(1))
        installation.later(CONFIRMED_S)

    assert isinstance(outcomes[2], ReconnectRequired)
    assert outcomes[1] is None
    assert installation.marked() == 1


def test_connections_of_a_paused_provider_are_not_claimed(installation):
    installation.fail_with(ProviderRejected("invalid_client"))
    for number in range(3):
        installation.ask(number, installation.engines[0])
    installation.crew.soon()
    there = installation.house
    due = DueWork(there.store, there.clock, there.providers, installation.gates[1])

    assert due.refreshes() == ()
    installation.crew.end_cool_down()
    assert len(due.refreshes()) > 0


def test_a_refusal_by_the_gate_is_nothing_against_the_connection(installation):
    installation.fail_with(ProviderRejected("invalid_client"))
    for number in range(3):
        installation.ask(number, installation.engines[0])
    installation.crew.soon()

    assert isinstance(installation.ask(9), BreakerOpen)

    ((attempts,),) = installation.crew.sql(
        "SELECT count(*) FROM refresh_attempts WHERE connection_id = :id", id=installation.connections[9]
    )
    ((failures, next_attempt_at),) = installation.crew.sql(
        "SELECT failures, next_attempt_at FROM connections WHERE id = :id", id=installation.connections[9]
    )
    assert (attempts, failures, next_attempt_at) == (0, 0, None)
