"""Rows of token generations: append-only while they may matter, gone when they cannot."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects import postgresql

from app.ports import NewGeneration
from app.store.schema import refresh_attempts, token_generations
from app.store.storable import storable_text

KEPT_GENERATIONS = 10
"""How many generations before the current one stay: enough to look into a broken rotation."""

PRUNED_EVERY = 5
"""Generations between two prunings: they are two statements that most refreshes can do without."""

KEPT_ATTEMPTS = timedelta(days=30)

_G = token_generations.c


def append_row(connection: Connection, generation: NewGeneration) -> None:
    """Insert the row once; a repetition changes nothing.

    Without a refresh token of its own the generation carries on its parent's, under the number it was sealed with.
    """
    carried = (
        select(_G.refresh_generation)
        .where(_G.connection_id == generation.connection_id, _G.generation == generation.parent)
        .scalar_subquery()
    )
    own = generation.sealed_refresh is not None
    scopes = None if generation.scopes is None else [storable_text(scope) for scope in generation.scopes]
    values = asdict(generation) | {"scopes": scopes, "refresh_generation": generation.generation if own else carried}
    connection.execute(postgresql.insert(token_generations).values(values).on_conflict_do_nothing())


def prune(connection: Connection, connection_id: UUID, current: int) -> None:
    """Delete generations far behind ``current``, except the one whose refresh token is still in use, and old attempts.

    Called when the pointer has moved, that is, when the provider has just accepted what ``current`` descends from.
    """
    in_use = (
        select(_G.refresh_generation)
        .where(_G.connection_id == connection_id, _G.generation == current)
        .scalar_subquery()
    )
    connection.execute(
        delete(token_generations).where(
            _G.connection_id == connection_id,
            _G.generation < current - KEPT_GENERATIONS,
            _G.generation.is_distinct_from(in_use),
        )
    )
    connection.execute(
        delete(refresh_attempts).where(
            refresh_attempts.c.connection_id == connection_id,
            refresh_attempts.c.started_at < func.clock_timestamp() - KEPT_ATTEMPTS,
        )
    )
