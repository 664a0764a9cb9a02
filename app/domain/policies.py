"""Policy: what a service may ask for, decided without a computer. Nothing is allowed that no policy allows.

Several policies add up: a token carries every scope the person granted, so it leaves only when the policies that apply
to the question together allow all of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.domain.features import Feature, scopes_beyond

PURPOSE = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""What a purpose looks like, in requests and in policies."""

LARGEST_RATE = 2**31 - 1
"""Hand-outs per hour; what the column holds."""

_PERSON = re.compile(r"person:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TENANT = re.compile(r"tenant:[a-z0-9._-]{1,253}")


@dataclass(frozen=True, slots=True)
class Terms:
    """What one policy says. Null means "any" everywhere."""

    provider: str | None
    """Provider key."""
    features: frozenset[Feature]
    """What may be used; identity always may."""
    purposes: frozenset[str] | None = None
    """Null: for any purpose, a missing one included."""
    people: frozenset[str] | None = None
    """Selectors: ``person:<uuid>`` or ``tenant:<tenant id or domain>``, lower case."""
    valid_until: datetime | None = None
    max_per_hour: int | None = None
    """Hand-outs per clock hour, over all processes."""
    act_as: bool = False
    """Whether the service may name the person itself, without a token of theirs."""

    def faults(self) -> tuple[str, ...]:
        """Return what is wrong with these terms, one line each; empty when nothing is."""
        wrong = [f"{text!r} is no purpose" for text in sorted(self.purposes or ()) if not PURPOSE.fullmatch(text)]
        wrong += [
            f"{text!r} is neither person:<id> nor tenant:<tenant>"
            for text in sorted(self.people or ())
            if not (_PERSON.fullmatch(text) or _TENANT.fullmatch(text))
        ]
        if not self.features:
            wrong.append("no feature is named")
        wrong += [f"an empty list of {name} allows nobody" for name, given in self._lists() if given == frozenset()]
        if self.max_per_hour is not None and not 0 < self.max_per_hour <= LARGEST_RATE:
            wrong.append(f"max_per_hour is a number from 1 to {LARGEST_RATE}")
        if self.valid_until is not None and self.valid_until.tzinfo is None:
            wrong.append("until needs a time zone")
        return tuple(wrong)

    def _lists(self) -> tuple[tuple[str, frozenset[str] | None], ...]:
        return ("purposes", self.purposes), ("people", self.people)


@dataclass(frozen=True, slots=True)
class Policy:
    """One stored policy of a service."""

    id: UUID
    service_id: UUID
    terms: Terms


@dataclass(frozen=True, slots=True)
class Question:
    """One request, as policy sees it."""

    provider: str
    kind: str
    person_id: UUID | None
    """Null for somebody the product's own token names and nobody here knows yet."""
    tenant: str | None
    """Of the account; null when it has none, or when there is no connection yet."""
    granted_scopes: tuple[str, ...]
    features: tuple[Feature, ...]
    scopes: tuple[str, ...]
    """Asked for by name."""
    purpose: str | None
    is_present: bool
    """Whether the person's own token was shown."""
    at: datetime


class Refusal(StrEnum):
    """Why policy says no."""

    UNKNOWN = "unknown"
    """No policy lets the service know of this person at this provider: it learns nothing more."""
    ACT_AS = "act_as"
    """The service may not name the person itself."""
    PURPOSE = "purpose"
    FEATURES = "features"
    """A feature was asked for that is not allowed."""
    SCOPE = "scope"
    """A scope was asked for that is not allowed."""
    SCOPES = "scopes"
    """The person granted more than is allowed, and a token carries everything that was granted."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """Policy says yes."""

    policy_ids: tuple[UUID, ...]
    """The policies it rests on."""
    features: frozenset[Feature]
    limits: tuple[tuple[UUID, int], ...]
    """Those of them that count hand-outs, with the most per hour."""


@dataclass(frozen=True, slots=True)
class Denied:
    """Policy says no."""

    why: Refusal
    policy_id: UUID | None = None
    """The one policy that came closest; null when there are several or none."""


def known_to(policies: Sequence[Policy], question: Question) -> tuple[Policy, ...]:
    """Return the policies that let the service know of this person at this provider."""
    return tuple(policy for policy in policies if _concerns(policy.terms, question))


def decide(policies: Sequence[Policy], question: Question) -> Allowed | Denied:
    """Return what the ``policies`` of a service say to ``question``.

    Policies without a limit are used first, then as few limited ones as needed, in their order.
    """
    found = known_to(policies, question)
    if not found:
        return Denied(Refusal.UNKNOWN)
    trusting = tuple(policy for policy in found if policy.terms.act_as or question.is_present)
    if not trusting:
        return Denied(Refusal.ACT_AS, _only(found))
    serving = tuple(p for p in trusting if p.terms.purposes is None or question.purpose in p.terms.purposes)
    if not serving:
        return Denied(Refusal.PURPOSE, _only(trusting))
    return _add_up(serving, question)


def _add_up(policies: Sequence[Policy], question: Question) -> Allowed | Denied:
    limited = [policy for policy in policies if policy.terms.max_per_hour is not None]
    used = [policy for policy in policies if policy.terms.max_per_hour is None]
    while (why_not := _lacks(used, question)) is not None:
        if not limited:
            return Denied(why_not, _only(policies))
        policy = limited.pop(0)
        # One that brings nothing new must not be charged.
        if not used or not policy.terms.features <= _features(used):
            used.append(policy)
    return Allowed(
        tuple(policy.id for policy in used),
        _features(used),
        tuple((p.id, p.terms.max_per_hour) for p in used if p.terms.max_per_hour is not None),
    )


def _concerns(terms: Terms, question: Question) -> bool:
    return (
        terms.provider in (None, question.provider)
        and (terms.valid_until is None or terms.valid_until > question.at)
        and (terms.people is None or not terms.people.isdisjoint(_selectors(question)))
    )


def _lacks(policies: Sequence[Policy], question: Question) -> Refusal | None:
    """Return what of the question ``policies`` together do not allow; null when they allow all."""
    if not policies:
        return Refusal.FEATURES
    allowed = _features(policies)
    if not allowed.issuperset(question.features):
        return Refusal.FEATURES
    if scopes_beyond(question.kind, question.scopes, allowed):
        return Refusal.SCOPE
    if scopes_beyond(question.kind, question.granted_scopes, allowed):
        return Refusal.SCOPES
    return None


def _features(policies: Sequence[Policy]) -> frozenset[Feature]:
    return frozenset({Feature.IDENTITY}).union(*(policy.terms.features for policy in policies))


def _selectors(question: Question) -> frozenset[str]:
    """Return the selectors that fit the person. Tenants are domain names and ids: case says nothing."""
    found = [f"person:{question.person_id}"] if question.person_id is not None else []
    if question.tenant:
        found.append(f"tenant:{question.tenant.lower()}")
    return frozenset(found)


def _only(policies: Sequence[Policy]) -> UUID | None:
    return policies[0].id if len(policies) == 1 else None
