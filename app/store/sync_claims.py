"""Which calendars are synced next, and whose runs have died."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, text

from app.domain.sync_pace import MOST_OF_A_CONNECTION

PUT_OFF = timedelta(seconds=5)
"""A calendar whose connection is busy enough leaves its place in the queue for this long: a person with a thousand of
them must not stand in front of everybody else."""

_CLAIM = text(
    """
    WITH due AS MATERIALIZED (
        SELECT s.calendar_id, s.due_at, c.connection_id
        FROM sync_states AS s
            JOIN calendars AS c ON c.id = s.calendar_id
            JOIN connections AS k ON k.id = c.connection_id
        WHERE s.due_at <= :now
            AND (s.claimed_until IS NULL OR s.claimed_until <= :now)
            AND (s.lease_until IS NULL OR s.lease_until <= clock_timestamp())
            AND k.status = 'active' AND c.is_selected AND c.paused_at IS NULL AND c.removed_at IS NULL
        ORDER BY s.due_at LIMIT :limit
        FOR UPDATE OF s SKIP LOCKED
    ), busy AS MATERIALIZED (
        -- From the few that run, by an index of those alone.
        SELECT c.connection_id, count(*) AS running
        FROM sync_states AS s JOIN calendars AS c ON c.id = s.calendar_id
        WHERE s.lease_owner IS NOT NULL AND s.lease_until > clock_timestamp()
        GROUP BY c.connection_id
    ), ranked AS MATERIALIZED (
        SELECT due.calendar_id,
            coalesce(busy.running, 0)
                + row_number() OVER (PARTITION BY due.connection_id ORDER BY due.due_at) <= :most AS goes
        FROM due LEFT JOIN busy ON busy.connection_id = due.connection_id
    )
    UPDATE sync_states AS s
    SET claimed_until = CASE
        WHEN s.calendar_id = ANY (ARRAY(SELECT calendar_id FROM ranked WHERE goes)) THEN CAST(:hold AS timestamptz)
        ELSE CAST(:later AS timestamptz)
    END
    WHERE s.calendar_id = ANY (ARRAY(SELECT calendar_id FROM ranked))
    RETURNING s.calendar_id, s.due_at, s.claimed_until = CAST(:hold AS timestamptz) AS goes
    """
)

_FREE_DEAD = text(
    """
    WITH silent AS MATERIALIZED (
        -- Evaluated first: a lock must be tried for the silent alone.
        SELECT s.calendar_id, s.epoch, p.lock_key
        FROM processes AS p JOIN sync_states AS s ON s.lease_owner = p.id::text
        WHERE p.heartbeat_at < clock_timestamp() - make_interval(secs => :silent)
            AND pg_postmaster_start_time() < clock_timestamp() - make_interval(secs => :settled)
    )
    UPDATE sync_states AS s
    SET lease_owner = NULL, lease_until = NULL, claimed_until = NULL, run_started_at = NULL,
        due_at = least(s.due_at, :now)
    FROM silent
    WHERE s.calendar_id = silent.calendar_id AND s.epoch = silent.epoch AND s.lease_owner IS NOT NULL
        AND pg_try_advisory_xact_lock(silent.lock_key)
    RETURNING s.calendar_id
    """
)


def claim_syncs(connection: Connection, now: datetime, hold_until: datetime, limit: int) -> tuple[UUID, ...]:
    """Claim due calendars until ``hold_until``, longest due first, as many of each connection as may run at a time."""
    rows = connection.execute(
        _CLAIM,
        {"now": now, "hold": hold_until, "later": now + PUT_OFF, "limit": limit, "most": MOST_OF_A_CONNECTION},
    ).all()
    return tuple(row.calendar_id for row in sorted(rows, key=lambda row: row.due_at) if row.goes)


def free_dead_leases(connection: Connection, silent_s: float, settled_s: float, now: datetime) -> tuple[UUID, ...]:
    """Free the leases of processes that hold no lock and were not heard of for ``silent_s`` seconds.

    Of nobody while the database server is up for less than ``settled_s`` seconds: a restart drops every lock.
    """
    rows = connection.scalars(_FREE_DEAD, {"silent": silent_s, "settled": settled_s, "now": now})
    return tuple(rows)
