"""Services prove themselves with keys of their own or as workloads; nothing works twice, anywhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path

import psycopg
import pytest

from app.domain.errors import ClientFrozen, InvalidClient, KeysUnavailable
from app.domain.features import Feature
from app.providers.trusted_issuers import IssuerSettings
from tests.integration.services.conftest import House
from tests.integration.services.nodes import US, Issuers, Node
from tests.signing import PublishedKeys, Signer, accepted, published, signed_with_public_key, statement, unsigned

KUBERNETES = "system:serviceaccount:prod:scheduler"


def test_x02_a_statement_signed_with_a_registered_key_is_believed(house: House) -> None:
    node, signer = Node(house), Signer()
    service = node.add_service(None, Signer("RS256", "old"), signer)

    assert node.authenticate(node.assertion(service, signer)) == service
    assert node.authenticate(node.assertion(service, signer), service.name) == service


@pytest.mark.parametrize("typ", [None, "JWT", "client-authentication+jwt"])
def test_x02_the_types_an_assertion_may_have(house: House, typ: str | None) -> None:
    node, signer = Node(house), Signer()
    service = node.add_service(None, signer)

    assert node.authenticate(signer.sign(statement(service.name, US, house.clock()), typ=typ)) == service


def test_x02_every_failure_is_the_same_refusal(house: House) -> None:
    node, signer, stranger = Node(house), Signer(), Signer()
    service, other = node.add_service("scheduler", signer), node.add_service("reporter", stranger)
    now = house.clock()
    claims = statement(service.name, US, now)
    at = now.timestamp()
    refused = {
        "iss is not sub": node.assertion(service, signer, iss=other.name),
        "sub is not the client": node.assertion(service, signer, sub=other.name),
        "unknown service": node.assertion(service, signer, iss="nobody", sub="nobody"),
        "a name that cannot be": node.assertion(service, signer, iss="a\0b", sub="a\0b"),
        "aud of another server": node.assertion(service, signer, aud="https://other.example.test"),
        "aud is our token endpoint": node.assertion(service, signer, aud=f"{US}/oauth2/token"),
        "aud is a list": node.assertion(service, signer, aud=[US]),
        "exp is far": node.assertion(service, signer, exp=at + 301),
        "exp is more than a minute from iat": node.assertion(service, signer, exp=at + 70),
        "exp is past": node.assertion(service, signer, iat=at - 60, exp=at - 1),
        "no jti": node.assertion(service, signer, jti=...),
        "wrong typ": signer.sign(claims, typ="at+jwt"),
        "alg none": unsigned(claims),
        "alg HS": signed_with_public_key(claims, signer),
        "another key of the same name": node.assertion(service, stranger),
        "no token": "nonsense",
    }

    for fresh in (node, Node(house)):
        attempts = {what: partial(fresh.authenticate, assertion) for what, assertion in refused.items()}
        assert accepted(InvalidClient, attempts) == []
    for wrong_type in (None, "", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"):
        with pytest.raises(InvalidClient):
            node.callers.assertions.authenticate(wrong_type, node.assertion(service, signer), None)
    # None of it used anything up.
    assert node.authenticate(signer.sign(claims)) == service


def test_x02_a_replay_is_refused_on_the_other_node(house: House) -> None:
    one, other, signer = Node(house), Node(house), Signer()
    service = one.add_service(None, signer)
    assertion = one.assertion(service, signer)

    assert one.authenticate(assertion) == service

    for node in (other, one):
        with pytest.raises(InvalidClient, match="replay"):
            node.authenticate(assertion)


def test_x02_of_many_uses_at_once_one_counts(house: House) -> None:
    nodes, signer = [Node(house), Node(house)], Signer()
    service = nodes[0].add_service(None, signer)
    assertion = nodes[0].assertion(service, signer)

    def use(turn: int) -> bool:
        try:
            nodes[turn % 2].authenticate(assertion)
        except InvalidClient:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(use, range(24))) == 1


def test_the_same_id_of_two_services_is_two_statements(house: House) -> None:
    node, signer = Node(house), Signer()
    one, two = node.add_service(None, signer), node.add_service(None, signer)

    assert node.authenticate(node.assertion(one, signer, jti="1")) == one
    assert node.authenticate(node.assertion(two, signer, jti="1")) == two


def test_used_statements_are_forgotten_when_they_have_ended(house: House, database_url: str) -> None:
    node, signer = Node(house), Signer()
    service = node.add_service(None, signer)
    old, new = node.assertion(service, signer, jti="old"), node.assertion(service, signer, jti="new")
    node.authenticate(old)
    node.authenticate(new)
    _age_one_statement(database_url)

    node.callers.tidy()

    with house.store.transaction() as tx:
        assert tx.credentials.forget_spent(10) == 0
    with pytest.raises(InvalidClient):
        node.authenticate(new)
    assert _count(database_url) == 1


def _age_one_statement(database_url: str) -> None:
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(
            "UPDATE spent_statements SET expires_at = clock_timestamp() - interval '1 hour'"
            " WHERE jti_hash = sha256('old'::bytea)"
        )


def _count(database_url: str) -> int:
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        return connection.execute("SELECT count(*) FROM spent_statements").fetchone()[0]


def test_x11_a_key_of_one_service_is_none_of_another(house: House) -> None:
    node, signer = Node(house), Signer()
    service, other = node.add_service(None, signer), node.add_service(None, Signer())

    with pytest.raises(InvalidClient):
        node.authenticate(node.assertion(other, signer))
    with pytest.raises(InvalidClient):
        node.authenticate(node.assertion(service, signer), client_id=other.name)


def test_a_key_that_ended_or_was_removed_proves_nothing(house: House) -> None:
    node, ending, removed = Node(house), Signer(kid="ending"), Signer(kid="removed")
    service = node.add_service(None, removed)
    node.callers.registry.add_key(service.name, ending.pem(), house.clock() + timedelta(minutes=5))
    nameless = partial(ending.sign, kid=None)
    assert node.authenticate(nameless(statement(service.name, US, house.clock()))) == service

    house.clock.advance(301)
    node.callers.registry.remove_key(service.name, "removed")

    with pytest.raises(InvalidClient):
        node.authenticate(nameless(statement(service.name, US, house.clock())))
    with pytest.raises(InvalidClient):
        node.authenticate(node.assertion(service, removed))


def test_a_frozen_service_proves_itself_and_is_told_so(house: House) -> None:
    node, signer = Node(house), Signer()
    service = node.add_service(None, signer)

    node.callers.registry.freeze(service.name)

    with pytest.raises(ClientFrozen):
        node.authenticate(node.assertion(service, signer))
    with pytest.raises(InvalidClient):
        node.authenticate(node.assertion(service, Signer()))
    node.callers.registry.unfreeze(service.name)
    assert node.authenticate(node.assertion(service, signer)).name == service.name


# --- keys and tokens of others, over real HTTPS


@pytest.fixture(scope="module")
def cluster_signer() -> Signer:
    return Signer("RS256", "cluster-1")


@pytest.fixture
def cluster(tmp_path: Path, cluster_signer: Signer) -> Iterator[tuple[PublishedKeys, Issuers]]:
    """A Kubernetes API server, as far as tokens go: discovery, keys, a certificate of its own authority."""
    with published(tmp_path, cluster_signer) as (keys, bundle):
        settings = IssuerSettings("cluster", keys.address, "latchkey")
        yield keys, Issuers([settings], [], bundle, (keys.address,))


def workload_token(keys: PublishedKeys, signer: Signer, now: float, **changes: object) -> str:
    """Return a token as the TokenRequest API makes it: the audience is a list, and there are private claims."""
    claims = {
        "aud": ["latchkey"],
        "exp": int(now) + 3607,
        "iat": int(now),
        "iss": keys.address,
        "jti": "0c8e2a6b-8e1f-4a6e-9d3a-3d9d5b1f7c11",
        "kubernetes.io": {"namespace": "prod", "serviceaccount": {"name": "scheduler", "uid": "1"}},
        "nbf": int(now),
        "sub": KUBERNETES,
    }
    return signer.sign({k: v for k, v in (claims | changes).items() if v is not ...}, typ=None)


def test_a_workload_token_of_a_trusted_issuer_stands_for_its_service(
    house: House, cluster: tuple[PublishedKeys, Issuers], cluster_signer: Signer
) -> None:
    keys, issuers = cluster
    node = Node(house, issuers)
    service = node.add_service()
    node.callers.registry.add_workload(service.name, "cluster", "system:serviceaccount:prod:*")
    token = workload_token(keys, cluster_signer, house.clock().timestamp())

    # The same file is read for an hour: no replay, and discovery and keys are fetched once.
    for _ in range(3):
        assert node.authenticate(token) == service
    assert Node(house, issuers).authenticate(token, service.name) == service
    assert keys.requests[:2] == ["/.well-known/openid-configuration", "/keys"]
    assert len(keys.requests) == 4


def test_a_workload_token_that_is_not_for_us_or_not_genuine_is_refused(
    house: House, cluster: tuple[PublishedKeys, Issuers], cluster_signer: Signer
) -> None:
    keys, issuers = cluster
    node, at = Node(house, issuers), house.clock().timestamp()
    service = node.add_service()
    node.callers.registry.add_workload(service.name, "cluster", KUBERNETES)
    refused = {
        "another audience": {"aud": ["https://kubernetes.default.svc"]},
        "another audience beside ours": {"aud": ["latchkey", "vault"]},
        "no audience": {"aud": ...},
        "ended": {"exp": at - 1},
        "never ends": {"exp": ...},
        "not yet": {"nbf": at + 90},
        "another account": {"sub": "system:serviceaccount:prod:other"},
        "another namespace": {"sub": "system:serviceaccount:test:scheduler"},
        "another issuer": {"iss": keys.address + "/"},
        "no subject": {"sub": ...},
    }

    attempts = {
        what: partial(node.authenticate, workload_token(keys, cluster_signer, at, **changes))
        for what, changes in refused.items()
    }
    assert accepted(InvalidClient, attempts) == []
    with pytest.raises(InvalidClient):
        node.authenticate(workload_token(keys, Signer("RS256", "cluster-1"), at))
    with pytest.raises(InvalidClient):
        node.authenticate(workload_token(keys, cluster_signer, at), client_id="somebody-else")
    with pytest.raises(InvalidClient):
        Node(house).authenticate(workload_token(keys, cluster_signer, at))
    assert node.authenticate(workload_token(keys, cluster_signer, at)) == service


def test_services_whose_patterns_overlap_must_be_named(
    house: House, cluster: tuple[PublishedKeys, Issuers], cluster_signer: Signer
) -> None:
    keys, issuers = cluster
    node = Node(house, issuers)
    one, two, three = node.add_service(), node.add_service(), node.add_service()
    for service, pattern in ((one, "system:serviceaccount:prod:*"), (two, KUBERNETES), (three, "system:node:a")):
        node.callers.registry.add_workload(service.name, "cluster", pattern)
    token = workload_token(keys, cluster_signer, house.clock().timestamp())

    with pytest.raises(InvalidClient):
        node.authenticate(token)
    with pytest.raises(InvalidClient):
        node.authenticate(token, three.name)
    assert node.authenticate(token, one.name) == one
    assert node.authenticate(token, two.name) == two
    node.callers.registry.remove_workload(one.name, "cluster", "system:serviceaccount:prod:*")
    assert node.authenticate(token) == two


def test_an_issuer_without_its_authority_is_not_reached(
    house: House, cluster: tuple[PublishedKeys, Issuers], cluster_signer: Signer
) -> None:
    keys, issuers = cluster
    token = workload_token(keys, cluster_signer, house.clock().timestamp())

    for unreachable in (
        Issuers(issuers.workloads, [], None, issuers.trusted_origins),
        Issuers(issuers.workloads, [], issuers.ca, ()),
    ):
        with pytest.raises(KeysUnavailable):
            Node(house, unreachable).authenticate(token)
    assert keys.requests == []


def test_keys_a_service_publishes_rotate_without_us(
    house: House, cluster: tuple[PublishedKeys, Issuers], cluster_signer: Signer
) -> None:
    keys, issuers = cluster
    node = Node(house, Issuers([], [], issuers.ca, issuers.trusted_origins))
    service = node.add_service()
    node.callers.registry.set_jwks_url(service.name, f"{keys.address}/keys")
    assert node.authenticate(node.assertion(service, cluster_signer)) == service
    newer = Signer("EdDSA", "newer")

    keys.signers = [newer]

    assert node.authenticate(node.assertion(service, newer)) == service
    node.callers.registry.set_jwks_url(service.name, None)
    with pytest.raises(InvalidClient):
        node.authenticate(node.assertion(service, newer))


def test_freezing_takes_effect_within_a_second_for_secrets_too(house: House) -> None:
    one, other = Node(house), Node(house)
    secret = one.callers.registry.add("scheduler", (Feature.IDENTITY,)).reveal()
    for node in (one, other):
        node.clients.authenticate("scheduler", secret)

    one.callers.registry.freeze("scheduler")
    threading.Event().wait(0.85)

    for node in (one, other):
        with pytest.raises(ClientFrozen):
            node.clients.authenticate("scheduler", secret)
        with pytest.raises(InvalidClient):
            node.clients.authenticate("scheduler", "wrong")
