"""Would a request get a token, and if not, what stands in the way: everything at once, without asking the provider."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.connections import Connection
from app.domain.errors import (
    BreakerOpen,
    LatchkeyError,
    ProviderThrottled,
    RateLimited,
    ValidityUnattainable,
)
from app.domain.people import Service
from app.domain.policies import Allowed
from app.domain.rates import HandOutRates, TokenBuckets
from app.ports import Clock, ProviderGate
from app.services.hourly_quota import HourlyQuota
from app.services.resolution import CHECKS, Resolved, Resolver
from app.services.token_exchange import DEFAULT_MIN_VALIDITY_S, ExchangeRequest

_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    """``authentication``, ``target``, ``policy``, ``person``, ``consent``, ``scopes``, ``health`` or ``rate``."""
    is_passed: bool | None
    """Null: not looked at, because it needs something that is not there."""
    error: LatchkeyError | None = None
    """What an exchange would be refused with for this alone; null unless it failed."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """All checks, in the order in which an exchange makes them."""

    checks: tuple[Check, ...]
    connection: Connection | None
    """Null when there is none the service may know of."""

    @property
    def would_work(self) -> bool:
        """Return whether nothing stands in the way that can be known beforehand."""
        return all(check.is_passed for check in self.checks)


_AFTER_TARGET = (*CHECKS, "health", "rate")


@dataclass(frozen=True)
class Explain:
    """Looks at what an exchange would look at, and leaves no trace: nothing is handed out, counted or refreshed."""

    resolver: Resolver
    gate: ProviderGate
    rates: HandOutRates
    own_rates: TokenBuckets
    """How often a service may ask for explanations."""
    quota: HourlyQuota
    clock: Clock

    def explain(self, service: Service, request: ExchangeRequest) -> Explanation:
        """Return the explanation; raises ``RateLimited`` for a caller in a loop, and ``StoreUnavailable``."""
        wait_s = self.own_rates.take(("explain", service.id))
        if wait_s:
            raise RateLimited("explanations", retry_after_s=wait_s)
        known = Check("authentication", is_passed=True)
        try:
            found = self.resolver.resolve(service.id, request.ask)
        except LatchkeyError as error:
            unknown = tuple(Check(name, is_passed=None) for name in _AFTER_TARGET)
            return Explanation((known, Check("target", is_passed=False, error=error), *unknown), None)
        results = {name: check(found) for name, check in CHECKS.items()}
        results["health"] = self._health(found, request)
        results["rate"] = self._rate(service, found)
        checks = (Check(name, is_passed=error is None, error=error) for name, error in results.items())
        return Explanation((known, Check("target", is_passed=True), *checks), found.connection)

    def _health(self, found: Resolved, request: ExchangeRequest) -> LatchkeyError | None:
        """Return why there would be no token of the wanted validity now, as far as is known without a call."""
        connection, now = found.connection, self.clock()
        wanted_s = DEFAULT_MIN_VALIDITY_S if request.min_validity_s is None else request.min_validity_s
        issued_at, expires_at = connection.last_refreshed_at, connection.access_expires_at
        if expires_at is not None and (expires_at - now).total_seconds() >= wanted_s:
            return None
        if issued_at and expires_at and (expires_at - issued_at).total_seconds() < wanted_s:
            return ValidityUnattainable()
        if connection.provider in self.gate.open_providers():
            return BreakerOpen("breaker")
        held_until = found.tokens.next_attempt_at
        if held_until is not None and held_until > now:
            return ProviderThrottled("backing_off", retry_after_s=(held_until - now).total_seconds())
        return None

    def _rate(self, service: Service, found: Resolved) -> LatchkeyError | None:
        wait_s = self.rates.wait_s(service.id, found.ask.subject)
        if wait_s:
            return RateLimited("requests", retry_after_s=wait_s)
        limits = found.verdict.limits if isinstance(found.verdict, Allowed) else ()
        if any(self.quota.is_spent(policy_id, limit) for policy_id, limit in limits):
            return RateLimited("policy", retry_after_s=_HOUR_S - self.clock().timestamp() % _HOUR_S)
        return None
