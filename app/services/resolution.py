"""The one resolver: which connection a request means, and what stands between it and a token.

The checks are a list, so that a hand-out stops at the first that fails and an explanation shows them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.domain.connections import Connection, Status
from app.domain.errors import (
    AccountAmbiguous,
    AwaitingCompletion,
    ClientFrozen,
    ConnectionPaused,
    LatchkeyError,
    NeverConnected,
    NotAllowed,
    ReconnectRequired,
    ScopeNotAllowed,
    ScopeNotGranted,
    ScopesMissing,
    ServiceBlocked,
    UnknownConnection,
    UnknownProvider,
)
from app.domain.features import Feature, missing_scopes
from app.domain.policies import Allowed, Denied, Policy, Question, Refusal, decide, known_to
from app.domain.resources import kind_of_resource
from app.domain.subjects import Subject, SubjectMode
from app.ports import Block, Clock, Providers, Standing, Store, StoredTokens, Transaction


@dataclass(frozen=True, slots=True)
class Ask:
    """What a service asks for: everything a decision depends on, and nothing else."""

    subject: Subject
    audience: str | None = None
    """Provider key; null when a connection or a resource tells."""
    resource: str | None = None
    """Address of a provider's API, one of its scopes, or an issuer; null when not given."""
    features: tuple[Feature, ...] = ()
    scopes: tuple[str, ...] = ()
    purpose: str | None = None
    account: str | None = None
    """The account's subject at the provider or its e-mail address, to choose among several."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A connection the service may know of, with everything a decision rests on; never a token in clear."""

    ask: Ask
    tokens: StoredTokens
    standing: Standing
    question: Question
    verdict: Allowed | Denied
    at: datetime

    @property
    def connection(self) -> Connection:
        """Return the connection."""
        return self.tokens.connection


@dataclass(frozen=True)
class Resolver:
    """Finds the connection of a request."""

    store: Store
    providers: Providers
    clock: Clock

    def resolve(self, service_id: UUID, ask: Ask) -> Resolved:
        """Return the connection that ``ask`` means, with what policy says.

        Raises ``UnknownConnection`` when there is none or the service may not know of it: the same error after the
        same queries. Raises ``UnknownProvider`` (answered alike), ``NeverConnected``, ``AccountAmbiguous``,
        ``NotAllowed`` when policy forbids even a connection that is not there yet, and ``ClientFrozen``: whoever
        authenticated the service may have done so a while ago.
        """
        keys = self._keys(ask)
        with self.store.reading() as tx:
            if ask.subject.connection_id is None:
                return self._of_person(tx, service_id, ask, keys)
            return self._of_connection(tx, service_id, ask, keys)

    def _keys(self, ask: Ask) -> frozenset[str] | None:
        """Return the providers that fit audience and resource; null when neither was given."""
        if ask.audience is None and ask.resource is None:
            return None
        kind = None if ask.resource is None else kind_of_resource(ask.resource)
        keys = frozenset(
            provider.key
            for provider in self.providers.all()
            if ask.audience in (None, provider.key)
            and (ask.resource is None or provider.kind == kind or provider.issuer() == ask.resource)
        )
        if not keys:
            raise UnknownProvider
        return keys

    def _of_connection(
        self, tx: Transaction, service_id: UUID, ask: Ask, keys: frozenset[str] | None, chosen: UUID | None = None
    ) -> Resolved:
        connection_id = chosen or ask.subject.connection_id
        assert connection_id is not None  # noqa: S101  # the caller has looked; tells the type checker
        standing = _unfrozen(tx.policies.standing(service_id, connection_id=connection_id))
        tokens = tx.tokens.current(connection_id)
        if tokens is None or not _is_meant(tokens.connection, ask, keys):
            raise UnknownConnection
        question = _question(ask, tokens.connection, self.clock())
        verdict = decide(standing.policies, question)
        if isinstance(verdict, Denied) and verdict.why is Refusal.UNKNOWN:
            raise UnknownConnection
        return Resolved(ask, tokens, standing, question, verdict, question.at)

    def _of_person(self, tx: Transaction, service_id: UUID, ask: Ask, keys: frozenset[str] | None) -> Resolved:
        person_id = ask.subject.person_id
        standing = _unfrozen(tx.policies.standing(service_id, person_id=person_id))
        held = () if person_id is None else tx.connections.of_person(person_id)
        now = self.clock()
        known = tuple(
            c for c in held if _is_meant(c, ask, keys) and known_to(standing.policies, _question(ask, c, now))
        )
        if not known:
            raise self._nothing_there(standing.policies, ask, keys, now)
        if len(known) > 1:
            raise AccountAmbiguous
        return self._of_connection(tx, service_id, ask, keys, known[0].id)

    def _nothing_there(
        self, policies: tuple[Policy, ...], ask: Ask, keys: frozenset[str] | None, now: datetime
    ) -> LatchkeyError:
        """Return the error for a person without a fitting connection; it does not tell whether they exist."""
        providers = [p for p in self.providers.all() if keys is None or p.key in keys]
        verdicts = [decide(policies, _bare_question(ask, p.key, p.kind, now)) for p in providers]
        if any(isinstance(verdict, Allowed) for verdict in verdicts):
            return NeverConnected(providers[0].key if len(providers) == 1 else None)
        denials = [v for v in verdicts if isinstance(v, Denied) and v.why is not Refusal.UNKNOWN]
        return policy_error(denials[0]) if denials else UnknownConnection()


def _unfrozen(standing: Standing) -> Standing:
    if standing.is_frozen:
        raise ClientFrozen
    return standing


def policy_error(denied: Denied) -> LatchkeyError:
    """Return the error for what policy refused."""
    return ScopeNotAllowed() if denied.why is Refusal.SCOPE else NotAllowed(denied.why, policy_id=denied.policy_id)


def _check_policy(found: Resolved) -> LatchkeyError | None:
    mismatch = purpose_error(found.ask.subject, found.ask.purpose)
    if mismatch is not None:
        return mismatch
    return policy_error(found.verdict) if isinstance(found.verdict, Denied) else None


def switch_error(block: Block | None, connection: Connection, now: datetime) -> LatchkeyError | None:
    """Return the error for what the connection's person has switched off; null when nothing is."""
    if block is not None and block.holds(now):
        return ServiceBlocked(block.until)
    if connection.paused_until is not None and connection.paused_until > now:
        return ConnectionPaused(connection.paused_until)
    return AwaitingCompletion() if connection.completion_due_at is not None else None


def consent_error(connection: Connection, now: datetime) -> LatchkeyError | None:
    """Return the error for a grant that only the person can mend; null while it works."""
    if connection.reason is None or connection.still_serves(now):
        return None
    return ReconnectRequired(connection.reason)


def purpose_error(subject: Subject, wanted: str | None) -> LatchkeyError | None:
    """Return the error for a purpose that is not the one the subject's statement is good for; null when it is."""
    stated = subject.purpose
    return NotAllowed("purpose of the statement") if stated is not None and wanted not in (None, stated) else None


def _check_switches(found: Resolved) -> LatchkeyError | None:
    return switch_error(found.standing.block, found.connection, found.at)


def _check_consent(found: Resolved) -> LatchkeyError | None:
    return consent_error(found.connection, found.at)


def _check_scopes(found: Resolved) -> LatchkeyError | None:
    connection, ask = found.connection, found.ask
    lacking = [s for f in ask.features for s in missing_scopes(connection.kind, f, connection.granted_scopes)]
    if lacking:
        return ScopesMissing(lacking)
    granted = {scope.lower() for scope in connection.granted_scopes}
    unmet = [scope for scope in ask.scopes if scope.lower() not in granted]
    return ScopeNotGranted(unmet) if unmet else None


CHECKS: Mapping[str, Callable[[Resolved], LatchkeyError | None]] = {
    "policy": _check_policy,
    "person": _check_switches,
    "consent": _check_consent,
    "scopes": _check_scopes,
}
"""In the order of the answer: what never works before what the person could mend. Null: nothing stands in the way."""


def _is_meant(connection: Connection, ask: Ask, keys: frozenset[str] | None) -> bool:
    """Return whether ``connection`` is one the request can mean."""
    return (
        connection.status is not Status.DISCONNECTED
        and (keys is None or connection.provider in keys)
        and ask.subject.person_id in (None, connection.person_id)
        and (ask.account is None or ask.account == connection.subject or _same_text(ask.account, connection.email))
    )


def _same_text(given: str, known: str | None) -> bool:
    return known is not None and given.casefold() == known.casefold()


def _question(ask: Ask, connection: Connection, now: datetime) -> Question:
    return Question(
        provider=connection.provider,
        kind=connection.kind,
        person_id=connection.person_id,
        tenant=connection.tenant,
        granted_scopes=connection.granted_scopes,
        features=ask.features,
        scopes=ask.scopes,
        purpose=ask.purpose or ask.subject.purpose,
        is_present=ask.subject.mode is SubjectMode.PRESENT,
        at=now,
    )


def _bare_question(ask: Ask, provider: str, kind: str, now: datetime) -> Question:
    """Return the question for a person who has no connection at the provider."""
    return Question(
        provider=provider,
        kind=kind,
        person_id=ask.subject.person_id,
        tenant=None,
        granted_scopes=(),
        features=ask.features,
        scopes=ask.scopes,
        purpose=ask.purpose or ask.subject.purpose,
        is_present=ask.subject.mode is SubjectMode.PRESENT,
        at=now,
    )
