"""What an operator sees of the provider applications, and what they may decide about them."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.breaker import ADVICE, Cause, Health
from app.ports import Clock, Providers, Store

BELIEVED_FOR_S = 3600.0
"""How long an operator's word about refused grants counts: enough for all of them to be confirmed."""


@dataclass(frozen=True, slots=True)
class ProviderStatus:
    """One configured provider."""

    key: str
    kind: str
    rotation: str
    health: Health | None
    """Null when it never was in trouble."""
    ending_in_a_week: int
    """Living grants that end seven days after consent, because the application is in test mode."""

    @property
    def advice(self) -> str | None:
        """Return what to do about a breaker that is open; null while it is closed."""
        return ADVICE[self.health.cause] if self.health is not None and self.health.cause is not None else None


@dataclass(frozen=True)
class ProviderOverview:
    """Reads the state of providers and takes an operator's decisions. Raises ``UnknownProvider``."""

    store: Store
    providers: Providers
    clock: Clock

    def all(self) -> tuple[ProviderStatus, ...]:
        """Return every configured provider."""
        with self.store.reading() as tx:
            health = {one.provider: one for one in tx.provider_health.all()}
            ending = dict(tx.grant_care.in_test_mode())
        return tuple(
            ProviderStatus(one.key, one.kind, one.rotation.value, health.get(one.key), ending.get(one.key, 0))
            for one in self.providers.all()
        )

    def check_credentials(self, key: str) -> tuple[str, ...]:
        """Ask the provider once per credential, newest first: ``accepted``, ``refused`` or another code."""
        return self.providers.get(key).check_credentials()

    def retry_now(self, key: str) -> bool:
        """Let the next call to a paused provider pass as a probe; returns whether calls were paused."""
        self.providers.get(key)
        with self.store.transaction() as tx:
            was_open = tx.provider_health.retry_now(key)
            if was_open:
                tx.audit.event("breaker_retried", self.clock(), detail={"provider": key})
        return was_open

    def believe(self, key: str) -> None:
        """Take the provider's refusals of grants as genuine for ``BELIEVED_FOR_S``: they end connections again."""
        self.providers.get(key)
        with self.store.transaction() as tx:
            tx.provider_health.believe(key, BELIEVED_FOR_S)
            tx.audit.event("refusals_believed", self.clock(), detail={"provider": key, "cause": Cause.REFUSALS.value})
