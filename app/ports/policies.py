"""What the use cases need from the store: policies, what was used of them, and people's own switches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from app.domain.features import Feature
from app.domain.policies import Policy


@dataclass(frozen=True, slots=True)
class Block:
    """A person's off switch for one service."""

    service_id: UUID
    since: datetime
    until: datetime | None
    """Null: until the person lifts it."""

    def holds(self, now: datetime) -> bool:
        """Return whether it is in force."""
        return self.until is None or self.until > now


@dataclass(frozen=True, slots=True)
class Standing:
    """What a service may do in general, and what one person says to it. One query."""

    policies: tuple[Policy, ...]
    """Ended ones included, oldest first."""
    block: Block | None
    """Of the person in question, ended ones included; null without."""
    is_frozen: bool
    """Whether operators have frozen the service, or nobody knows it."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a policy's hourly limit that one process may spend."""

    size: int
    """Hand-outs; 0 when the limit is spent."""
    ends_in_s: float
    """Seconds until the hour is over, by the database's clock."""


class PolicyStore(Protocol):
    """Policies, their use, and blocks."""

    def standing(
        self, service_id: UUID, *, connection_id: UUID | None = None, person_id: UUID | None = None
    ) -> Standing:
        """Return the service's policies with the block of that person, or of that connection's person."""

    def allowed_features(self, service_id: UUID, provider: str, now: datetime) -> frozenset[Feature]:
        """Return what policies let the service use at the provider, for whomever; empty means default deny."""

    def all(self) -> Mapping[str, tuple[Policy, ...]]:
        """Return every service's name with its policies, oldest first; a service without any is there too."""

    def all_for_change(self, service_ids: Sequence[UUID]) -> Mapping[str, tuple[Policy, ...]]:
        """Return the same for these services, and let nobody else change them so until the transaction ends."""

    def add(self, policy: Policy, now: datetime) -> None:
        """Store a policy."""

    def remove(self, policy_id: UUID) -> Policy | None:
        """Delete a policy and return what it was; null when there is none."""

    def take_chunk(self, policy_id: UUID, size: int, limit: int) -> Chunk:
        """Take up to ``size`` of this hour's ``limit``; the chunk is empty when nothing of it is left.

        All processes together never take more than ``limit`` in one hour of the database's clock.
        """

    def taken(self, policy_id: UUID) -> int:
        """Return what processes have taken of this hour's limit."""

    def block(self, person_id: UUID, block: Block) -> None:
        """Store a person's block of a service, in place of an older one."""

    def unblock(self, person_id: UUID, service_id: UUID) -> bool:
        """Delete a block and say whether there was one."""

    def blocks_of(self, person_id: UUID) -> tuple[Block, ...]:
        """Return a person's blocks, ended ones included, oldest first."""
