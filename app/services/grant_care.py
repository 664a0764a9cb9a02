"""Look after grants nobody uses, grants that are dead, and applications whose grants all end after a week."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.errors import LatchkeyError
from app.domain.grant_care import DeadGrant, IdleGrant, IdlePolicy
from app.ports import Clock, Sealer, Store
from app.services.disconnect import Disconnect

logger = logging.getLogger("latchkey.grants")

BATCH = 500
LET_GO_AT_ONCE = 20
"""Each costs calls to the provider; the next tick goes on."""


@dataclass(frozen=True)
class CareSettings:
    """What an operator decides about grants."""

    idle_policy: IdlePolicy
    idle_after: timedelta
    """How long nobody has used a grant that counts as idle."""
    reap_after: timedelta
    """How long a connection has needed its person before its tokens are deleted."""


@dataclass(frozen=True)
class GrantCare:
    """What the tick does, and what an operator may ask for."""

    store: Store
    sealer: Sealer
    disconnect: Disconnect
    clock: Clock
    settings: CareSettings

    def care(self) -> None:
        """Do everything that is due, a batch of each. Raises ``StoreUnavailable``."""
        self.explain_test_mode()
        self.note_use()
        if self.settings.idle_policy is IdlePolicy.LET_GO:
            self.let_go()
        else:
            self.rest()
        self.reap()

    def explain_test_mode(self) -> None:
        """Give grants that ended with test mode their own reason, and warn about those that will."""
        with self.store.transaction() as tx:
            explained = tx.grant_care.explain_test_mode()
            for connection_id in explained:
                tx.audit.event("test_mode_expired", self.clock(), connection_id=connection_id)
            noted = [key for key, _count in tx.grant_care.in_test_mode() if tx.provider_health.note_test_mode(key)]
        for key in noted:
            logger.warning(
                "provider %s: its grants end seven days after consent; publish the application (status Testing)", key
            )

    def note_use(self) -> None:
        """Write down when connections that seem unused were last used."""
        with self.store.transaction() as tx:
            tx.grant_care.note_use(self._idle_since(), BATCH)

    def rest(self) -> int:
        """Refresh idle grants seldom; returns how many were put off."""
        with self.store.transaction() as tx:
            return tx.grant_care.rest(self._idle_since(), BATCH)

    def idle(self) -> tuple[IdleGrant, ...]:
        """Return grants nobody used for as long as the settings say."""
        with self.store.reading() as tx:
            return tx.grant_care.idle(self._idle_since(), BATCH)

    def let_go(self) -> int:
        """Disconnect idle grants, with a note in their history; returns how many."""
        gone = 0
        for grant in self.idle()[:LET_GO_AT_ONCE]:
            try:
                self.disconnect.disconnect(grant.person_id, grant.connection_id)
            except LatchkeyError as error:
                logger.warning("idle connection %s not let go: %s", grant.connection_id, error.code)
                continue
            with self.store.transaction() as tx:
                tx.audit.event(
                    "let_go", self.clock(), person_id=grant.person_id, connection_id=grant.connection_id,
                    detail={"unused_since": grant.used_at.date().isoformat()},
                )  # fmt: skip
            gone += 1
        return gone

    def dead(self) -> tuple[DeadGrant, ...]:
        """Return connections whose tokens the next ``reap`` deletes."""
        with self.store.reading() as tx:
            return tx.grant_care.dead(self.clock() - self.settings.reap_after, BATCH)

    def reap(self) -> tuple[DeadGrant, ...]:
        """Delete tokens and data keys of dead connections and return those; the rows stay, to be reconnected.

        The fresh data key that takes the old one's place is what a reconnect seals with.
        """
        dead_since = self.clock() - self.settings.reap_after
        reaped = tuple(grant for grant in self.dead() if self._bury(grant, dead_since=dead_since))
        if reaped:
            logger.info("tokens of %d dead connections deleted", len(reaped))
        return reaped

    def _bury(self, grant: DeadGrant, *, dead_since: datetime) -> bool:
        fresh_key = self.sealer.new_data_key(grant.connection_id)
        with self.store.transaction() as tx:
            is_done = tx.grant_care.bury(grant.connection_id, dead_since, fresh_key)
            if is_done:
                detail = {"reason": grant.reason, "since": grant.since.date().isoformat()}
                tx.audit.event("tokens_deleted", self.clock(), connection_id=grant.connection_id, detail=detail)
        return is_done

    def _idle_since(self) -> datetime:
        return self.clock() - self.settings.idle_after
