"""What a test of hand-outs works with: one process's side of it, on the shared store and cipher."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, event

from app.domain.audit import AuditEntry
from app.domain.connections import Connection, Identity
from app.domain.errors import LatchkeyError
from app.domain.features import Feature
from app.domain.people import Service
from app.domain.policies import Policy, Terms
from app.domain.rates import HandOutRates, TokenBuckets
from app.domain.subjects import Subject, SubjectMode
from app.services.explanation import Explain
from app.services.hourly_quota import HourlyQuota
from app.services.person_switches import PersonSwitches
from app.services.policy_admin import PolicyAdmin
from app.services.resolution import Ask, Resolver
from app.services.token_exchange import Exchanged, ExchangeRefused, ExchangeRequest, TokenExchange
from tests.fake_provider import ADA, SCOPES, FakeProvider, FakeProviders
from tests.integration.services.conftest import House

EVERYTHING = Terms(None, frozenset(Feature), act_as=True)
OUTSIDER = Identity("https://accounts.google.com", "subject-2", "example.org", "eve@example.org", "Eve")


@dataclass
class Desk:
    """Exchanges, explanations and everything that decides about them."""

    house: House
    per_s: float = 1000.0
    monotonic: Callable[[], float] = time.monotonic
    rates: HandOutRates = field(init=False)
    quota: HourlyQuota = field(init=False)
    exchange: TokenExchange = field(init=False)
    explain: Explain = field(init=False)
    admin: PolicyAdmin = field(init=False)
    switches: PersonSwitches = field(init=False)

    def __post_init__(self) -> None:
        house = self.house
        providers = FakeProviders(house.provider, FakeProvider(key="microsoft", kind="microsoft"))
        resolver = Resolver(house.store, providers, house.clock)
        buckets = TokenBuckets(self.per_s, self.per_s, self.monotonic)
        self.rates = HandOutRates(buckets)
        self.quota = HourlyQuota(house.store, self.monotonic)
        self.exchange = TokenExchange(
            resolver, house.tokens, house.sealer, house.clock, house.hand_out_log, self.rates, self.quota
        )
        self.explain = Explain(resolver, house.gate, self.rates, buckets, self.quota, house.clock)
        self.admin = PolicyAdmin(house.store, providers, house.clock)
        self.switches = PersonSwitches(house.store, house.clock)

    def service(self, *terms: Terms) -> Service:
        """Return a new service with these policies."""
        service, now = Service(uuid4(), f"service-{uuid4().hex}"), self.house.clock()
        with self.house.store.transaction() as tx:
            tx.services.add(service.id, service.name, now)
            for one in terms:
                tx.policies.add(Policy(uuid4(), service.id, one), now)
        return service

    def connection(self, identity: Identity = ADA, scope: str = SCOPES) -> Connection:
        """Return a connection of the person of this identity."""
        self.house.provider.identity, self.house.provider.scope = identity, scope
        return self.house.connect(self.house.sign_in()).connection

    def further(self, person_id: UUID, identity: Identity) -> Connection:
        """Connect another account for somebody."""
        self.house.provider.identity = identity
        with self.house.store.reading() as tx:
            person = tx.people.get(person_id)
        assert person is not None
        return self.house.connect(person).connection

    def get(self, service: Service, ask: Ask, **wishes: object) -> Exchanged:
        """Exchange."""
        return self.exchange.exchange(service, ExchangeRequest(ask, **wishes))  # type: ignore[arg-type]

    def refusal(self, service: Service, ask: Ask, **wishes: object) -> LatchkeyError:
        """Return why an exchange is refused."""
        with pytest.raises(ExchangeRefused) as caught:
            self.get(service, ask, **wishes)
        return caught.value.cause

    def log(self) -> tuple[AuditEntry, ...]:
        """Return the audit log so far, hand-outs on their way included."""
        # Adopting takes what other processes left; this one's own lines come with its next round.
        self.house.hand_out_log.close()
        self.house.hand_out_log.collect()
        with self.house.store.reading() as tx:
            return tuple(logged.entry for logged in tx.audit_log.after(0, 10_000))


def by_connection(connection_id: UUID, **more: object) -> Ask:
    """Return an ask for one connection, by its id alone."""
    return Ask(Subject(SubjectMode.ABSENT, connection_id=connection_id), **more)  # type: ignore[arg-type]


def by_person(person_id: UUID | None, audience: str = "google", **more: object) -> Ask:
    """Return an ask for a person whom the service names."""
    return Ask(Subject(SubjectMode.ABSENT, person_id=person_id), audience, **more)  # type: ignore[arg-type]


def present(person_id: UUID | None, audience: str = "google", **more: object) -> Ask:
    """Return an ask for a person whose own token was shown."""
    return Ask(Subject(SubjectMode.PRESENT, person_id=person_id), audience, **more)  # type: ignore[arg-type]


@contextmanager
def counted_statements() -> Iterator[list[str]]:
    """Collect the statements that any store of this process sends meanwhile."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        sent.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", note)
