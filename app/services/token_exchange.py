"""The hand-out: one provider access token for one service, under policy, written down (RFC 8693)."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from random import getrandbits
from uuid import UUID

from app.domain.connections import Connection
from app.domain.errors import LatchkeyError, RateLimited, RefreshInProgress
from app.domain.people import Service
from app.domain.policies import Allowed, Denied, decide
from app.domain.rates import HandOutRates
from app.domain.tokens import AccessToken
from app.ports import Clock, HandOut, Sealer
from app.services.access_tokens import AccessTokens
from app.services.brief_cache import KEPT_S, BriefCache
from app.services.hand_out_log import HandOutLog
from app.services.hourly_quota import HourlyQuota, Purse
from app.services.resolution import CHECKS, Ask, Resolved, Resolver

DEFAULT_MIN_VALIDITY_S = 60
"""What we aim at for a caller who does not say what it needs; a shorter token is better than none then."""

_ROUNDS = 3
"""How often an exchange begins anew because what it decided on is not what it would release."""


@dataclass(frozen=True, slots=True)
class ExchangeRequest:
    """What a service asks for, and how good the token must be."""

    ask: Ask
    min_validity_s: int | None = None
    """Null: the caller did not say."""
    rejected_token_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Exchanged:
    """A released token."""

    hand_out_id: UUID
    token: AccessToken
    connection: Connection


class ExchangeRefused(LatchkeyError):
    """No token for this request: ``cause`` says why. ``connection`` is null when the service may not know of one."""

    code = "exchange_refused"

    def __init__(self, cause: LatchkeyError, connection: Connection | None) -> None:
        """Keep both."""
        super().__init__(cause.code)
        self.cause = cause
        self.connection = connection


@dataclass(slots=True)
class _Cleared:
    """A request that nothing stands in the way of, as of ``read_at``: ciphertext, never a token in clear."""

    found: Resolved
    verdict: Allowed
    read_at: float
    """Monotonic, from before the first query."""
    fingerprint: bytes | None = None
    """Of the token of this very generation, once it was opened."""


@dataclass(frozen=True)
class TokenExchange:
    """Decides, fetches, writes down, releases: in this order."""

    resolver: Resolver
    access_tokens: AccessTokens
    sealer: Sealer
    clock: Clock
    log: HandOutLog
    rates: HandOutRates
    """A caller in a loop is stopped before it costs anything."""
    quota: HourlyQuota
    monotonic: Callable[[], float] = time.monotonic
    _cleared: BriefCache[tuple[UUID, Ask], _Cleared] = field(default_factory=BriefCache, init=False)

    def exchange(self, service: Service, request: ExchangeRequest) -> Exchanged:
        """Return a token for the service, or say why not.

        Raises ``RateLimited``, and ``ExchangeRefused`` with any error of ``Resolver.resolve``, of the checks and of
        ``AccessTokens.serve`` in it. A refusal is written down like a release; of the first, only what policy limits,
        once an hour.
        """
        key = (service.id, request.ask)
        wait_s = self.rates.take(service.id, request.ask.subject)
        if wait_s:
            raise RateLimited("requests", retry_after_s=wait_s)
        if request.rejected_token_sha256 is not None:
            self._cleared.forget(key)
        try:
            for _ in range(_ROUNDS):
                exchanged = self._try(service, key, request)
                if exchanged is not None:
                    return exchanged
            raise RefreshInProgress
        except RateLimited:
            raise
        except LatchkeyError as error:
            self._cleared.forget(key)
            raise self._refusal(service, request.ask, error) from error

    def _try(self, service: Service, key: tuple[UUID, Ask], request: ExchangeRequest) -> Exchanged | None:
        """Return a released token; null when the decision was made too long ago, or about another token."""
        cleared = self._cleared.get(key, lambda: self._clear(*key))
        charged = self._charge(service, cleared) if cleared.verdict.limits else ()
        exchanged = None
        try:
            token = self._serve(cleared, request)
            if token.generation != cleared.found.connection.generation:
                # A new token may be good for more than the one that policy was asked about.
                self._cleared.forget(key)
            # Asking the provider may take long, and a person or an operator may have said no meanwhile.
            elif self.monotonic() - cleared.read_at <= KEPT_S:
                exchanged = self._release(service, cleared, token)
        finally:
            if exchanged is None:
                self._give_back(charged)
        return exchanged

    def _clear(self, service_id: UUID, ask: Ask) -> _Cleared:
        """Resolve and check; raises what stands in the way, as ``ExchangeRefused`` once the connection is known."""
        read_at = self.monotonic()
        found = self.resolver.resolve(service_id, ask)
        for check in CHECKS.values():
            error = check(found)
            if error is not None:
                raise ExchangeRefused(error, found.connection)
        assert isinstance(found.verdict, Allowed)  # noqa: S101  # the first check; tells the type checker
        return _Cleared(found, found.verdict, read_at)

    def _serve(self, cleared: _Cleared, request: ExchangeRequest) -> AccessToken:
        wanted_s = DEFAULT_MIN_VALIDITY_S if request.min_validity_s is None else request.min_validity_s
        try:
            return self.access_tokens.serve(
                cleared.found.tokens,
                wanted_s,
                request.rejected_token_sha256,
                at_least_s=1.0 if request.min_validity_s is None else request.min_validity_s,
            )
        except LatchkeyError as error:
            raise ExchangeRefused(error, cleared.found.connection) from error

    def _charge(self, service: Service, cleared: _Cleared) -> tuple[Purse, ...]:
        """Count the hand-out against every limited policy it rests on; returns what it was counted in.

        When one is spent, the others may still allow the request without it. Raises ``RateLimited``, and
        ``StoreUnavailable``; then nothing is counted.
        """
        verdict: Allowed | Denied = cleared.verdict
        spent: dict[UUID, Purse] = {}
        wait_s = 0.0
        while isinstance(verdict, Allowed):
            charged: list[Purse] = []
            try:
                for policy_id, limit in verdict.limits:
                    purse, wait_s = self.quota.spend(policy_id, limit)
                    if wait_s:
                        spent[policy_id] = purse
                        break
                    charged.append(purse)
                else:
                    whole, charged = tuple(charged), []
                    return whole
            finally:
                self._give_back(charged)
            rest = [policy for policy in cleared.found.standing.policies if policy.id not in spent]
            verdict = decide(rest, cleared.found.question)
        limited = RateLimited("policy", retry_after_s=wait_s)
        self._note_limit(service, cleared, spent.values(), limited)
        raise limited

    def _note_limit(self, service: Service, cleared: _Cleared, spent: Collection[Purse], limited: RateLimited) -> None:
        """Write the first refusal by each policy in each hour down: a caller in a loop must not fill the log."""
        if all(purse.is_refusal_logged for purse in spent):
            return
        self._refusal(service, cleared.found.ask, ExchangeRefused(limited, cleared.found.connection))
        # Afterwards: an hour whose line could not be written is tried again. Threads may meet here and write a few.
        for purse in spent:
            purse.is_refusal_logged = True

    def _give_back(self, charged: Sequence[Purse]) -> None:
        for purse in charged:
            self.quota.give_back(purse)

    def _release(self, service: Service, cleared: _Cleared, token: AccessToken) -> Exchanged:
        """Write the hand-out down, then let the token go."""
        found = cleared.found
        if cleared.fingerprint is None:
            cleared.fingerprint = self.sealer.keyed_hash("hand_out", token.token.reveal())
        ask = found.ask
        entry = HandOut(
            id=_hand_out_id(),
            service_id=service.id,
            connection_id=found.connection.id,
            person_id=found.connection.person_id,
            purpose=found.question.purpose,
            features=ask.features,
            scopes=ask.scopes or token.scopes,
            decision="released",
            reason=None,
            token_fingerprint=cleared.fingerprint,
            at=self.clock(),
        )
        self.log.write(entry)
        return Exchanged(entry.id, token, found.connection)

    def _refusal(self, service: Service, ask: Ask, error: LatchkeyError) -> ExchangeRefused:
        """Write the refusal down and return it. What was asked about and is not known of stays out of the log."""
        refused = error if isinstance(error, ExchangeRefused) else ExchangeRefused(error, None)
        connection = refused.connection
        self.log.write(
            HandOut(
                id=_hand_out_id(),
                service_id=service.id,
                connection_id=connection.id if connection else None,
                person_id=connection.person_id if connection else None,
                purpose=ask.purpose or ask.subject.purpose,
                features=ask.features,
                scopes=ask.scopes,
                decision="denied",
                reason=refused.cause.code,
                token_fingerprint=None,
                at=self.clock(),
            )
        )
        return refused


def _hand_out_id() -> UUID:
    """Return a random id. It is unique and no secret, so the kernel is not asked for chance on every request."""
    return UUID(int=getrandbits(128), version=4)
