"""The gate in front of each provider application: breaker, budget, and a cap of calls under way.

The breaker is a row all processes share and read at most every 0.8 s; a call that goes well writes nothing. Whoever
sees enough failures opens it, one probe at a time tries the way, and after it closes calls resume at a spread rate.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from app.domain.breaker import (
    ADVICE,
    REFUSAL_WINDOW_S,
    Cause,
    Health,
    Opening,
    Outcome,
    Recent,
    cause_of,
)
from app.domain.errors import BreakerOpen, LatchkeyError, ProviderThrottled, StoreUnavailable
from app.ports import CallBudget, Clock, Draw, Spread, Store
from app.services.brief_cache import BriefCache
from app.services.calls_under_way import CallsUnderWay

logger = logging.getLogger("latchkey.gate")

PROBE_S = 45.0
"""Above the 20 s deadline of a token call and the storing of its answer; a probe that dies costs this much."""

ASK_AGAIN_S = 2.0
"""What a caller is told while a probe or a full house stands in its way."""


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What one provider application is asked at most."""

    calls_per_s: float
    calls_burst: float
    connection_calls_per_s: float
    connection_calls_burst: float


DEFAULT_LIMITS: Mapping[str, CallLimits] = {
    "google": CallLimits(100, 100, 0.2, 30),
    "microsoft": CallLimits(100, 100, 0.2, 30),
    "oidc": CallLimits(60, 60, 0.2, 30),
}
"""By kind of provider. Neither Google nor Microsoft publishes a limit for token calls. Ten thousand grants that expire
in one minute are through in under two at 100 a second and in under three at 60; more nobody needs, and a company's own
server gets less. One grant needs a call in half an hour; one in five seconds, after thirty at will, leaves room for
tokens of a minute and for whoever mends something by hand, and stops a caller in a loop."""


class BreakerGate:
    """Implements ``ports.ProviderGate``. One per process: it remembers what this process saw."""

    def __init__(  # noqa: PLR0913, PLR0917 - what it works with
        self,
        store: Store,
        budget: CallBudget,
        limits: Mapping[str, CallLimits],
        most_under_way: int,
        clock: Clock,
        spread: Spread,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``limits`` by provider key; ``most_under_way`` calls of one provider pass at a time."""
        self._store = store
        self._budget = budget
        self._limits = limits
        self._clock = clock
        self._spread = spread
        self._monotonic = monotonic
        self._under_way = CallsUnderWay(most_under_way, monotonic)
        self._kept: BriefCache[str, Mapping[str, Health]] = BriefCache(monotonic, is_patient=False)
        self._recent: dict[str, Recent] = defaultdict(Recent)
        self._probes: dict[str, UUID] = {}
        self._lock = threading.Lock()

    def admit(self, provider: str, connection_id: UUID) -> None:
        """Let one token call pass; raises ``BreakerOpen`` or ``ProviderThrottled``."""
        health = self._health(provider)
        is_probe = health is not None and health.cause is not None and self._probes_now(health, connection_id)
        if not self._under_way.enter(provider, connection_id):
            self._end_probe(provider, connection_id)
            raise ProviderThrottled("in_flight", retry_after_s=ASK_AGAIN_S)
        # A second caller of the same connection makes no call of its own: the lease sees to that.
        if is_probe or self._under_way.is_joined(provider, connection_id):
            return
        wait_s = self._budget.draw(self._draws(provider, connection_id, health))
        if wait_s > 0:
            self._under_way.leave(provider, connection_id)
            raise ProviderThrottled("budget", retry_after_s=wait_s)

    def note(self, provider: str, connection_id: UUID, error: LatchkeyError | None) -> None:
        """Take in how a call that was admitted ended; ``error`` null is a success. Never raises."""
        self._under_way.leave(provider, connection_id)
        self._budget.charge(replace(self._connection_draw(provider, connection_id), calls=1))
        try:
            self._judge(provider, connection_id, error)
        except StoreUnavailable:
            # Without the database there are no leases, so there are no calls to stop either.
            logger.warning("state of provider %s not written: the database is away", provider)

    def withdraw(self, provider: str, connection_id: UUID) -> None:
        """Take back an admission that was not used: no call was made. Never raises."""
        if self._under_way.leave(provider, connection_id):
            self._budget.charge(replace(self._provider_draw(provider), calls=-1))
        self._end_probe(provider, connection_id)

    def open_providers(self) -> tuple[str, ...]:
        """Return the keys of the providers whose calls are paused; empty when the database does not answer."""
        return tuple(key for key, health in self._healths().items() if health.is_open)

    def _healths(self) -> Mapping[str, Health]:
        try:
            return self._kept.get("all", self._load)
        except StoreUnavailable:
            return {}

    def _health(self, provider: str) -> Health | None:
        return self._healths().get(provider)

    def _load(self) -> Mapping[str, Health]:
        with self._store.reading() as tx:
            found = {health.provider: health for health in tx.provider_health.all()}
        with self._lock:
            for key, health in found.items():
                if health.cause is not None:
                    # What failed before somebody opened it must not open it again after the closing.
                    self._recent.pop(key, None)
        return found

    def _probes_now(self, health: Health, connection_id: UUID) -> bool:
        """Return true when this call is the probe of an open breaker; raises ``BreakerOpen`` otherwise."""
        wait_s = health.open_for_s
        if not health.is_open:
            wait_s = ASK_AGAIN_S
            if self._claim_probe(health.provider):
                with self._lock:
                    self._probes[health.provider] = connection_id
                return True
        # Jittered upwards: whoever was told to wait must not come back all at once.
        raise BreakerOpen(str(health.cause), retry_after_s=max(wait_s, ASK_AGAIN_S) * (1 + self._spread() / 2))

    def _claim_probe(self, provider: str) -> bool:
        try:
            with self._store.transaction() as tx:
                return tx.provider_health.claim_probe(provider, PROBE_S)
        except StoreUnavailable:
            return False
        finally:
            self._kept.forget("all")

    def _end_probe(self, provider: str, connection_id: UUID) -> None:
        """Give up the probe if this connection has it: it told nothing."""
        if not self._was_probe(provider, connection_id):
            return
        try:
            with self._store.transaction() as tx:
                tx.provider_health.release_probe(provider)
        except StoreUnavailable:
            logger.warning("probe of provider %s ends by itself: the database is away", provider)
        self._kept.forget("all")

    def _was_probe(self, provider: str, connection_id: UUID) -> bool:
        with self._lock:
            if self._probes.get(provider) != connection_id:
                return False
            del self._probes[provider]
            return True

    def _judge(self, provider: str, connection_id: UUID, error: LatchkeyError | None) -> None:
        cause = cause_of(error)
        if error is not None and cause is None:
            self._end_probe(provider, connection_id)
            return
        health = self._health(provider)
        if self._was_probe(provider, connection_id):
            self._judge_probe(provider, health, cause, error)
        elif (health is None or health.cause is None) and not (
            cause is Cause.REFUSALS and health is not None and health.is_believing
        ):
            self._count(provider, connection_id, cause, error)

    def _judge_probe(
        self, provider: str, health: Health | None, cause: Cause | None, error: LatchkeyError | None
    ) -> None:
        # A refused grant shows that the provider answers and knows us, unless that was the trouble.
        is_well = cause is None or (cause is Cause.REFUSALS and (health is None or health.cause is not cause))
        with self._store.transaction() as tx:
            if is_well:
                rate = tx.provider_health.close(provider)
                tx.audit.event("breaker_closed", self._clock(), detail={"provider": provider})
                logger.warning("breaker_closed %s: calls resume with %.1f per second at most", provider, rate)
            elif cause is not None:
                code = _code(error)
                tx.provider_health.reopen(provider, cause, code, self._spread(), _wish_s(error))
                logger.warning("breaker of %s stays open: cause %s, code %s", provider, cause, code)
        self._kept.forget("all")

    def _count(self, provider: str, connection_id: UUID, cause: Cause | None, error: LatchkeyError | None) -> None:
        suspects = self._suspects(provider) if cause is Cause.REFUSALS else 0
        outcome = Outcome(self._monotonic(), connection_id, cause, _wish_s(error))
        with self._lock:
            opening = self._recent[provider].add(outcome, suspects_elsewhere=suspects)
            if opening is not None:
                # What led to one opening must not lead to the next.
                del self._recent[provider]
        if opening is not None:
            self._open(provider, opening, _code(error))

    def _suspects(self, provider: str) -> int:
        with self._store.reading() as tx:
            return tx.provider_health.suspects(provider, REFUSAL_WINDOW_S)

    def _open(self, provider: str, opening: Opening, code: str) -> None:
        with self._store.transaction() as tx:
            is_ours = tx.provider_health.open(provider, opening.cause, code, self._spread(), opening.wish_s)
            if is_ours:
                detail = {"provider": provider, "cause": opening.cause.value, "code": code}
                tx.audit.event("breaker_opened", self._clock(), detail=detail)
        self._kept.forget("all")
        if is_ours:
            logger.error("breaker_open %s: cause %s, code %s; %s", provider, opening.cause, code, ADVICE[opening.cause])

    def _draws(self, provider: str, connection_id: UUID, health: Health | None) -> tuple[Draw, ...]:
        draws = (self._provider_draw(provider), self._connection_draw(provider, connection_id))
        rate = health.resumption_per_s if health is not None else None
        return draws if rate is None else (*draws, Draw(f"{provider}:resumption", rate, rate))

    def _provider_draw(self, provider: str) -> Draw:
        limits = self._limits_of(provider)
        return Draw(provider, limits.calls_per_s, limits.calls_burst)

    def _connection_draw(self, provider: str, connection_id: UUID) -> Draw:
        """Return a look into the connection's bucket: it is charged when a call was really made."""
        limits = self._limits_of(provider)
        bucket = f"{provider}:{connection_id}"
        return Draw(bucket, limits.connection_calls_per_s, limits.connection_calls_burst, calls=0)

    def _limits_of(self, provider: str) -> CallLimits:
        # A provider may leave the configuration while its connections stay; the call itself is refused later.
        return self._limits.get(provider, DEFAULT_LIMITS["oidc"])


def _code(error: LatchkeyError | None) -> str:
    return "" if error is None else error.detail or error.code


def _wish_s(error: LatchkeyError | None) -> float:
    return error.retry_after_s or 0.0 if isinstance(error, ProviderThrottled) else 0.0
