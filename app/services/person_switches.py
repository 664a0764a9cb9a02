"""What people decide themselves about hand-outs: switch a service off, pause a connection. All of it audited."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.domain.connections import Status
from app.domain.errors import UnknownConnection
from app.ports import Block, Clock, Store, Transaction


@dataclass(frozen=True)
class PersonSwitches:
    """Takes effect on every process within a second."""

    store: Store
    clock: Clock

    def block(self, person_id: UUID, service_id: UUID, until: datetime | None = None) -> None:
        """Let a service get nothing of this person before ``until``; null until they lift it.

        Raises ``ValueError`` for a service that does not exist or an end that is past.
        """
        now = self.clock()
        _refuse_past(until, now)
        with self.store.transaction() as tx:
            if tx.services.by_id(service_id) is None:
                raise ValueError("there is no such service")
            tx.policies.block(person_id, Block(service_id, now, until))
            detail = {} if until is None else {"until": until.isoformat()}
            tx.audit.event("service_blocked", now, person_id=person_id, service_id=service_id, detail=detail)

    def unblock(self, person_id: UUID, service_id: UUID) -> None:
        """Lift a block; nothing happens when there is none."""
        with self.store.transaction() as tx:
            if tx.policies.unblock(person_id, service_id):
                tx.audit.event("service_unblocked", self.clock(), person_id=person_id, service_id=service_id)

    def blocks(self, person_id: UUID) -> tuple[Block, ...]:
        """Return the blocks in force, oldest first."""
        now = self.clock()
        with self.store.reading() as tx:
            return tuple(block for block in tx.policies.blocks_of(person_id) if block.holds(now))

    def pause(self, person_id: UUID, connection_id: UUID, until: datetime) -> None:
        """Let nothing be handed out from a connection before ``until``.

        Raises ``UnknownConnection`` for one that is not this person's, ``ValueError`` for an end that is past.
        """
        now = self.clock()
        _refuse_past(until, now)
        with self.store.transaction() as tx:
            _own(tx, person_id, connection_id)
            tx.connections.pause(connection_id, until)
            tx.audit.event(
                "paused", now, person_id=person_id, connection_id=connection_id, detail={"until": until.isoformat()}
            )

    def resume(self, person_id: UUID, connection_id: UUID) -> None:
        """End a pause; nothing happens when there is none. Raises ``UnknownConnection``."""
        with self.store.transaction() as tx:
            if _own(tx, person_id, connection_id) is not None:
                tx.connections.pause(connection_id, None)
                tx.audit.event("resumed", self.clock(), person_id=person_id, connection_id=connection_id)


def _own(tx: Transaction, person_id: UUID, connection_id: UUID) -> datetime | None:
    """Return until when the connection is paused; raises ``UnknownConnection`` for one that is not this person's."""
    found = tx.connections.get(connection_id)
    if found is None or found.person_id != person_id or found.status is Status.DISCONNECTED:
        raise UnknownConnection
    return found.paused_until


def _refuse_past(until: datetime | None, now: datetime) -> None:
    if until is not None and until <= now:
        raise ValueError("the end is past")
