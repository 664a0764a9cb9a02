"""Policy: a table of questions, and what must hold for all of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.features import Feature, scopes_beyond, scopes_for
from app.domain.policies import Allowed, Denied, Policy, Question, Refusal, Terms, decide, known_to

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SERVICE = UUID(int=1)
PERSON = UUID(int=2)
READ = frozenset({Feature.CALENDAR_READ})
QUESTION = Question(
    provider="google",
    kind="google",
    person_id=PERSON,
    tenant="example.com",
    granted_scopes=tuple(scopes_for("google", READ)),
    features=(Feature.CALENDAR_READ,),
    scopes=(),
    purpose="availability.compute",
    is_present=True,
    at=NOW,
)
OPEN = Terms("google", READ)


def policies(*terms: Terms) -> tuple[Policy, ...]:
    return tuple(Policy(UUID(int=100 + n), SERVICE, one) for n, one in enumerate(terms))


FITTING = [
    OPEN,
    replace(OPEN, provider=None),
    replace(OPEN, purposes=frozenset({"availability.compute", "other"})),
    replace(OPEN, people=frozenset({f"person:{PERSON}"})),
    replace(OPEN, people=frozenset({"tenant:example.com"})),
    replace(OPEN, valid_until=NOW + timedelta(seconds=1)),
    replace(OPEN, max_per_hour=1),
    replace(OPEN, act_as=True),
]


@pytest.mark.parametrize("terms", FITTING)
def test_each_of_these_alone_allows(terms: Terms) -> None:
    assert decide(policies(terms), QUESTION) == Allowed(
        (UUID(int=100),),
        READ | {Feature.IDENTITY},
        () if terms.max_per_hour is None else ((UUID(int=100), terms.max_per_hour),),
    )


@pytest.mark.parametrize(
    ("terms", "change", "why"),
    [
        (replace(OPEN, provider="microsoft"), {}, Refusal.UNKNOWN),
        (replace(OPEN, valid_until=NOW), {}, Refusal.UNKNOWN),
        (replace(OPEN, people=frozenset({f"person:{SERVICE}"})), {}, Refusal.UNKNOWN),
        (replace(OPEN, people=frozenset({"tenant:example.org"})), {}, Refusal.UNKNOWN),
        (replace(OPEN, people=frozenset({"tenant:example.com"})), {"tenant": None}, Refusal.UNKNOWN),
        (replace(OPEN, people=frozenset({f"person:{PERSON}"})), {"person_id": None}, Refusal.UNKNOWN),
        (OPEN, {"is_present": False}, Refusal.ACT_AS),
        (replace(OPEN, purposes=frozenset({"other"})), {}, Refusal.PURPOSE),
        (replace(OPEN, purposes=frozenset({"other"})), {"purpose": None}, Refusal.PURPOSE),
        (OPEN, {"features": (Feature.MAIL_SEND,)}, Refusal.FEATURES),
        (replace(OPEN, features=frozenset({Feature.CALENDAR_WRITE})), {}, Refusal.FEATURES),
        (OPEN, {"scopes": ("https://www.googleapis.com/auth/gmail.send",)}, Refusal.SCOPE),
        (OPEN, {"scopes": ("https://mail.google.com/",)}, Refusal.SCOPE),
        (OPEN, {"granted_scopes": ("https://www.googleapis.com/auth/gmail.send",)}, Refusal.SCOPES),
    ],
)
def test_each_of_these_refuses(terms: Terms, change: dict[str, object], why: Refusal) -> None:
    verdict = decide(policies(terms), replace(QUESTION, **change))

    assert isinstance(verdict, Denied)
    assert verdict.why is why


def test_without_a_policy_nothing_is_allowed() -> None:
    assert decide((), QUESTION) == Denied(Refusal.UNKNOWN)


def test_policies_add_up() -> None:
    both = policies(OPEN, Terms(None, frozenset({Feature.MAIL_SEND})))
    wide = replace(QUESTION, granted_scopes=tuple(scopes_for("google", {*READ, Feature.MAIL_SEND})))

    assert isinstance(decide(both[:1], wide), Denied)
    assert isinstance(decide(both, wide), Allowed)


def test_a_narrower_scope_than_an_allowed_one_may_be_asked_for() -> None:
    asked = replace(QUESTION, scopes=("https://www.googleapis.com/auth/calendar.events.readonly",))

    assert isinstance(decide(policies(OPEN), asked), Allowed)


def test_what_is_not_limited_is_used_before_what_is() -> None:
    held = policies(replace(OPEN, max_per_hour=5), OPEN)

    assert decide(held, QUESTION) == Allowed((held[1].id,), READ | {Feature.IDENTITY}, ())


def test_a_limit_is_charged_only_where_the_policy_brings_something() -> None:
    mail = frozenset({Feature.MAIL_SEND})
    held = policies(OPEN, replace(OPEN, max_per_hour=5), Terms(None, mail, max_per_hour=7))
    wide = replace(QUESTION, granted_scopes=tuple(scopes_for("google", READ | mail)))

    verdict = decide(held, wide)

    assert isinstance(verdict, Allowed)
    assert verdict.limits == ((held[2].id, 7),)


def test_one_policy_that_came_closest_is_named_and_several_are_not() -> None:
    other = replace(OPEN, purposes=frozenset({"other"}))

    assert decide(policies(other), QUESTION) == Denied(Refusal.PURPOSE, UUID(int=100))
    assert decide(policies(other, other), QUESTION) == Denied(Refusal.PURPOSE)


def test_tenants_are_compared_without_case() -> None:
    known = known_to(
        policies(replace(OPEN, people=frozenset({"tenant:example.com"}))), replace(QUESTION, tenant="Example.COM")
    )

    assert known


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"features": frozenset()}, "no feature"),
        ({"purposes": frozenset({"In words"})}, "'In words' is no purpose"),
        ({"purposes": frozenset()}, "empty list of purposes"),
        ({"people": frozenset()}, "empty list of people"),
        ({"people": frozenset({"ada@example.com"})}, "neither person"),
        ({"people": frozenset({"tenant:"})}, "neither person"),
        ({"people": frozenset({"person:*"})}, "neither person"),
        ({"max_per_hour": 0}, "max_per_hour"),
        ({"max_per_hour": 2**31}, "max_per_hour"),
        ({"valid_until": datetime(2026, 1, 1)}, "time zone"),  # noqa: DTZ001  # that is the fault
    ],
)
def test_faults_are_named(change: dict[str, object], fault: str) -> None:
    (line,) = replace(OPEN, **change).faults()

    assert fault in line


FEATURE_SETS = st.frozensets(st.sampled_from(list(Feature)), min_size=1)
TERMS = st.builds(
    Terms,
    provider=st.sampled_from([None, "google", "microsoft"]),
    features=FEATURE_SETS,
    purposes=st.none() | st.frozensets(st.sampled_from(["a", "b"]), min_size=1),
    people=st.none()
    | st.frozensets(st.sampled_from([f"person:{PERSON}", f"person:{SERVICE}", "tenant:example.com"]), min_size=1),
    valid_until=st.none() | st.sampled_from([NOW - timedelta(days=1), NOW, NOW + timedelta(days=1)]),
    max_per_hour=st.none() | st.integers(1, 9),
    act_as=st.booleans(),
)
QUESTIONS = st.builds(
    replace,
    st.just(QUESTION),
    person_id=st.sampled_from([None, PERSON]),
    tenant=st.sampled_from([None, "example.com", "example.org"]),
    granted_scopes=FEATURE_SETS.map(lambda found: tuple(scopes_for("google", found))),
    features=FEATURE_SETS.map(tuple),
    purpose=st.sampled_from([None, "a", "b", "c"]),
    is_present=st.booleans(),
)
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""How quick the machine is says nothing about policy."""
POLICIES = st.lists(TERMS, max_size=5).map(lambda held: policies(*held))


@UNHURRIED
@given(POLICIES, QUESTIONS)
def test_nothing_leaves_that_the_used_policies_do_not_allow_together(held, question) -> None:
    verdict = decide(held, question)

    if isinstance(verdict, Allowed):
        used = [policy.terms for policy in held if policy.id in verdict.policy_ids]
        allowed = frozenset().union(*(terms.features for terms in used))
        assert used
        assert not scopes_beyond(question.kind, question.granted_scopes, allowed)
        assert set(question.features) <= allowed | {Feature.IDENTITY}
        for terms in used:
            assert terms.provider in (None, question.provider)
            assert terms.valid_until is None or terms.valid_until > question.at
            assert terms.purposes is None or question.purpose in terms.purposes
            assert terms.act_as or question.is_present
            assert (
                terms.people is None
                or f"person:{question.person_id}" in terms.people
                or (f"tenant:{question.tenant}" in terms.people)
            )


@UNHURRIED
@given(POLICIES, POLICIES, QUESTIONS)
def test_a_further_policy_never_takes_anything_away(held, more, question) -> None:
    added = held + tuple(replace(policy, id=UUID(int=policy.id.int + 1000)) for policy in more)

    if isinstance(decide(held, question), Allowed):
        assert isinstance(decide(added, question), Allowed)


@UNHURRIED
@given(POLICIES, QUESTIONS)
def test_whom_no_policy_knows_gets_the_one_answer_that_says_nothing(held, question) -> None:
    is_unknown = decide(held, question) == Denied(Refusal.UNKNOWN)

    assert is_unknown == (not known_to(held, question))


@UNHURRIED
@given(POLICIES, QUESTIONS)
def test_every_limit_that_was_used_is_charged_once(held, question) -> None:
    verdict = decide(held, question)

    if isinstance(verdict, Allowed):
        limited = {p.id: p.terms.max_per_hour for p in held if p.id in verdict.policy_ids and p.terms.max_per_hour}
        assert dict(verdict.limits) == limited
        assert len(verdict.limits) == len(limited)
