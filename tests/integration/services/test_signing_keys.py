"""Our signing keys rotate without anybody meeting an unknown one, and our tokens are checked almost for free."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
from sqlalchemy import event

from app.domain.errors import ClientFrozen, InvalidClient
from app.services.service_tokens import TOKEN_LIFETIME_S
from app.services.signing_keys import KEY_SET_KEPT, PUBLISHED_AFTER, PUBLISHED_AHEAD, ROTATED_AFTER
from tests.integration.services.conftest import House
from tests.integration.services.nodes import US, Node
from tests.signing import Signer, unsigned


def kids(node: Node) -> set[object]:
    """Return the published names, once every brief answer has been dropped."""
    threading.Event().wait(0.85)
    return {key["kid"] for key in node.callers.signing_keys.published()}


def kid_of(token: str) -> str:
    return jwt.get_unverified_header(token)["kid"]


def token_of(node: Node, service: object) -> str:
    return node.callers.tokens.issue(service)[0].reveal()


def statements(house: House, work: Callable[[], object]) -> int:
    """Count the statements that reach the database during ``work``."""
    seen: list[str] = []

    def note(_connection, _cursor, statement, *_):
        seen.append(statement)

    engines = (house.store._reads, house.store._writes)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        work()
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)
    return len(seen)


def test_a_token_is_an_access_token_of_ours_that_anybody_can_verify(house: House) -> None:
    node = Node(house)
    service = node.add_service()

    token, expires_in_s = node.callers.tokens.issue(service)

    header = jwt.get_unverified_header(token.reveal())
    key = next(k for k in node.callers.signing_keys.published() if k["kid"] == header["kid"])
    claims = jwt.decode(token.reveal(), jwt.PyJWK(dict(key)).key, ["ES256"], audience=US, issuer=US)
    assert (header["typ"], header["alg"]) == ("at+jwt", "ES256")
    assert (claims["sub"], claims["client_id"]) == (str(service.id), service.name)
    assert claims["exp"] - claims["iat"] == expires_in_s == TOKEN_LIFETIME_S <= 600
    assert claims["jti"] != jwt.decode(token_of(node, service), options={"verify_signature": False})["jti"]


def test_a_token_of_one_node_is_good_on_the_other(house: House) -> None:
    one, other = Node(house), Node(house)
    service = one.add_service()

    assert other.callers.tokens.check(token_of(one, service)) == service
    assert one.callers.tokens.check(token_of(other, service)) == service


def test_a_known_token_costs_no_statement(house: House) -> None:
    node = Node(house)
    token = token_of(node, node.add_service())
    node.callers.tokens.check(token)

    assert statements(house, lambda: [node.callers.tokens.check(token) for _ in range(100)]) <= 4


def test_a_token_ends(house: House) -> None:
    node = Node(house)
    token = token_of(node, node.add_service())
    node.callers.tokens.check(token)

    house.clock.advance(TOKEN_LIFETIME_S)

    for fresh in (node, Node(house)):
        with pytest.raises(InvalidClient):
            fresh.callers.tokens.check(token)


def test_what_is_no_token_of_ours_is_refused(house: House) -> None:
    node, stranger = Node(house), Signer()
    service = node.add_service()
    good = token_of(node, service)
    claims = jwt.decode(good, options={"verify_signature": False})
    sign = node.callers.signing_keys.sign
    forged = [
        "",
        "a.b.c",
        good[:-4] + "AAAA",
        good + "A",
        unsigned(claims),
        jwt.encode(claims, stranger.key, "ES256", {"typ": "at+jwt", "kid": kid_of(good)}),
        jwt.encode(claims, stranger.key, "ES256", {"typ": "at+jwt", "kid": "k1"}),
        sign("JWT", claims).reveal(),
        sign("at+jwt", claims | {"aud": "https://other.example.test"}).reveal(),
        sign("at+jwt", claims | {"iss": "https://other.example.test"}).reveal(),
        sign("at+jwt", claims | {"exp": claims["iat"] - 1}).reveal(),
    ]

    for text in forged:
        with pytest.raises(InvalidClient):
            node.callers.tokens.check(text)
    assert node.callers.tokens.check(good) == service


def test_a_frozen_service_is_refused_within_the_second_and_works_again_afterwards(house: House) -> None:
    one, other = Node(house), Node(house)
    service = one.add_service()
    token = token_of(one, service)
    for node in (one, other):
        node.callers.tokens.check(token)

    one.callers.registry.freeze(service.name)
    threading.Event().wait(0.85)

    for node in (one, other):
        with pytest.raises(ClientFrozen):
            node.callers.tokens.check(token)
    one.callers.registry.unfreeze(service.name)
    threading.Event().wait(0.85)
    assert other.callers.tokens.check(token).name == service.name


def test_a_key_is_published_before_it_signs_and_until_its_last_token_ended(house: House) -> None:
    one, other = Node(house), Node(house)
    service = one.add_service()
    before = token_of(one, service)
    published = kids(other)
    assert len(published) == 2

    house.clock.advance(PUBLISHED_AHEAD.total_seconds())
    one.callers.signing_keys.rotate()
    threading.Event().wait(0.85)
    after = token_of(one, service)

    assert kid_of(after) != kid_of(before)
    # Whoever fetched the set just before the rotation knows the key that signs now.
    assert kid_of(after) in published
    assert kid_of(before) in kids(other)
    assert len(kids(other)) == 3
    assert other.callers.tokens.check(after) == service
    assert other.callers.tokens.check(before) == service


def test_a_verifier_that_keeps_the_set_as_long_as_it_may_never_meets_an_unknown_key(house: House) -> None:
    node = Node(house)
    service = node.add_service()
    kept: list[tuple[float, set[object]]] = []
    refused = 0
    for _minute in range(40):
        threading.Event().wait(0.85 if _minute % 8 == 0 else 0)
        fresh = Node(house)
        kept.append((house.clock.offset.total_seconds(), {k["kid"] for k in fresh.callers.signing_keys.published()}))
        signed_with = kid_of(token_of(fresh, service))
        oldest = house.clock.offset.total_seconds() - KEY_SET_KEPT.total_seconds()
        assert all(signed_with in known for at, known in kept if at >= oldest)
        house.clock.advance(60)
        try:
            fresh.callers.signing_keys.rotate()
        except ValueError:
            refused += 1

    assert 30 <= refused < 40


def test_a_retired_key_cannot_sign_and_goes_with_its_last_token(house: House) -> None:
    node = Node(house)
    service = node.add_service()
    before = token_of(node, service)
    house.clock.advance(PUBLISHED_AHEAD.total_seconds())
    node.callers.signing_keys.rotate()
    with house.store.reading() as tx:
        retired = next(row for row in tx.signing_keys.all() if str(row.id) == kid_of(before))
    assert retired.sealed_private_key is None

    house.clock.advance(PUBLISHED_AFTER.total_seconds() - 1)
    node.callers.signing_keys.keep_up()
    assert kid_of(before) in kids(node)
    house.clock.advance(2)
    node.callers.signing_keys.keep_up()

    assert kid_of(before) not in kids(node)


def test_a_deleted_key_takes_its_tokens_along_within_the_second(house: House) -> None:
    node = Node(house)
    token = token_of(node, node.add_service())
    node.callers.tokens.check(token)
    with house.store.transaction() as tx:
        for row in tx.signing_keys.all():
            tx.signing_keys.delete(row.id)
    threading.Event().wait(0.85)

    with pytest.raises(InvalidClient):
        node.callers.tokens.check(token)


def test_a_key_rotates_by_age(house: House) -> None:
    node = Node(house)
    service = node.add_service()
    first = kid_of(token_of(node, service))

    node.callers.signing_keys.keep_up()
    assert kid_of(token_of(Node(house), service)) == first
    house.clock.advance(ROTATED_AFTER.total_seconds() + 1)
    node.callers.signing_keys.keep_up()

    assert kid_of(token_of(Node(house), service)) != first
    node.callers.signing_keys.keep_up()
    assert len(Node(house).callers.signing_keys.published()) == 3


def test_first_starts_at_once_agree_on_the_keys(house: House) -> None:
    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(lambda _: Node(house).callers.signing_keys.published(), range(8)))

    assert all({k["kid"] for k in keys} == {k["kid"] for k in seen[0]} for keys in seen)
    assert len(seen[0]) == 2


def test_rotations_at_once_are_one(house: House) -> None:
    Node(house).callers.signing_keys.published()
    house.clock.advance(PUBLISHED_AHEAD.total_seconds())

    def rotate(_turn: int) -> bool:
        try:
            Node(house).callers.signing_keys.rotate()
        except ValueError:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(rotate, range(6))) == 1


def test_private_keys_are_sealed_and_bound_to_their_row(house: House) -> None:
    Node(house).callers.signing_keys.published()
    with house.store.reading() as tx:
        rows = tx.signing_keys.all()

    for row in rows:
        assert row.sealed_private_key is not None
        assert b"PRIVATE" not in row.sealed_private_key
        assert house.sealer.open_record(row.id, "signing_key", row.sealed_private_key).reveal().startswith("-----BEGIN")
