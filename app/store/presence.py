"""Says that this process lives: a session lock that ends with its connection, and a heartbeat that outlives one.

A killed process loses both within seconds. A paused one keeps the lock, a cut connection keeps the heartbeat:
neither is taken for dead. The session must be a real one: a pooler in transaction mode would share it.
"""

from __future__ import annotations

from uuid import UUID, uuid4

from sqlalchemy import Connection, Text, cast, delete, exists, func, select
from sqlalchemy.dialects import postgresql

from app.store.engine import Limits, read_engine, typed_faults
from app.store.schema import processes, refresh_attempts

KEPT_DAYS = 1
"""How long a silent process is remembered, and longer while an attempt of its is open: nobody may have been there to
take it over."""


class PostgresPresence:
    """Implements ``ports.Presence``. Build one per process, after the fork."""

    def __init__(self, url: str) -> None:
        """Take a fresh identity; nothing connects yet."""
        self._id: UUID = uuid4()
        self._lock_key = int.from_bytes(self._id.bytes[:8], signed=True)
        self._engine = read_engine(url, Limits(read_pool_size=1))
        self._session: Connection | None = None
        self._is_locked = False

    @property
    def identity(self) -> str:
        """Return the name of this process on leases and attempts; no other process ever had it."""
        return str(self._id)

    def beat(self) -> None:
        """Announce that this process lives; raises ``StoreUnavailable``, and connects anew the next time."""
        try:
            with typed_faults():
                self._beat()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the session and with it of the lock."""
        session, self._session, self._is_locked = self._session, None, False
        if session is not None:
            session.invalidate()
            session.close()

    def _beat(self) -> None:
        if self._session is None:
            self._session = self._engine.connect()
            self._forget_the_silent(self._session)
        if not self._is_locked:
            # Not waited for: the server may still hold it for a connection of ours that it has not missed yet.
            self._is_locked = bool(self._session.execute(select(func.pg_try_advisory_lock(self._lock_key))).scalar())
        row = postgresql.insert(processes).values(id=self._id, lock_key=self._lock_key)
        self._session.execute(
            row.on_conflict_do_update(index_elements=[processes.c.id], set_={"heartbeat_at": func.clock_timestamp()})
        )

    def _forget_the_silent(self, session: Connection) -> None:
        silent_since = func.clock_timestamp() - func.make_interval(0, 0, 0, KEPT_DAYS)
        is_missed = exists().where(
            refresh_attempts.c.owner == cast(processes.c.id, Text), refresh_attempts.c.outcome.is_(None)
        )
        session.execute(delete(processes).where(processes.c.heartbeat_at < silent_since, ~is_missed))
