"""Policies, what processes have taken of their hourly limits, and people's blocks of services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, exists, func, insert, null, or_, select, true
from sqlalchemy.dialects import postgresql

from app.domain.features import Feature
from app.domain.policies import Policy, Terms
from app.ports.policies import Block, Chunk, Standing
from app.store.schema import connections, policies, policy_usage, service_blocks, services

USAGE_KEPT = timedelta(hours=2)
"""Only the running hour counts; the one before is kept for whoever looks."""

_P, _B, _C, _U = policies.c, service_blocks.c, connections.c, policy_usage.c
_THIS_HOUR = func.date_trunc("hour", func.clock_timestamp())
_ENDS_IN_S = func.extract("epoch", _THIS_HOUR + timedelta(hours=1) - func.clock_timestamp())


def in_force(now: datetime) -> ColumnElement[bool]:
    """Return the condition that a policy has not ended."""
    return or_(_P.valid_until.is_(None), _P.valid_until > now)


def concerns_connection(now: datetime) -> ColumnElement[bool]:
    """Return the condition that a policy lets its service know of a connection: ``domain.policies.known_to`` in SQL."""
    # An account without a tenant fits no tenant selector: those never end with the colon.
    selectors = postgresql.array(
        [func.concat("person:", _C.person_id), func.concat("tenant:", func.lower(func.coalesce(_C.tenant, "")))]
    )
    return and_(
        or_(_P.provider.is_(None), _P.provider == _C.provider),
        or_(_P.people.is_(None), _P.people.overlap(selectors)),
        in_force(now),
    )


def blocked_by_owner(service_id: UUID, now: datetime) -> ColumnElement[bool]:
    """Return the condition that a connection's person has switched the service off: ``Block.holds`` in SQL."""
    holds = or_(_B.until.is_(None), _B.until > now)
    return exists().where(_B.service_id == service_id, _B.person_id == _C.person_id, holds)


class PostgresPolicies:
    """Implements ``ports.PolicyStore``."""

    def __init__(self, connection: Connection) -> None:
        """Work on ``connection``."""
        self._connection = connection

    def standing(
        self, service_id: UUID, *, connection_id: UUID | None = None, person_id: UUID | None = None
    ) -> Standing:
        """Return the service's policies with the block of that person, or of that connection's person."""
        owner = select(_C.person_id).where(_C.id == connection_id).scalar_subquery()
        rows = self._connection.execute(
            select(policies, _B.since, _B.until, services.c.is_enabled)
            .select_from(services)
            .outerjoin(policies, _P.service_id == services.c.id)
            .outerjoin(
                service_blocks,
                and_(_B.service_id == services.c.id, _B.person_id == (owner if person_id is None else person_id)),
            )
            .where(services.c.id == service_id)
            .order_by(_P.created_at, _P.id)
        ).all()
        block = next((Block(service_id, row.since, row.until) for row in rows if row.since is not None), None)
        is_frozen = not any(row.is_enabled for row in rows)
        return Standing(tuple(_policy(row) for row in rows if row.id is not None), block, is_frozen)

    def allowed_features(self, service_id: UUID, provider: str, now: datetime) -> frozenset[Feature]:
        """Return what policies let the service use at the provider, for whomever; empty means default deny."""
        rows = self._connection.execute(
            select(_P.features).where(
                _P.service_id == service_id, or_(_P.provider.is_(None), _P.provider == provider), in_force(now)
            )
        )
        return frozenset(Feature(word) for row in rows for word in row.features)

    def all(self) -> Mapping[str, tuple[Policy, ...]]:
        """Return every service's name with its policies, oldest first; a service without any is there too."""
        return self._all(true())

    def all_for_change(self, service_ids: Sequence[UUID]) -> Mapping[str, tuple[Policy, ...]]:
        """Return the same for these services, and let nobody else change them so until the transaction ends."""
        chosen = services.c.id.in_(service_ids)
        self._connection.execute(select(services.c.id).where(chosen).order_by(services.c.id).with_for_update())
        return self._all(chosen)

    def _all(self, chosen: ColumnElement[bool]) -> Mapping[str, tuple[Policy, ...]]:
        rows = self._connection.execute(
            select(services.c.name, policies)
            .select_from(services)
            .outerjoin(policies, _P.service_id == services.c.id)
            .where(chosen)
            .order_by(services.c.name, _P.created_at, _P.id)
        )
        found: dict[str, list[Policy]] = {}
        for row in rows:
            found.setdefault(row.name, []).extend([_policy(row)] if row.id is not None else ())
        return {name: tuple(held) for name, held in found.items()}

    def add(self, policy: Policy, now: datetime) -> None:
        """Store a policy."""
        terms = policy.terms
        self._connection.execute(
            insert(policies).values(
                id=policy.id,
                service_id=policy.service_id,
                provider=terms.provider,
                features=sorted(terms.features),
                purposes=_listed(terms.purposes),
                people=_listed(terms.people),
                valid_until=terms.valid_until,
                max_per_hour=terms.max_per_hour,
                act_as=terms.act_as,
                created_at=now,
            )
        )

    def remove(self, policy_id: UUID) -> Policy | None:
        """Delete a policy and return what it was; null when there is none."""
        row = self._connection.execute(delete(policies).where(_P.id == policy_id).returning(policies)).first()
        return None if row is None else _policy(row)

    def take_chunk(self, policy_id: UUID, size: int, limit: int) -> Chunk:
        """Take up to ``size`` of this hour's ``limit``; the chunk is empty when nothing of it is left.

        One statement, so that takers of one policy queue up at its row.
        """
        self._connection.execute(
            delete(policy_usage).where(_U.policy_id == policy_id, _U.hour < func.clock_timestamp() - USAGE_KEPT)
        )
        first = min(size, limit)
        chunk = func.least(size, limit - _U.taken)
        row = self._connection.execute(
            postgresql.insert(policy_usage)
            .values(policy_id=policy_id, hour=_THIS_HOUR, taken=first, last_chunk=first)
            .on_conflict_do_update(
                index_elements=[_U.policy_id, _U.hour],
                set_={"taken": _U.taken + chunk, "last_chunk": chunk},
                where=_U.taken < limit,
            )
            .returning(_U.last_chunk, func.extract("epoch", _U.hour + timedelta(hours=1) - func.clock_timestamp()))
        ).first()
        if row is None:
            return Chunk(0, float(self._connection.execute(select(_ENDS_IN_S)).scalar_one()))
        return Chunk(row[0], float(row[1]))

    def taken(self, policy_id: UUID) -> int:
        """Return what processes have taken of this hour's limit."""
        taken = select(_U.taken).where(_U.policy_id == policy_id, _U.hour == _THIS_HOUR)
        return self._connection.execute(taken).scalar() or 0

    def block(self, person_id: UUID, block: Block) -> None:
        """Store a person's block of a service, in place of an older one."""
        ends = {"since": block.since, "until": block.until}
        self._connection.execute(
            postgresql.insert(service_blocks)
            .values(person_id=person_id, service_id=block.service_id, **ends)
            .on_conflict_do_update(index_elements=[_B.person_id, _B.service_id], set_=ends)
        )

    def unblock(self, person_id: UUID, service_id: UUID) -> bool:
        """Delete a block and say whether there was one."""
        ended = delete(service_blocks).where(_B.person_id == person_id, _B.service_id == service_id)
        return bool(self._connection.execute(ended).rowcount)

    def blocks_of(self, person_id: UUID) -> tuple[Block, ...]:
        """Return a person's blocks, ended ones included, oldest first."""
        rows = self._connection.execute(
            select(service_blocks).where(_B.person_id == person_id).order_by(_B.since, _B.service_id)
        )
        return tuple(Block(row.service_id, row.since, row.until) for row in rows)


def _policy(row: Row[*tuple[Any, ...]]) -> Policy:
    terms = Terms(
        provider=row.provider,
        features=frozenset(Feature(word) for word in row.features),
        purposes=None if row.purposes is None else frozenset(row.purposes),
        people=None if row.people is None else frozenset(row.people),
        valid_until=row.valid_until,
        max_per_hour=row.max_per_hour,
        act_as=row.act_as,
    )
    return Policy(row.id, row.service_id, terms)


def _listed(words: frozenset[str] | None) -> object:
    return null() if words is None else sorted(words)
