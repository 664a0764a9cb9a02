"""Connections: one per person and account, their states, their end."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy.exc import IntegrityError

from app.domain.connections import Identity, Reason, Status
from app.domain.errors import StoreConflict
from app.domain.features import Feature
from app.domain.policies import Policy, Question, Terms, known_to
from app.ports import Block
from app.store.schema import metadata
from tests.integration.store.rows import FEATURES, HOLD, NOW, Session, generation, identity, single

LATER = NOW + timedelta(days=1)


def get(store, connection):
    with store.reading() as tx:
        return tx.connections.get(connection.id)


def end(store, connection):
    with store.transaction() as tx:
        tx.connections.disconnect(connection.id, LATER)


def test_a_new_connection_is_active_and_known_by_its_account(store, rows):
    person = rows.person()
    added = rows.connection(person=person, tokens=False)

    assert added.status is Status.ACTIVE
    assert (added.reason, added.generation, added.granted_scopes) == (None, 0, ())
    assert added.requested_features == FEATURES
    assert (added.created_at, added.status_since) == (NOW, NOW)
    with store.reading() as tx:
        assert tx.connections.of_account(person.id, "google", identity()) == added
        assert tx.connections.of_person(person.id) == (added,)


@pytest.mark.parametrize("other", [identity("SUB-1"), identity(issuer="https://Accounts.google.com")])
def test_ids_of_providers_that_differ_by_case_are_two_accounts(store, rows, other):
    person = rows.person()
    first = rows.connection(person=person)
    with store.transaction() as tx:
        tx.connections.add(uuid4(), person.id, "google", "google", other, FEATURES, b"wrapped", NOW)

    with store.reading() as tx:
        assert len(tx.connections.of_person(person.id)) == 2
        assert tx.connections.of_account(person.id, "google", identity()) == first


def test_the_same_account_twice_is_a_conflict_and_leaves_nothing(store, rows, peek):
    first = rows.connection()

    with pytest.raises(StoreConflict), store.transaction() as tx:
        tx.connections.add(uuid4(), first.person_id, "google", "google", identity(), FEATURES, b"other", NOW)

    assert peek("SELECT connection_id, wrapped_key FROM data_keys") == [(first.id, b"wrapped")]


def test_two_sessions_cannot_add_the_same_account(store, rows, peek):
    person = rows.person()

    def add(tx):
        tx.connections.add(uuid4(), person.id, "google", "google", identity(), FEATURES, b"wrapped", NOW)

    with store.transaction() as tx:
        add(tx)
        other = Session(store, add)
        other.wait_until_blocked(peek)

    with pytest.raises(StoreConflict):
        other.answer()


def test_two_people_may_connect_the_same_account(store, rows):
    rows.connection(person=rows.person("a"))
    second = rows.person("b")
    with store.transaction() as tx:
        tx.connections.add(uuid4(), second.id, "google", "google", identity("a"), FEATURES, b"wrapped", NOW)

    with store.reading() as tx:
        assert len(tx.connections.of_person(second.id)) == 1


def test_a_confirmed_refusal_ends_the_good_state_once(store, rows):
    connection = rows.connection()

    with store.transaction() as tx:
        assert tx.connections.mark_needs_reconnect(connection.id, 1, Reason.CREDENTIAL_CHANGED, LATER)
        assert not tx.connections.mark_needs_reconnect(connection.id, 1, Reason.REVOKED_BY_USER, LATER)

    found = get(store, connection)
    assert (found.status, found.reason, found.status_since) == (
        Status.NEEDS_RECONNECT, Reason.CREDENTIAL_CHANGED, LATER,
    )  # fmt: skip


def test_a_refusal_of_an_older_generation_ends_nothing(store, rows):
    connection = rows.connection()
    with store.transaction() as tx:
        tx.tokens.append(generation(connection.id, tx.tokens.reserve(connection.id)))

    with store.transaction() as tx:
        assert not tx.connections.mark_needs_reconnect(connection.id, 1, Reason.REVOKED_BY_USER, LATER)

    assert get(store, connection).status is Status.ACTIVE


def test_a_consent_repairs_and_keeps_id_and_key(store, rows, peek):
    connection = rows.connection()
    with store.transaction() as tx:
        tx.connections.mark_needs_reconnect(connection.id, 1, Reason.REVOKED_BY_USER, NOW)

    with store.transaction() as tx:
        tx.connections.revive(connection.id, identity(email="new@example.test"), (Feature.IDENTITY,), b"new", LATER)

    found = get(store, connection)
    assert (found.status, found.reason, found.status_since) == (Status.ACTIVE, None, LATER)
    assert (found.email, found.requested_features) == ("new@example.test", (Feature.IDENTITY,))
    assert peek("SELECT wrapped_key FROM data_keys") == [(b"wrapped",)]


def test_widening_a_working_connection_does_not_restart_its_life(store, rows):
    connection = rows.connection()

    with store.transaction() as tx:
        tx.connections.revive(connection.id, identity(), FEATURES, None, LATER)

    assert get(store, connection).status_since == NOW


def test_disconnecting_leaves_the_row_and_the_audit_and_nothing_else(store, rows, peek):
    connection = rows.connection()
    calendar = rows.synced([single("e-1")], rows.calendar(connection))
    with store.transaction() as tx:
        tx.tokens.lease(connection.id, "worker", uuid4(), 60, parent=1)
        tx.channels.add(uuid4(), calendar.id, NOW)
        tx.audit.event("connected", NOW, person_id=connection.person_id, connection_id=connection.id)

    end(store, connection)

    filled = {table.name for table in metadata.sorted_tables if peek(f"TABLE {table.name}")}
    assert filled == {"people", "sign_in_identities", "connections", "audit_events"}
    found = get(store, connection)
    assert (found.status, found.status_since, found.generation) == (Status.DISCONNECTED, LATER, 0)
    assert (found.granted_scopes, found.access_expires_at, found.email) == ((), None, "ada@example.test")


def test_a_disconnected_connection_is_listed_nowhere_but_found_by_its_account(store, rows):
    person = rows.person()
    connection = rows.connection(person=person)
    end(store, connection)

    with store.reading() as tx:
        assert tx.connections.of_person(person.id) == ()
        assert tx.connections.of_account(person.id, "google", identity()).id == connection.id


def test_connecting_again_after_the_end_starts_with_a_new_key_and_higher_numbers(store, rows, peek):
    connection = rows.connection()
    end(store, connection)

    with store.transaction() as tx:
        tx.connections.revive(connection.id, identity(), FEATURES, b"second key", LATER)
        numbers = tx.tokens.reserve(connection.id)
        assert tx.tokens.append(generation(connection.id, numbers, refresh=b"r-new"))

    assert numbers[0] == 2
    assert numbers[2] == 0
    assert peek("SELECT wrapped_key FROM data_keys") == [(b"second key",)]
    with store.reading() as tx:
        assert tx.tokens.current(connection.id).sealed_refresh == b"r-new"


def test_a_reconnect_is_not_marked_broken_by_a_late_refusal_of_the_old_life(store, rows):
    connection = rows.connection()
    end(store, connection)

    with store.transaction() as tx:
        assert not tx.connections.mark_needs_reconnect(connection.id, 0, Reason.REVOKED_BY_USER, LATER)

    assert get(store, connection).status is Status.DISCONNECTED


def test_calendar_lists_are_claimed_when_due_and_free_again_when_read(store, rows):
    connection = rows.connection()

    with store.transaction() as tx:
        assert tx.connections.claim_calendar_lists(NOW, HOLD, 10) == ()
        tx.connections.due_calendar_list(connection.id, NOW)
        assert tx.connections.claim_calendar_lists(NOW, HOLD, 10) == (connection.id,)
        assert tx.connections.claim_calendar_lists(NOW, HOLD, 10) == ()
        assert tx.connections.claim_calendar_lists(HOLD, HOLD + timedelta(seconds=30), 10) == (connection.id,)
        tx.connections.calendars_listed(connection.id, NOW, LATER)
        assert tx.connections.claim_calendar_lists(NOW, HOLD, 10) == ()
        assert tx.connections.claim_calendar_lists(LATER, LATER + timedelta(seconds=30), 10) == (connection.id,)

    assert get(store, connection).calendars_listed_at == NOW


def test_two_sessions_claim_different_calendar_lists(store, rows):
    found = [rows.connection(f"sub-{n}") for n in range(4)]
    with store.transaction() as tx:
        for connection in found:
            tx.connections.due_calendar_list(connection.id, NOW)

    with store.transaction() as one:
        first = one.connections.claim_calendar_lists(NOW, HOLD, 3)
        with store.transaction() as two:
            second = two.connections.claim_calendar_lists(NOW, HOLD, 3)

    assert sorted(first + second) == sorted(connection.id for connection in found)


def test_lists_of_broken_and_ended_connections_are_not_claimed(store, rows):
    broken, ended = rows.connection("a"), rows.connection("b")
    with store.transaction() as tx:
        tx.connections.due_calendar_list(broken.id, NOW)
        tx.connections.due_calendar_list(ended.id, NOW)
        tx.connections.mark_needs_reconnect(broken.id, 1, Reason.REVOKED_BY_USER, NOW)
        tx.connections.disconnect(ended.id, NOW)
        tx.connections.due_calendar_list(ended.id, NOW)

    with store.transaction() as tx:
        assert tx.connections.claim_calendar_lists(LATER, LATER, 10) == ()


def test_a_service_sees_what_its_policies_reach(store, rows):
    google, acme = rows.connection("a"), rows.connection("b", provider="acme")
    ended = rows.connection("c")
    end(store, ended)
    bound, free, stranger = uuid4(), uuid4(), uuid4()
    with store.transaction() as tx:
        for service, name in ((bound, "bound"), (free, "free"), (stranger, "stranger")):
            tx.services.add(service, name, NOW)
        for service, provider, feature in (
            (bound, "google", Feature.CALENDAR_READ),
            (bound, "google", Feature.MAIL_SEND),
            (free, None, Feature.CALENDAR_READ),
        ):
            tx.policies.add(Policy(uuid4(), service, Terms(provider, frozenset({feature}))), NOW)

    with store.reading() as tx:
        assert {c.id for c in tx.connections.visible_to(bound, None, NOW)} == {google.id}
        assert len(tx.connections.visible_to(bound, None, NOW)) == 1
        assert {c.id for c in tx.connections.visible_to(free, None, NOW)} == {google.id, acme.id}
        assert {c.id for c in tx.connections.visible_to(free, "acme", NOW)} == {acme.id}
        assert tx.connections.visible_to(stranger, None, NOW) == ()


def test_a_service_that_somebody_switched_off_does_not_see_their_connections(store, rows):
    mine, service = rows.connection("a"), uuid4()
    theirs = rows.connection("b", person=rows.person("b"))
    with store.transaction() as tx:
        tx.services.add(service, "scheduler", NOW)
        tx.policies.add(Policy(uuid4(), service, Terms(None, frozenset({Feature.CALENDAR_READ}))), NOW)
        tx.policies.block(mine.person_id, Block(service, NOW, LATER))

    with store.reading() as tx:
        assert [c.id for c in tx.connections.visible_to(service, None, NOW)] == [theirs.id]
        assert {c.id for c in tx.connections.visible_to(service, None, LATER)} == {mine.id, theirs.id}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"provider": "google"},
        {"provider": "acme"},
        {"people": "mine"},
        {"people": frozenset({f"person:{uuid4()}"})},
        {"people": frozenset({"tenant:example.com"})},
        {"people": frozenset({"tenant:example.org"})},
        {"people": frozenset()},
        {"valid_until": NOW},
        {"valid_until": LATER},
        {"purposes": frozenset({"other"})},
    ],
)
def test_the_list_and_the_hand_out_know_of_the_same_connections(store, rows, change):
    plain, inside = rows.connection("a"), rows.connection("b")
    with store.transaction() as tx:
        tx.connections.revive(inside.id, replace(identity("b"), tenant="Example.COM"), FEATURES, None, NOW)
        inside = tx.connections.get(inside.id)
    service = uuid4()
    if change.get("people") == "mine":
        change = {"people": frozenset({f"person:{plain.person_id}"})}
    policy = Policy(uuid4(), service, replace(Terms(None, frozenset({Feature.CALENDAR_READ})), **change))
    with store.transaction() as tx:
        tx.services.add(service, "scheduler", NOW)
        tx.policies.add(policy, NOW)

    with store.reading() as tx:
        listed = {c.id for c in tx.connections.visible_to(service, None, NOW)}
        stored = tx.policies.standing(service).policies

    known = {
        c.id
        for c in (plain, inside)
        if known_to(
            stored, Question(c.provider, c.kind, c.person_id, c.tenant, (), (), (), None, is_present=True, at=NOW)
        )
    }
    assert stored == (policy,)
    assert listed == known


@pytest.mark.parametrize(
    "change",
    [
        "status = 'paused'",
        "reason = 'revoked_by_user'",
        "status = 'needs_reconnect', reason = 'tired'",
        "status = 'needs_reconnect'",
        "kind = 'yahoo'",
        "generation = last_generation + 1",
    ],
)
def test_the_database_refuses_states_that_cannot_be(store, rows, peek, change):
    rows.connection()

    with pytest.raises(IntegrityError, match="ck_connections_"):
        peek(f"UPDATE connections SET {change}")  # noqa: S608 - our own words, two lines above


def test_an_account_without_mail_or_name_can_be_connected(store, rows):
    person = rows.person()
    connection_id = uuid4()
    with store.transaction() as tx:
        bare = Identity("https://idp.example", "s", None, None, None)
        tx.connections.add(connection_id, person.id, "acme", "oidc", bare, (), b"wrapped", NOW)

    with store.reading() as tx:
        found = tx.connections.get(connection_id)
    assert (found.email, found.display_name, found.tenant, found.requested_features) == (None, None, None, ())
