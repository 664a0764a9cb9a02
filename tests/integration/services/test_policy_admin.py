"""Policies as operators change them: one by one, or as a file that is the whole truth of the services it names."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from app.domain.features import Feature
from app.domain.policies import Terms
from app.policy_file import read_policies, write_policies
from tests.integration.services.conftest import House
from tests.integration.services.exchange_desk import EVERYTHING, Desk

READ = Terms("google", frozenset({Feature.CALENDAR_READ}))
FULL = Terms(
    provider="google",
    features=frozenset({Feature.CALENDAR_READ, Feature.MAIL_SEND}),
    purposes=frozenset({"sync", "availability.compute"}),
    people=frozenset({"tenant:example.com"}),
    valid_until=datetime(2030, 1, 1, 12, 30, tzinfo=UTC),
    max_per_hour=100,
    act_as=True,
)


@pytest.fixture
def desk(house: House) -> Desk:
    return Desk(house)


def held(desk: Desk, name: str) -> list[Terms]:
    return [policy.terms for policy in desk.admin.all()[name]]


def changes(desk: Desk) -> list[str]:
    return [entry.kind for entry in desk.log() if entry.kind.startswith("policy_")]


def test_a_policy_is_kept_with_everything_it_says_until_it_is_removed(desk: Desk) -> None:
    service = desk.service()

    policy = desk.admin.allow(service.name, FULL)

    assert held(desk, service.name) == [FULL]
    assert desk.admin.remove(policy.id) == policy
    assert held(desk, service.name) == []
    added, removed = [entry for entry in desk.log() if entry.kind.startswith("policy_")]
    assert added.service_id == removed.service_id == service.id
    assert added.detail == removed.detail
    assert added.detail["max_per_hour"] == "100"
    assert added.detail["people"] == "tenant:example.com"


@pytest.mark.parametrize("terms", [replace(READ, provider="nobody"), replace(READ, features=frozenset())])
def test_what_cannot_work_is_refused_whole(desk: Desk, terms: Terms) -> None:
    service = desk.service(READ)

    with pytest.raises(ValueError, match=r"provider|feature"):
        desk.admin.allow(service.name, terms)
    with pytest.raises(ValueError, match=r"provider|feature"):
        desk.admin.replace({service.name: [EVERYTHING, terms]})

    assert held(desk, service.name) == [READ]
    assert changes(desk) == []


def test_unknown_services_and_policies_are_refused(desk: Desk) -> None:
    service = desk.service()

    with pytest.raises(ValueError, match="no service named nobody"):
        desk.admin.allow("nobody", READ)
    with pytest.raises(ValueError, match="no service named nobody"):
        desk.admin.replace({service.name: [READ], "nobody": []})
    with pytest.raises(ValueError, match="no policy"):
        desk.admin.remove(uuid4())

    assert held(desk, service.name) == []


def test_a_file_is_the_whole_policy_of_the_services_it_names(desk: Desk) -> None:
    first, second, third = desk.service(READ, FULL), desk.service(READ), desk.service(READ)

    differences = desk.admin.replace({first.name: [FULL, EVERYTHING], second.name: []})

    assert held(desk, first.name) == [FULL, EVERYTHING]
    assert held(desk, second.name) == []
    assert held(desk, third.name) == [READ]
    found = {d.service: (d.added, tuple(p.terms for p in d.removed)) for d in differences}
    assert found == {first.name: ((EVERYTHING,), (READ,)), second.name: ((), (READ,))}
    assert sorted(changes(desk)) == ["policy_added", "policy_removed", "policy_removed"]


def test_what_stays_keeps_its_id(desk: Desk) -> None:
    service = desk.service(READ, FULL)
    before = {policy.terms: policy.id for policy in desk.admin.all()[service.name]}

    desk.admin.replace({service.name: [FULL, EVERYTHING]})

    after = {policy.terms: policy.id for policy in desk.admin.all()[service.name]}
    assert after[FULL] == before[FULL]


def test_a_dry_run_shows_the_same_and_changes_nothing(desk: Desk) -> None:
    service = desk.service(READ)
    wanted = {service.name: [FULL]}

    shown = desk.admin.replace(wanted, is_dry_run=True)

    assert held(desk, service.name) == [READ]
    assert changes(desk) == []
    assert desk.admin.replace(wanted) == shown


def test_a_second_import_changes_nothing(desk: Desk) -> None:
    service = desk.service(READ)
    wanted = {service.name: [FULL, FULL, EVERYTHING]}
    desk.admin.replace(wanted)
    before, entries = desk.admin.all(), changes(desk)

    assert desk.admin.replace(wanted) == ()

    assert desk.admin.all() == before
    assert changes(desk) == entries


def test_an_export_imports_to_nothing_new(desk: Desk) -> None:
    desk.service(READ, FULL)
    desk.service()
    exported = write_policies({name: [p.terms for p in found] for name, found in desk.admin.all().items()})

    assert desk.admin.replace(read_policies(exported)) == ()
