"""Claim rows whose time has come. PostgreSQL is the scheduler; whoever asks may ask as often as it likes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.ports import Clock, ProviderGate, Providers, Store, Transaction

HOLD = timedelta(seconds=30)
"""How long a claimed row is left to its claimer. A lost task costs this much and nothing else."""

BATCH = 200


@dataclass(frozen=True)
class DueWork:
    """Claims due work of each kind."""

    store: Store
    clock: Clock
    providers: Providers
    gate: ProviderGate
    push_enabled: bool = True

    def refreshes(self) -> tuple[UUID, ...]:
        """Claim connections whose token set is due for refresh, of every provider that may be called at all."""
        paused = self.gate.open_providers()
        keys = [provider.key for provider in self.providers.all() if provider.key not in paused]
        return self._claim(
            lambda tx, now, until: tuple(
                connection_id for key in keys for connection_id in tx.tokens.claim_due(key, now, until, BATCH)
            )
        )

    def calendar_lists(self) -> tuple[UUID, ...]:
        """Claim connections whose calendar list is due."""
        return self._claim(lambda tx, now, until: tx.connections.claim_calendar_lists(now, until, BATCH))

    def syncs(self) -> tuple[UUID, ...]:
        """Claim calendars whose sync is due."""
        return self._claim(lambda tx, now, until: tx.calendars.claim_due(now, until, BATCH))

    def channels(self) -> tuple[UUID, ...]:
        """Claim calendars that need a push channel, or a new one; none while push is switched off."""
        if not self.push_enabled:
            return ()
        return self._claim(lambda tx, now, until: tx.channels.claim_missing(now, until, BATCH))

    def _claim(self, claim: Callable[[Transaction, datetime, datetime], tuple[UUID, ...]]) -> tuple[UUID, ...]:
        now = self.clock()
        with self.store.transaction() as tx:
            return claim(tx, now, now + HOLD)
