"""What notifications say, left with the channel until a run takes it along.

A run that is being applied locks its sync state, for seconds when the calendar is large. A provider waits three
seconds for an answer, so a notification writes to its channel's row alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, Subquery, Update, case, func, literal, select, update

from app.domain.channels import SETTLE
from app.store.arrays import is_one_of
from app.store.schema import channels, sync_states

CHANGED, MISSED = "changed", "missed"

_H = channels.c
_S = sync_states.c
_HAS_NEWS = _H.news.is_not(None)


def leave_news(
    connection: Connection, channel_ids: Sequence[UUID], now: datetime, news: str, message_number: int | None = None
) -> tuple[UUID, ...]:
    """Leave ``news`` with channels that have none waiting that says as much; returns them. Numbers never go back."""
    says_less = _H.news.is_(None) if news == CHANGED else _H.news.is_distinct_from(news)
    # Two batches that name the same channels lock them in the same order.
    chosen = select(_H.id).where(is_one_of(_H.id, channel_ids), says_less).order_by(_H.id).with_for_update()
    missed = {"missed_at": now} if news == MISSED else {}
    left = connection.scalars(
        update(channels)
        .where(_H.id == func.any(func.array(chosen.scalar_subquery())))
        .values(news=news, last_seen_at=now, message_number=not_below(message_number), **missed)
        .returning(_H.id)
    )
    return tuple(left)


def not_below(message_number: int | None) -> ColumnElement[int]:
    """Return the greater of a message number (null: unknown) and the stored one."""
    return func.greatest(_H.message_number, literal(message_number, _H.message_number.type))


def take_news(connection: Connection, calendar_id: UUID) -> None:
    """Turn what notifications said of a calendar into a wish for a run; nothing when somebody else is writing there."""
    _take(connection, select(_S.calendar_id).where(_S.calendar_id == calendar_id, _is_in_the_news()))


def take_all_news(connection: Connection, limit: int) -> None:
    """Turn what notifications said into wishes, of up to ``limit`` calendars; those being written are passed over."""
    told = select(_H.calendar_id).where(_HAS_NEWS).limit(limit)
    _take(connection, select(_S.calendar_id).where(_S.calendar_id.in_(told)))


def _is_in_the_news() -> ColumnElement[bool]:
    return select(_H.id).where(_H.calendar_id == _S.calendar_id, _HAS_NEWS).exists()


def _take(connection: Connection, which: Select[UUID]) -> None:
    """Do it in one statement. The state is locked first, the channels after it, as everywhere."""
    free = which.with_for_update(of=sync_states, skip_locked=True).cte("free")
    heard = (
        select(_H.id, _H.calendar_id, _H.news, _H.last_seen_at)
        .where(_H.calendar_id.in_(select(free.c.calendar_id)), _HAS_NEWS)
        .with_for_update()
        .cte("heard")
    )
    cleared = update(channels).where(_H.id == heard.c.id).values(news=None).cte("cleared")
    told = (
        select(
            heard.c.calendar_id,
            func.min(heard.c.last_seen_at).label("at"),
            func.bool_or(heard.c.news == MISSED).label("missed"),
        )
        .group_by(heard.c.calendar_id)
        .subquery("told")
    )
    connection.execute(_wish(told).add_cte(cleared))


def _wish(told: Subquery) -> Update:
    """Return the update that raises dirty counters: due at once, but not sooner than the calendar has rested.

    A calendar whose last run failed keeps its waiting time: a provider that asked for it is not hurried.
    """
    rested_at = func.greatest(told.c.at, _S.last_success_at + literal(SETTLE))
    return (
        update(sync_states)
        .where(_S.calendar_id == told.c.calendar_id)
        .values(
            requested=_S.requested + 1,
            due_at=case((_S.failures > 0, _S.due_at), else_=func.least(_S.due_at, rested_at)),
            check_due_at=case((told.c.missed, func.least(_S.check_due_at, told.c.at)), else_=_S.check_due_at),
        )
    )
