"""Whose calendars a service may read, and how much of them: the same rules as for tokens, for many people at once.

The data is here already, so what the person granted beyond calendars does not matter, as it does for a token, which
carries everything. All else holds alike: policy, the person's switches, the state of the grant, rates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.domain.calendar_reading import Reach, reach_allowed
from app.domain.connections import Connection
from app.domain.errors import (
    ClientFrozen,
    LatchkeyError,
    NeverConnected,
    RateLimited,
    ScopesMissing,
    UnknownConnection,
)
from app.domain.features import Feature, missing_scopes, offered_features
from app.domain.people import Service
from app.domain.policies import Allowed, Denied, Policy, Question, Refusal, known_to
from app.domain.rates import HandOutRates
from app.domain.reading_errors import CalendarsUnread
from app.domain.subjects import Subject, SubjectMode
from app.ports import Block, Clock, PeopleStanding, Provider, Providers, Standing, Transaction
from app.services.hourly_quota import HourlyQuota, Purse
from app.services.resolution import consent_error, policy_error, purpose_error, switch_error

_NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose calendars are asked for, and what for."""

    subjects: tuple[Subject, ...]
    """Each names a person, or nobody known here. Empty: everybody the service may see without a token of theirs."""
    purpose: str | None = None
    needs_details: bool = False
    """Whether times alone are of no use."""


@dataclass(frozen=True, slots=True)
class Readable:
    """A connection whose calendars may be read."""

    connection: Connection
    reach: Reach
    verdict: Allowed
    question: Question


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a person's calendars, or those of one of their accounts, may not be read."""

    person_id: UUID | None
    """As the service named them; null for somebody nobody here knows."""
    error: LatchkeyError
    connection: Connection | None = None
    """Null when the service may not know of one."""


@dataclass(frozen=True, slots=True)
class Access:
    """What was decided about everybody who was asked for."""

    readable: tuple[Readable, ...]
    refused: tuple[Refused, ...]
    people: PeopleStanding
    policies: tuple[Policy, ...]


class ReadRefused(LatchkeyError):
    """The one person asked for cannot be answered about: ``cause`` says why, ``connection`` as in ``Refused``."""

    code = "read_refused"

    def __init__(self, refused: Refused) -> None:
        """Keep both."""
        super().__init__(refused.error.code)
        self.cause = refused.error
        self.connection = refused.connection


@dataclass(frozen=True)
class CalendarAccess:
    """Decides, and counts what is read."""

    providers: Providers
    rates: HandOutRates
    quota: HourlyQuota
    clock: Clock

    def slow_down(self, service: Service, asked: Asked) -> None:
        """Raise ``RateLimited`` for a caller in a loop."""
        for subject in asked.subjects or (Subject(SubjectMode.ABSENT),):
            wait_s = self.rates.take(service.id, subject)
            if wait_s:
                raise RateLimited("requests", retry_after_s=wait_s)

    def decide(self, tx: Transaction, service: Service, asked: Asked) -> Access:
        """Return who may be read.

        Raises ``ClientFrozen``, and ``ReadRefused`` when one person was asked for and is refused.
        """
        access = self._everybody(tx, service, asked) if not asked.subjects else self._named(tx, service, asked)
        if len(asked.subjects) == 1 and not access.readable:
            raise ReadRefused(access.refused[0])
        return access

    def charge(self, access: Access, read: Iterable[Readable]) -> tuple[Purse, ...]:
        """Count one read of each against the limited policies it rests on; returns what it was counted in.

        Raises ``RateLimited``, and ``StoreUnavailable``; then nothing is counted.
        """
        charged: list[Purse] = []
        try:
            for one in read:
                charged += self._charge(access.policies, one)
        except LatchkeyError:
            self.give_back(charged)
            raise
        return tuple(charged)

    def give_back(self, charged: Iterable[Purse]) -> None:
        """Take back what was counted for an answer that did not leave."""
        for purse in charged:
            self.quota.give_back(purse)

    def _charge(self, policies: Sequence[Policy], one: Readable) -> list[Purse]:
        verdict: Allowed | Denied = one.verdict
        reach: Reach | None = one.reach
        spent: set[UUID] = set()
        wait_s = 0.0
        # Without a spent policy others may still allow as much; less would be a different answer.
        while isinstance(verdict, Allowed) and reach is one.reach:
            charged: list[Purse] = []
            for policy_id, limit in verdict.limits:
                purse, wait_s = self.quota.spend(policy_id, limit)
                if wait_s:
                    spent.add(policy_id)
                    break
                charged.append(purse)
            else:
                return charged
            self.give_back(charged)
            verdict, reach = reach_allowed([policy for policy in policies if policy.id not in spent], one.question)
        raise RateLimited("policy", retry_after_s=wait_s)

    def _named(self, tx: Transaction, service: Service, asked: Asked) -> Access:
        ids = {subject.person_id for subject in asked.subjects if subject.person_id is not None}
        people = tx.calendar_reading.people(service.id, ids)
        policies = _policies(people.standing)
        readable: list[Readable] = []
        refused: list[Refused] = []
        for subject in asked.subjects:
            held = [one for one in people.connections if one.person_id == subject.person_id and _has_calendars(one)]
            for found in self._of_person(policies, people, subject, asked, held):
                (readable if isinstance(found, Readable) else refused).append(found)  # type: ignore[arg-type]  # sorted
        return Access(tuple(readable), tuple(refused), people, policies)

    def _of_person(
        self,
        policies: tuple[Policy, ...],
        people: PeopleStanding,
        subject: Subject,
        asked: Asked,
        held: Sequence[Connection],
    ) -> list[Readable | Refused]:
        now = self.clock()
        known = [one for one in held if known_to(policies, _question(subject, asked, one, now))]
        if not known:
            return [Refused(subject.person_id, self._nothing_there(policies, subject, asked, now))]
        block = people.blocks.get(known[0].person_id)
        return [_decided(policies, block, one, _question(subject, asked, one, now), subject, asked) for one in known]

    def _nothing_there(
        self, policies: tuple[Policy, ...], subject: Subject, asked: Asked, now: datetime
    ) -> LatchkeyError:
        """Return the error for a person without a fitting connection; it does not tell whether they exist."""
        providers = [p for p in self.providers.all() if Feature.CALENDAR_READ in offered_features(p.kind)]
        verdicts = [reach_allowed(policies, _bare_question(subject, asked, p, now))[0] for p in providers]
        if any(isinstance(verdict, Allowed) for verdict in verdicts):
            return NeverConnected(providers[0].key if len(providers) == 1 else None)
        denials = [v for v in verdicts if isinstance(v, Denied) and v.why is not Refusal.UNKNOWN]
        return policy_error(denials[0]) if denials else UnknownConnection()

    def _everybody(self, tx: Transaction, service: Service, asked: Asked) -> Access:
        now, subject = self.clock(), Subject(SubjectMode.ABSENT)
        standing = tx.policies.standing(service.id, person_id=_NOBODY)
        policies = _policies(standing)
        found = [
            _decided(policies, None, one, _question(subject, asked, one, now), subject, asked)
            for one in tx.connections.visible_to(service.id, None, now)
            if _has_calendars(one)
        ]
        readable = tuple(one for one in found if isinstance(one, Readable))
        # What policy does not allow here was not asked for by name.
        refused = tuple(one for one in found if isinstance(one, Refused) and one.connection is not None)
        return Access(readable, refused, PeopleStanding(standing, {}, {}, ()), policies)


def _decided(
    policies: tuple[Policy, ...],
    block: Block | None,
    connection: Connection,
    question: Question,
    subject: Subject,
    asked: Asked,
) -> Readable | Refused:
    verdict, reach = reach_allowed(policies, question)
    checks: tuple[Callable[[], LatchkeyError | None], ...] = (
        lambda: purpose_error(subject, asked.purpose),
        lambda: policy_error(verdict) if isinstance(verdict, Denied) else None,
        lambda: policy_error(Denied(Refusal.FEATURES)) if asked.needs_details and reach is Reach.TIMES else None,
        lambda: switch_error(block, connection, question.at),
        lambda: consent_error(connection, question.at),
        lambda: _scope_error(connection, reach, asked),
        lambda: CalendarsUnread() if connection.calendars_listed_at is None else None,
    )
    for position, check in enumerate(checks):
        error = check()
        if error is not None:
            # Of a connection that policy does not open, its state is nobody's business.
            return Refused(connection.person_id, error, connection if position > 2 or asked.subjects else None)
    assert isinstance(verdict, Allowed)  # noqa: S101  # the checks have looked; tells the type checker
    assert reach is not None  # noqa: S101  # as above
    granted = reach if not missing_scopes(connection.kind, Feature.CALENDAR_READ, connection.granted_scopes) else None
    return Readable(connection, granted or Reach.TIMES, verdict, question)


def _scope_error(connection: Connection, reach: Reach | None, asked: Asked) -> LatchkeyError | None:
    """Return the error for a grant without calendars; times are enough where details were not asked for."""
    lacking = missing_scopes(connection.kind, Feature.CALENDAR_READ, connection.granted_scopes)
    if not lacking:
        return None
    least = missing_scopes(connection.kind, Feature.CALENDAR_FREEBUSY, connection.granted_scopes)
    if not asked.needs_details and not least:
        return None
    return ScopesMissing(lacking if reach is Reach.DETAILS else least)


def _policies(standing: Standing) -> tuple[Policy, ...]:
    if standing.is_frozen:
        raise ClientFrozen
    return standing.policies


def _has_calendars(connection: Connection) -> bool:
    return Feature.CALENDAR_READ in offered_features(connection.kind)


def _question(subject: Subject, asked: Asked, connection: Connection, now: datetime) -> Question:
    return Question(
        provider=connection.provider,
        kind=connection.kind,
        person_id=connection.person_id,
        tenant=connection.tenant,
        granted_scopes=(),
        features=(),
        scopes=(),
        purpose=asked.purpose or subject.purpose,
        is_present=subject.mode is SubjectMode.PRESENT,
        at=now,
    )


def _bare_question(subject: Subject, asked: Asked, provider: Provider, now: datetime) -> Question:
    """Return the question for a person who has no connection at the provider."""
    return Question(
        provider=provider.key,
        kind=provider.kind,
        person_id=subject.person_id,
        tenant=None,
        granted_scopes=(),
        features=(),
        scopes=(),
        purpose=asked.purpose or subject.purpose,
        is_present=subject.mode is SubjectMode.PRESENT,
        at=now,
    )
