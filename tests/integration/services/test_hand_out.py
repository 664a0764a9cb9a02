"""The hand-out: which connection, under which policy, with whose consent. X.. are rows of the list of threats."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from app.domain.connections import Connection, Identity, Reason
from app.domain.errors import (
    AccountAmbiguous,
    ClientFrozen,
    ConnectionPaused,
    InvalidGrant,
    LatchkeyError,
    NeverConnected,
    NotAllowed,
    ProviderUnavailable,
    RateLimited,
    ReconnectRequired,
    ScopeNotAllowed,
    ScopeNotGranted,
    ScopesMissing,
    ServiceBlocked,
    StoreUnavailable,
    UnknownConnection,
    UnknownProvider,
    ValidityUnattainable,
)
from app.domain.features import Feature
from app.domain.policies import Terms
from app.domain.rates import SUBJECTS_AT_ONCE
from app.domain.subjects import Subject, SubjectMode
from app.ports import Store, Transaction
from app.services.hourly_quota import HourlyQuota
from app.services.resolution import Ask
from app.services.token_exchange import ExchangeRefused, ExchangeRequest
from tests.fake_provider import ADA, SCOPES
from tests.integration.services.conftest import House
from tests.integration.services.exchange_desk import (
    EVERYTHING,
    OUTSIDER,
    Desk,
    by_connection,
    by_person,
    counted_statements,
    present,
)

G = "https://www.googleapis.com/auth"
READ = Terms("google", frozenset({Feature.CALENDAR_READ}), act_as=True)
WORK = Identity("https://accounts.google.com", "work-1", "example.com", "ada@example.com", "Ada")


@pytest.fixture
def desk(house: House) -> Desk:
    return Desk(house)


# --- what is given, and that it is written down


def test_a_service_gets_what_policy_allows(desk: Desk) -> None:
    connection = desk.connection()

    exchanged = desk.get(desk.service(READ), by_connection(connection.id, purpose="test"))

    assert exchanged.token.token
    assert exchanged.connection.id == connection.id


def test_a_release_and_a_refusal_are_in_the_log_and_hold_no_token(desk: Desk) -> None:
    connection = desk.connection()
    service = desk.service(replace(READ, purposes=frozenset({"sync"})))

    exchanged = desk.get(service, by_connection(connection.id, purpose="sync", features=(Feature.CALENDAR_READ,)))
    desk.refusal(service, by_connection(connection.id, purpose="other"))
    desk.refusal(service, by_connection(uuid4(), purpose="sync"))

    released, denied, unknown = [entry for entry in desk.log() if entry.kind.startswith("hand_out.")]
    assert (released.id, released.kind) == (exchanged.hand_out_id, "hand_out.released")
    assert (released.service_id, released.connection_id) == (service.id, connection.id)
    assert released.person_id == connection.person_id
    assert released.detail["purpose"] == "sync"
    assert re.fullmatch("[0-9a-f]{64}", str(released.detail["token_fingerprint"]))
    assert exchanged.token.token.sha256() not in str(released)
    assert (denied.kind, denied.detail["reason"], denied.detail["token_fingerprint"]) == (
        "hand_out.denied", "not_allowed", None,
    )  # fmt: skip
    assert (unknown.kind, unknown.connection_id, unknown.person_id) == ("hand_out.denied", None, None)


def test_a_live_token_costs_no_statement_once_it_is_known(desk: Desk) -> None:
    connection, service = desk.connection(), desk.service(READ)
    ask = by_connection(connection.id)
    desk.get(service, ask)

    with counted_statements() as sent:
        for _ in range(20):
            desk.get(service, ask)

    # On a machine so slow that the answer is out of date before the twentieth, two statements bring a new one.
    assert len([statement for statement in sent if statement.startswith("SELECT")]) < 20


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        (SCOPES, {Feature.IDENTITY}),
        # A part of a feature: enough to be dangerous, too little to count as granted.
        (f"openid {G}/calendar.events", {Feature.IDENTITY}),
        (f"openid {G}/calendar.events", {Feature.CALENDAR_READ}),
        # Granted to the same project by some other way.
        ("openid https://mail.google.com/", set(Feature)),
    ],
)
def test_a_token_that_carries_more_than_policy_allows_stays(desk: Desk, scope: str, allowed: set[Feature]) -> None:
    connection = desk.connection(scope=scope)

    refusal = desk.refusal(desk.service(Terms(None, frozenset(allowed), act_as=True)), by_connection(connection.id))

    assert isinstance(refusal, NotAllowed)


# --- X06: what is not there and what is not theirs


@dataclass(frozen=True)
class Two:
    """A connection, and one of somebody else in another organisation."""

    mine: Connection
    theirs: Connection


OUT_OF_REACH: dict[str, tuple[Callable[[Two], Terms | None], Callable[[Two], Ask]]] = {
    "there is none": (lambda _: EVERYTHING, lambda _: by_connection(uuid4())),
    "no policy": (lambda _: None, lambda two: by_connection(two.mine.id)),
    "policy for another provider": (
        lambda _: replace(EVERYTHING, provider="microsoft"),
        lambda two: by_connection(two.mine.id),
    ),
    "policy for another person": (
        lambda two: replace(EVERYTHING, people=frozenset({f"person:{two.theirs.person_id}"})),
        lambda two: by_connection(two.mine.id),
    ),
    "policy for another tenant": (
        lambda _: replace(EVERYTHING, people=frozenset({"tenant:example.com"})),
        lambda two: by_connection(two.theirs.id),
    ),
    "another audience": (lambda _: EVERYTHING, lambda two: by_connection(two.mine.id, audience="microsoft")),
    "another resource": (
        lambda _: EVERYTHING,
        lambda two: by_connection(two.mine.id, resource="https://graph.microsoft.com/"),
    ),
    "another account": (lambda _: EVERYTHING, lambda two: by_connection(two.mine.id, account="eve@example.org")),
    "another person's token": (
        lambda _: EVERYTHING,
        lambda two: Ask(Subject(SubjectMode.PRESENT, two.theirs.person_id, two.mine.id)),
    ),
}


@pytest.mark.parametrize("case", OUT_OF_REACH)
def test_x06_not_there_and_not_theirs_are_one_answer_after_the_same_statements(desk: Desk, case: str) -> None:
    two = Two(desk.connection(), desk.connection(OUTSIDER))
    terms, ask = (made(two) for made in OUT_OF_REACH[case])
    service = desk.service(*([] if terms is None else [terms]))

    with counted_statements() as sent:
        refusal = desk.refusal(service, ask)

    assert type(refusal) is UnknownConnection
    assert str(refusal) == str(UnknownConnection())
    assert len([statement for statement in sent if statement.startswith("SELECT")]) == 2


@pytest.mark.parametrize("change", [{"audience": "nobody"}, {"resource": "https://api.example.org/"}])
def test_x06_an_unknown_audience_or_resource_is_refused(desk: Desk, change: dict[str, str]) -> None:
    connection = desk.connection()

    refusal = desk.refusal(desk.service(EVERYTHING), by_connection(connection.id, **change))

    assert isinstance(refusal, UnknownProvider)


def test_x06_a_disconnected_connection_is_gone(desk: Desk) -> None:
    connection = desk.connection()
    with desk.house.store.transaction() as tx:
        tx.connections.disconnect(connection.id, desk.house.clock())

    assert isinstance(desk.refusal(desk.service(EVERYTHING), by_connection(connection.id)), UnknownConnection)


def test_x06_a_person_who_is_not_there_and_one_out_of_reach_look_alike(desk: Desk) -> None:
    outsider = desk.connection(OUTSIDER)
    reaching = desk.service(replace(EVERYTHING, people=frozenset({"tenant:example.com"})))

    with counted_statements() as sent:
        nobody = desk.refusal(reaching, by_person(uuid4()))
    with counted_statements() as sent_too:
        unreachable = desk.refusal(reaching, by_person(outsider.person_id))

    assert type(nobody) is type(unreachable) is UnknownConnection
    assert len(sent) == len(sent_too)


@pytest.mark.parametrize(
    "resource",
    [f"{G}/calendar.events.readonly", "https://www.googleapis.com/calendar/v3", "https://www.googleapis.com"],
)
def test_a_resource_of_the_providers_names_it(desk: Desk, resource: str) -> None:
    connection = desk.connection()
    ask = Ask(Subject(SubjectMode.ABSENT, person_id=connection.person_id), resource=resource)

    assert desk.get(desk.service(EVERYTHING), ask).connection.id == connection.id


# --- X07: scopes


def test_x07_a_scope_beyond_policy_is_refused(desk: Desk) -> None:
    connection = desk.connection()

    refusal = desk.refusal(desk.service(READ), by_connection(connection.id, scopes=(f"{G}/gmail.send",)))

    assert isinstance(refusal, ScopeNotAllowed)


def test_x07_a_scope_that_was_not_granted_is_refused_and_named(desk: Desk) -> None:
    connection = desk.connection()

    refusal = desk.refusal(desk.service(EVERYTHING), by_connection(connection.id, scopes=(f"{G}/gmail.send", "openid")))

    assert isinstance(refusal, ScopeNotGranted)
    assert refusal.missing == (f"{G}/gmail.send",)


def test_x07_asking_for_less_gives_what_there_is_and_says_so(desk: Desk) -> None:
    connection = desk.connection()

    exchanged = desk.get(desk.service(READ), by_connection(connection.id, scopes=("openid",)))

    assert exchanged.token.scopes == connection.granted_scopes


def test_a_feature_the_person_did_not_grant_names_the_scopes(desk: Desk) -> None:
    connection = desk.connection()

    refusal = desk.refusal(desk.service(EVERYTHING), by_connection(connection.id, features=(Feature.MAIL_SEND,)))

    assert isinstance(refusal, ScopesMissing)
    assert refusal.missing == (f"{G}/gmail.send",)


# --- X08, X09, X10: consent, provider, validity


def test_x08_a_dead_grant_says_why(desk: Desk) -> None:
    connection = desk.connection()
    with desk.house.store.transaction() as tx:
        tx.connections.mark_needs_reconnect(
            connection.id, connection.generation, Reason.REVOKED_BY_ADMIN, desk.house.clock()
        )

    with pytest.raises(ExchangeRefused) as caught:
        desk.get(desk.service(READ), by_connection(connection.id))

    cause = caught.value.cause
    assert isinstance(cause, ReconnectRequired)
    assert cause.reason == Reason.REVOKED_BY_ADMIN
    assert caught.value.connection is not None
    assert caught.value.connection.id == connection.id


def test_x09_without_the_provider_a_token_that_still_serves_is_given(desk: Desk) -> None:
    desk.house.provider.lifetime_s = 100
    connection, service = desk.connection(), desk.service(READ)
    desk.house.provider.failures = [ProviderUnavailable("down")]
    desk.house.clock.advance(60)

    exchanged = desk.get(service, by_connection(connection.id))

    assert exchanged.token.warning == "provider_unavailable"


@pytest.mark.parametrize("min_validity_s", [60, None])
def test_x09_without_the_provider_a_token_that_does_not_serve_is_not_given(
    desk: Desk, min_validity_s: int | None
) -> None:
    desk.house.provider.lifetime_s = 100
    connection, service = desk.connection(), desk.service(READ)
    desk.house.provider.failures = [ProviderUnavailable("down")]
    desk.house.clock.advance(60 if min_validity_s else 100)

    refusal = desk.refusal(service, by_connection(connection.id), min_validity_s=min_validity_s)

    assert isinstance(refusal, ProviderUnavailable)


def test_x10_more_validity_than_the_provider_gives_is_refused_without_a_call(desk: Desk) -> None:
    desk.house.provider.lifetime_s = 300
    connection = desk.connection()
    calls = len(desk.house.provider.calls)

    refusal = desk.refusal(desk.service(READ), by_connection(connection.id), min_validity_s=301)

    assert isinstance(refusal, ValidityUnattainable)
    assert len(desk.house.provider.calls) == calls


# --- X11 and subjects: (authenticated client) x (verified subject) x (policy)


def test_x11_one_services_policy_is_no_use_to_another(desk: Desk) -> None:
    connection = desk.connection()
    allowed, other = desk.service(READ), desk.service()
    desk.get(allowed, by_connection(connection.id))

    assert isinstance(desk.refusal(other, by_connection(connection.id)), UnknownConnection)


@pytest.mark.parametrize("named", ["connection", "person"])
def test_x11_naming_a_person_needs_a_policy_that_says_so(desk: Desk, named: str) -> None:
    connection, service = desk.connection(), desk.service(replace(READ, act_as=False))
    ask = by_connection(connection.id) if named == "connection" else by_person(connection.person_id)

    refusal = desk.refusal(service, ask)

    assert isinstance(refusal, NotAllowed)
    assert refusal.detail == "act_as"
    assert desk.get(service, present(connection.person_id)).connection.id == connection.id


def test_x11_a_present_person_reaches_their_own_accounts_alone(desk: Desk) -> None:
    mine, theirs = desk.connection(), desk.connection(OUTSIDER)
    service = desk.service(EVERYTHING)

    exchanged = desk.get(service, present(mine.person_id))

    assert exchanged.connection.id == mine.id != theirs.id


def test_x11_a_statement_for_one_purpose_serves_no_other(desk: Desk) -> None:
    connection, service = desk.connection(), desk.service(EVERYTHING)
    stated = Subject(SubjectMode.ABSENT, person_id=connection.person_id, purpose="sync")

    assert isinstance(desk.refusal(service, Ask(stated, "google", purpose="other")), NotAllowed)
    assert desk.get(service, Ask(stated, "google", purpose="sync"))
    assert desk.get(service, Ask(stated, "google"))


def test_the_stated_purpose_counts_for_policy(desk: Desk) -> None:
    connection = desk.connection()
    service = desk.service(replace(EVERYTHING, purposes=frozenset({"sync"})))

    stated = Subject(SubjectMode.ABSENT, person_id=connection.person_id, purpose="sync")

    assert desk.get(service, Ask(stated, "google"))


# --- which account


def test_the_only_account_needs_no_name_and_several_do(desk: Desk) -> None:
    first = desk.connection()
    service = desk.service(EVERYTHING)
    assert desk.get(service, by_person(first.person_id)).connection.id == first.id
    second = desk.further(first.person_id, WORK)

    fresh = Desk(desk.house)

    assert isinstance(fresh.refusal(service, by_person(first.person_id)), AccountAmbiguous)
    assert fresh.get(service, by_person(first.person_id, account="work-1")).connection.id == second.id


def test_an_account_can_be_named_by_its_address(desk: Desk) -> None:
    first = desk.connection(replace(ADA, email="ada@example.net"))
    second = desk.further(first.person_id, WORK)
    service = desk.service(EVERYTHING)

    chosen = desk.get(service, by_person(first.person_id, account="Ada@Example.com"))

    assert chosen.connection.id == second.id


def test_policy_chooses_among_accounts_too(desk: Desk) -> None:
    first = desk.connection()
    second = desk.further(first.person_id, WORK)
    service = desk.service(replace(EVERYTHING, people=frozenset({"tenant:example.com"})))

    assert desk.get(service, by_person(first.person_id)).connection.id == second.id


@pytest.mark.parametrize("person", ["there", "not there", "never seen"])
def test_who_never_connected_is_told_apart_from_nobody_by_nothing(desk: Desk, person: str) -> None:
    there = desk.house.sign_in()
    ask = {
        "there": present(there.id, "microsoft"),
        "not there": present(uuid4(), "microsoft"),
        "never seen": present(None, "microsoft"),
    }[person]

    refusal = desk.refusal(desk.service(EVERYTHING), ask)

    assert isinstance(refusal, NeverConnected)
    assert refusal.provider == "microsoft"


def test_who_may_not_be_named_is_not_invited_to_connect(desk: Desk) -> None:
    refusal = desk.refusal(desk.service(replace(EVERYTHING, act_as=False)), by_person(uuid4()))

    assert isinstance(refusal, NotAllowed)


# --- X16: a change counts within a second, in every process


def removed(desk: Desk, service_id: UUID, connection: Connection) -> None:
    with desk.house.store.reading() as tx:
        (policy,) = tx.policies.standing(service_id).policies
    desk.admin.remove(policy.id)


def blocked(desk: Desk, service_id: UUID, connection: Connection) -> None:
    desk.switches.block(connection.person_id, service_id)


def paused(desk: Desk, service_id: UUID, connection: Connection) -> None:
    desk.switches.pause(connection.person_id, connection.id, desk.house.clock() + timedelta(days=1))


def disconnected(desk: Desk, service_id: UUID, connection: Connection) -> None:
    with desk.house.store.transaction() as tx:
        tx.connections.disconnect(connection.id, desk.house.clock())


def ended(desk: Desk, service_id: UUID, connection: Connection) -> None:
    with desk.house.store.transaction() as tx:
        tx.connections.mark_needs_reconnect(
            connection.id, connection.generation, Reason.REVOKED_BY_USER, desk.house.clock()
        )


CHANGES = {
    removed: UnknownConnection,
    blocked: ServiceBlocked,
    paused: ConnectionPaused,
    disconnected: UnknownConnection,
    ended: ReconnectRequired,
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_x16_no_process_releases_a_second_after_a_change(desk: Desk, change) -> None:
    connection, service = desk.connection(), desk.service(READ)
    nodes, ask = (desk, Desk(desk.house)), by_connection(connection.id)

    for node in nodes:
        node.get(service, ask)
    change(desk, service.id, connection)
    time.sleep(1.0)

    assert [type(node.refusal(service, ask)) for node in nodes] == [CHANGES[change]] * 2


def test_x16_what_changes_while_the_provider_is_asked_counts(desk: Desk) -> None:
    connection, service = desk.connection(), desk.service(READ)
    desk.house.clock.advance(3600)

    def switched_off_meanwhile() -> None:
        desk.switches.block(connection.person_id, service.id)
        time.sleep(1.0)

    desk.house.provider.during_refresh = switched_off_meanwhile

    assert isinstance(desk.refusal(service, by_connection(connection.id)), ServiceBlocked)


def test_x16_a_service_frozen_while_the_provider_is_asked_gets_nothing(desk: Desk) -> None:
    connection, service = desk.connection(), desk.service(READ)
    desk.house.clock.advance(3600)

    def frozen_meanwhile() -> None:
        with desk.house.store.transaction() as tx:
            tx.services.set_enabled(service.id, is_enabled=False)
        time.sleep(1.0)

    desk.house.provider.during_refresh = frozen_meanwhile

    assert isinstance(desk.refusal(service, by_connection(connection.id)), ClientFrozen)


def test_a_token_that_a_refresh_made_good_for_more_is_judged_anew(desk: Desk) -> None:
    connection, service = desk.connection(), desk.service(READ)
    desk.house.clock.advance(3600)
    desk.house.provider.scope = f"{SCOPES} {G}/gmail.send"

    refusal = desk.refusal(service, by_connection(connection.id))

    assert isinstance(refusal, NotAllowed)
    assert [entry.kind for entry in desk.log() if entry.kind.startswith("hand_out")] == ["hand_out.denied"]


def test_a_refresh_that_takes_long_gives_its_token_all_the_same(desk: Desk) -> None:
    connection, service = desk.connection(), desk.service(READ)
    desk.house.clock.advance(3600)
    desk.house.provider.during_refresh = lambda: time.sleep(1.0)

    exchanged = desk.get(service, by_connection(connection.id))

    assert exchanged.token.generation == 2
    assert desk.house.provider.calls.count("refresh") == 1


# --- the person's switches


def test_a_block_ends_by_itself_or_when_it_is_lifted(desk: Desk) -> None:
    connection, service = desk.connection(), desk.service(READ)
    until = desk.house.clock() + timedelta(hours=1)
    desk.switches.block(connection.person_id, service.id, until)
    refusal = desk.refusal(service, by_connection(connection.id))
    assert isinstance(refusal, ServiceBlocked)
    assert refusal.until == until
    assert [(block.service_id, block.until) for block in desk.switches.blocks(connection.person_id)] == [
        (service.id, until)
    ]

    desk.switches.unblock(connection.person_id, service.id)

    assert desk.get(service, by_connection(connection.id))
    desk.switches.block(connection.person_id, service.id, until)
    desk.house.clock.advance(3601)
    assert Desk(desk.house).get(service, by_connection(connection.id))


def test_a_block_concerns_one_service_and_one_person(desk: Desk) -> None:
    mine, theirs = desk.connection(), desk.connection(OUTSIDER)
    service, other = desk.service(READ), desk.service(READ)

    desk.switches.block(mine.person_id, service.id)

    assert isinstance(desk.refusal(service, by_connection(mine.id)), ServiceBlocked)
    assert desk.get(service, by_connection(theirs.id))
    assert desk.get(other, by_connection(mine.id))


def test_a_pause_is_for_every_service_and_can_be_ended(desk: Desk) -> None:
    connection, services = desk.connection(), (desk.service(READ), desk.service(EVERYTHING))
    desk.switches.pause(connection.person_id, connection.id, desk.house.clock() + timedelta(days=1))
    for service in services:
        assert isinstance(desk.refusal(service, by_connection(connection.id)), ConnectionPaused)

    desk.switches.resume(connection.person_id, connection.id)

    assert all(desk.get(service, by_connection(connection.id)) for service in services)
    kinds = [entry.kind for entry in desk.log() if entry.connection_id == connection.id]
    assert [kind for kind in kinds if kind in {"paused", "resumed"}] == ["paused", "resumed"]


def test_nobody_pauses_what_is_not_theirs(desk: Desk) -> None:
    mine, theirs = desk.connection(), desk.connection(OUTSIDER)

    with pytest.raises(UnknownConnection):
        desk.switches.pause(theirs.person_id, mine.id, desk.house.clock() + timedelta(days=1))
    with pytest.raises(UnknownConnection):
        desk.switches.resume(theirs.person_id, mine.id)


# --- X18: rates


def limited_policy(desk: Desk, limit: int) -> UUID:
    """Return the id of a policy with an hourly limit."""
    service = desk.service(replace(READ, max_per_hour=limit))
    with desk.house.store.reading() as tx:
        (policy,) = tx.policies.standing(service.id, person_id=None).policies
    return policy.id


def end_the_hour(desk: Desk) -> None:
    """Let what was counted have been counted an hour ago."""
    with desk.house.store.transaction() as tx:
        tx.policies._connection.exec_driver_sql("UPDATE policy_usage SET hour = hour - interval '1 hour'")


class Failing:
    """The store, as long as it answers."""

    def __init__(self, store: Store, answers: int) -> None:
        self.store, self.answers = store, answers

    def transaction(self) -> AbstractContextManager[Transaction]:
        if self.answers == 0:
            raise StoreUnavailable("down")
        self.answers -= 1
        return self.store.transaction()


def test_x18_a_loop_is_stopped_and_nobody_else_is(desk: Desk) -> None:
    mine, theirs = desk.connection(), desk.connection(OUTSIDER)
    service, other = desk.service(READ), desk.service(READ)
    limited = Desk(desk.house, per_s=3.0, monotonic=lambda: 50.0)
    for _ in range(3):
        limited.get(service, by_connection(mine.id))

    with counted_statements() as sent, pytest.raises(RateLimited) as caught:
        limited.get(service, by_connection(mine.id))

    assert 0 < caught.value.retry_after_s <= 1
    assert not [statement for statement in sent if "policies" in statement]
    assert limited.get(service, by_connection(theirs.id))
    assert limited.get(other, by_connection(mine.id))


def test_x18_walking_through_ids_ends_before_it_costs_or_is_logged(desk: Desk) -> None:
    service, other = desk.service(READ), desk.service(READ)
    limited = Desk(desk.house, per_s=1.0, monotonic=lambda: 50.0)
    for _ in range(SUBJECTS_AT_ONCE):
        assert isinstance(limited.refusal(service, by_connection(uuid4())), UnknownConnection)

    with counted_statements() as sent, pytest.raises(RateLimited):
        limited.get(service, by_connection(uuid4()))

    assert not [statement for statement in sent if "policies" in statement]
    assert isinstance(limited.refusal(other, by_connection(uuid4())), UnknownConnection)
    assert len([entry for entry in desk.log() if entry.kind == "hand_out.denied"]) == SUBJECTS_AT_ONCE + 1


@pytest.mark.parametrize("limit", [1, 7, 250])
def test_an_hourly_limit_is_never_exceeded_by_all_processes_together(desk: Desk, limit: int) -> None:
    connection = desk.connection()
    service = desk.service(replace(READ, max_per_hour=limit))
    nodes = [Desk(desk.house) for _ in range(3)]
    outcomes: list[type[LatchkeyError] | None] = []

    def ask_often(node: Desk) -> None:
        for _ in range(limit // 2 + 5):
            try:
                node.get(service, by_connection(connection.id))
            except RateLimited as error:
                outcomes.append(type(error))
            else:
                outcomes.append(None)

    threads = [threading.Thread(target=ask_often, args=(node,)) for node in nodes for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert outcomes.count(None) == limit


def test_an_hourly_limit_costs_a_statement_per_chunk(desk: Desk) -> None:
    connection = desk.connection()
    service = desk.service(replace(READ, max_per_hour=10_000))

    with counted_statements() as sent:
        for _ in range(90):
            desk.get(service, by_connection(connection.id))

    assert len([statement for statement in sent if statement.startswith("INSERT INTO policy_usage")]) == 1


def test_a_spent_limit_is_not_asked_about_again_within_its_hour(desk: Desk) -> None:
    connection = desk.connection()
    service = desk.service(replace(READ, max_per_hour=1))
    desk.get(service, by_connection(connection.id))
    with pytest.raises(RateLimited):
        desk.get(service, by_connection(connection.id))

    with counted_statements() as sent, pytest.raises(RateLimited):
        desk.get(service, by_connection(connection.id))

    assert not [statement for statement in sent if "policy_usage" in statement]


def test_a_reached_limit_is_logged_once_an_hour_by_each_process(desk: Desk) -> None:
    watch = [1000.0]
    node = Desk(desk.house, monotonic=lambda: watch[0])
    connection, service = node.connection(), node.service(replace(READ, max_per_hour=1))
    ask = by_connection(connection.id, purpose="test")

    for _ in range(2):
        node.get(service, ask)
        for _ in range(3):
            with pytest.raises(RateLimited):
                node.get(service, ask)
        end_the_hour(desk)
        watch[0] += 3601

    denied = [entry for entry in node.log() if entry.kind == "hand_out.denied"]
    assert [(entry.service_id, entry.connection_id, entry.detail["reason"]) for entry in denied] == [
        (service.id, connection.id, "rate_limited")
    ] * 2
    assert {entry.detail["purpose"] for entry in denied} == {"test"}


def test_a_limit_that_another_policy_makes_up_for_is_no_refusal(desk: Desk) -> None:
    connection = desk.connection()
    service = desk.service(replace(READ, max_per_hour=1), replace(READ, max_per_hour=5))

    for _ in range(3):
        desk.get(service, by_connection(connection.id))

    assert [entry for entry in desk.log() if entry.kind == "hand_out.denied"] == []


def test_a_new_hour_begins_anew(desk: Desk) -> None:
    watch = [1000.0]
    node = Desk(desk.house, monotonic=lambda: watch[0])
    connection = node.connection()
    service = node.service(replace(READ, max_per_hour=2))
    for _ in range(2):
        node.get(service, by_connection(connection.id))
    with pytest.raises(RateLimited) as caught:
        node.get(service, by_connection(connection.id))
    assert 0 < caught.value.retry_after_s <= 3600

    end_the_hour(desk)
    watch[0] += 3601

    assert node.get(service, by_connection(connection.id))


def test_what_is_given_back_counts_in_its_own_hour_alone(desk: Desk) -> None:
    watch = [1000.0]
    quota, policy_id = HourlyQuota(desk.house.store, lambda: watch[0]), limited_policy(desk, 2)
    late, _ = quota.spend(policy_id, 2)
    end_the_hour(desk)
    watch[0] += 3601

    first, wait_s = quota.spend(policy_id, 2)
    quota.give_back(late)
    waits = [wait_s, *(quota.spend(policy_id, 2)[1] for _ in range(3))]

    assert first is not late
    assert [wait_s > 0 for wait_s in waits] == [False, False, True, True]


def test_what_is_given_back_after_a_refill_of_its_hour_can_be_spent(desk: Desk) -> None:
    quota, policy_id = HourlyQuota(desk.house.store, lambda: 1000.0), limited_policy(desk, 2)
    first, _ = quota.spend(policy_id, 2)
    quota.spend(policy_id, 2)
    assert quota.spend(policy_id, 2)[1] > 0

    quota.give_back(first)

    assert [quota.spend(policy_id, 2)[1] > 0 for _ in range(2)] == [False, True]


def test_a_spent_policy_leaves_the_others_in_force(desk: Desk) -> None:
    connection = desk.connection()
    twice = replace(READ, max_per_hour=1)
    service = desk.service(twice, replace(twice, max_per_hour=2))

    given = [desk.get(service, by_connection(connection.id)) for _ in range(3)]

    assert len(given) == 3
    with pytest.raises(RateLimited):
        desk.get(service, by_connection(connection.id))


def test_what_was_not_handed_out_is_not_counted(desk: Desk) -> None:
    connection = desk.connection()
    service = desk.service(replace(READ, max_per_hour=1))
    desk.house.provider.failures = [InvalidGrant("x", reason=Reason.GRANT_REJECTED)]
    desk.house.clock.advance(3600)
    desk.refusal(service, by_connection(connection.id))
    desk.house.clock.advance(3600)

    assert desk.exchange.exchange(service, ExchangeRequest(by_connection(connection.id)))


def test_when_the_second_of_two_limits_cannot_be_counted_the_first_is_not(desk: Desk) -> None:
    connection = desk.connection(scope=f"{SCOPES} {G}/gmail.send")
    mail = replace(READ, features=frozenset({Feature.MAIL_SEND}), max_per_hour=1)
    service = desk.service(replace(READ, max_per_hour=1), mail)
    store = Failing(desk.house.store, answers=1)
    desk.exchange = replace(desk.exchange, quota=HourlyQuota(store))  # type: ignore[arg-type]  # all it asks of a store
    assert isinstance(desk.refusal(service, by_connection(connection.id)), StoreUnavailable)

    store.answers = 2

    assert desk.get(service, by_connection(connection.id))
