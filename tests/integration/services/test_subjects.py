"""Whom an exchange is for: shown by the person's own token, or said by the service."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from app.domain.errors import InvalidClient, SubjectTokenInvalid, UnknownPerson
from app.domain.people import Person, Service
from app.domain.subjects import Subject, SubjectMode
from app.providers.trusted_issuers import IssuerSettings
from app.services.subjects import CONNECTION_TYPE, JWT_TYPE, PERSON_TYPE
from tests.fake_provider import ADA
from tests.integration.services.conftest import House
from tests.integration.services.nodes import US, Issuers, Node
from tests.signing import PublishedKeys, Signer, accepted, published, statement, unsigned

AUDIENCE = "https://assistant.example.test"


@dataclass
class Product:
    """The product's own sign-in, and somebody who once signed in here with the same account."""

    house: House
    keys: PublishedKeys
    signer: Signer
    issuers: Issuers
    person: Person

    def token(self, typ: str = "JWT", **changes: object) -> str:
        """Return a user token with ``changes`` of its claims."""
        at = int(self.house.clock().timestamp())
        claims = {
            "iss": self.keys.address, "sub": ADA.subject, "aud": AUDIENCE, "iat": at, "exp": at + 900, "azp": "web",
        }  # fmt: skip
        return self.signer.sign({k: v for k, v in (claims | changes).items() if v is not ...}, typ=typ)


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer("RS256", "idp-1")


@pytest.fixture
def product(house: House, tmp_path: Path, signer: Signer) -> Iterator[Product]:
    with published(tmp_path, signer) as (keys, bundle):
        issuers = Issuers([], [IssuerSettings("product", keys.address, AUDIENCE)], bundle, (keys.address,))
        identity = type(ADA)(keys.address, ADA.subject, None, ADA.email, ADA.name)
        with house.store.transaction() as tx:
            person = tx.people.sign_in("acme", identity, house.clock())
        yield Product(house, keys, signer, issuers, person)


def stated(node: Node, service: Service, signer: Signer, person_id: UUID, **changes: object) -> str:
    """Return what a service says about whom it works for."""
    return node.assertion(service, signer, sub=str(person_id), **changes)


def test_a_user_token_names_a_person_who_is_present(house: House, product: Product) -> None:
    node = Node(house, product.issuers)

    for token in (product.token(), product.token(aud=[AUDIENCE, "account"])):
        subject = node.subject(node.add_service(), JWT_TYPE, token)
        assert subject == Subject(SubjectMode.PRESENT, person_id=product.person.id)


def test_a_user_token_is_shown_as_often_as_it_lives(house: House, product: Product) -> None:
    node = Node(house, product.issuers)
    service, token = node.add_service(), product.token()
    for _ in range(3):
        assert node.subject(service, JWT_TYPE, token).person_id == product.person.id

    house.clock.advance(900)

    with pytest.raises(SubjectTokenInvalid):
        node.subject(service, JWT_TYPE, token)


def test_x05_what_is_wrong_with_a_user_token(house: House, product: Product) -> None:
    node = Node(house, product.issuers)
    service, at = node.add_service(), house.clock().timestamp()
    refused = {
        "ended": product.token(exp=at - 1),
        "never ends": product.token(exp=...),
        "from tomorrow": product.token(nbf=at + 86400),
        "another audience": product.token(aud="https://other.example.test"),
        "an ID token of another app": product.token(aud="another-client-id", nonce="n", azp="another-client-id"),
        "no audience": product.token(aud=...),
        "another issuer": product.token(iss="https://idp.example.test"),
        "no subject": product.token(sub=...),
        "a subject that cannot be stored": product.token(sub="a\0b"),
        "another key": Signer("RS256", "idp-1").sign({"iss": product.keys.address}),
        "unsigned": unsigned({"iss": product.keys.address, "sub": ADA.subject, "aud": AUDIENCE, "exp": at + 60}),
        "no token": "nonsense",
        "empty": "",
        "huge": "a" * 20_000,
    }

    attempts = {what: partial(node.subject, service, JWT_TYPE, token) for what, token in refused.items()}
    assert accepted(SubjectTokenInvalid, attempts) == []
    for token_type in (None, "", "urn:ietf:params:oauth:token-type:id_token", JWT_TYPE.upper()):
        with pytest.raises(SubjectTokenInvalid):
            node.subject(service, token_type, product.token())


def test_x05_a_token_that_reports_an_event_shows_nobodys_presence(house: House, product: Product) -> None:
    node = Node(house, product.issuers)
    service = node.add_service()
    event = {"http://schemas.openid.net/event/backchannel-logout": {}}
    refused = {typ: product.token(typ) for typ in ("logout+jwt", "Application/Logout+JWT")}
    refused |= {"events": product.token(events=event), "null": product.token(events=None)}

    attempts = {what: partial(node.subject, service, JWT_TYPE, token) for what, token in refused.items()}

    assert accepted(SubjectTokenInvalid, attempts) == []
    # Types are many, and access tokens of a product may have theirs.
    assert node.subject(service, JWT_TYPE, product.token("at+jwt")).person_id == product.person.id


def test_somebody_who_never_signed_in_here_is_told_apart(house: House, product: Product) -> None:
    node = Node(house, product.issuers)

    with pytest.raises(UnknownPerson):
        node.subject(node.add_service(), JWT_TYPE, product.token(sub="stranger"))


def test_people_are_known_by_the_claim_the_operator_names(house: House, product: Product) -> None:
    users = [IssuerSettings("product", product.keys.address, AUDIENCE, subject_claim="oid")]
    node = Node(house, Issuers([], users, product.issuers.ca, product.issuers.trusted_origins))
    service = node.add_service()

    token = product.token(sub="differs-from-app-to-app", oid=ADA.subject)
    assert node.subject(service, JWT_TYPE, token).person_id == product.person.id
    with pytest.raises(SubjectTokenInvalid):
        node.subject(service, JWT_TYPE, product.token())


def test_x11_a_user_token_made_for_one_service_is_refused_to_another(house: House, product: Product) -> None:
    clients = {"web": "scheduler", "reports": "reporter"}
    users = [IssuerSettings("product", product.keys.address, AUDIENCE, clients=clients)]
    node = Node(house, Issuers([], users, product.issuers.ca, product.issuers.trusted_origins))
    scheduler, reporter = node.add_service("scheduler"), node.add_service("reporter")
    token = product.token()

    assert node.subject(scheduler, JWT_TYPE, token).person_id == product.person.id
    # Also right after the other service showed it: what is remembered belongs to one service.
    with pytest.raises(SubjectTokenInvalid):
        node.subject(reporter, JWT_TYPE, token)
    with pytest.raises(SubjectTokenInvalid):
        node.subject(reporter, JWT_TYPE, product.token(azp="reports", may_act={"sub": "scheduler"}))


def test_a_service_says_whom_it_works_for_and_what_for(house: House) -> None:
    node, signer, person_id = Node(house), Signer(), uuid4()
    service = node.add_service(None, signer)

    plain = node.subject(service, JWT_TYPE, stated(node, service, signer, person_id))
    purposeful = stated(node, service, signer, person_id, purpose="availability.compute")

    assert plain == Subject(SubjectMode.ABSENT, person_id=person_id)
    assert node.subject(service, JWT_TYPE, purposeful).purpose == "availability.compute"


def test_x11_a_statement_of_one_service_is_refused_to_another(house: House) -> None:
    node, signer, person_id = Node(house), Signer(), uuid4()
    one, two = node.add_service(None, signer), node.add_service(None, signer)

    with pytest.raises(SubjectTokenInvalid):
        node.subject(two, JWT_TYPE, stated(node, one, signer, person_id))
    assert node.subject(one, JWT_TYPE, stated(node, one, signer, person_id))


def test_a_statement_works_once_on_all_nodes_together(house: House) -> None:
    one, other, signer = Node(house), Node(house), Signer()
    service = one.add_service(None, signer)
    token = stated(one, service, signer, uuid4())

    one.subject(service, JWT_TYPE, token)

    for node in (one, other):
        with pytest.raises(SubjectTokenInvalid, match="replay"):
            node.subject(service, JWT_TYPE, token)


def test_x05_what_is_wrong_with_a_statement(house: House) -> None:
    node, signer, person_id = Node(house), Signer(), uuid4()
    service, at = node.add_service(None, signer), house.clock().timestamp()
    good = statement(service.name, US, house.clock(), sub=str(person_id))
    refused = {
        "another audience": stated(node, service, signer, person_id, aud="https://other.example.test"),
        "an audience list": stated(node, service, signer, person_id, aud=[US]),
        "ended": stated(node, service, signer, person_id, iat=at - 60, exp=at - 1),
        "too long": stated(node, service, signer, person_id, exp=at + 3600),
        "no id": stated(node, service, signer, person_id, jti=...),
        "a purpose in words": stated(node, service, signer, person_id, purpose="for my own good"),
        "a purpose list": stated(node, service, signer, person_id, purpose=["a"]),
        "another key": stated(node, service, Signer(), person_id),
        "meant for authentication": signer.sign(good, typ="client-authentication+jwt"),
        "a Latchkey token": node.callers.tokens.issue(service)[0].reveal(),
        "nobody's id": node.assertion(service, signer, sub="ada@example.test"),
        "the service itself": node.assertion(service, signer),
    }

    attempts = {what: partial(node.subject, service, JWT_TYPE, token) for what, token in refused.items()}
    assert accepted(SubjectTokenInvalid, attempts) == []


def test_a_statement_about_a_person_authenticates_nobody(house: House) -> None:
    node, signer = Node(house), Signer()
    service = node.add_service(None, signer)

    with pytest.raises(InvalidClient):
        node.authenticate(stated(node, service, signer, uuid4()))


def test_handles_name_without_proof_and_are_not_looked_up(house: House) -> None:
    node, named = Node(house), uuid4()
    service = node.add_service()

    person = node.subject(service, PERSON_TYPE, str(named))
    connection = node.subject(service, CONNECTION_TYPE, str(named).upper())

    assert person == Subject(SubjectMode.ABSENT, person_id=named)
    assert connection == Subject(SubjectMode.ABSENT, connection_id=named)
    for text in ("", "1", f"{{{named}}}", named.hex, f"urn:uuid:{named}", f"{named}\n"):
        with pytest.raises(SubjectTokenInvalid):
            node.subject(service, PERSON_TYPE, text)
