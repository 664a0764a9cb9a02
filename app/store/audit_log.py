"""The chained log: its head, its entries, and the only way to append."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import psycopg
from sqlalchemy import Connection, Row, delete, func, select

from app.domain.audit import EMPTY, AuditEntry, Head, Links, LoggedEntry, moment_text
from app.domain.errors import StoreConflict
from app.store.schema import audit_events, audit_log

CHAIN_LOCK = 7_236_641_896
"""Key of the advisory lock; any number will do as long as nobody else uses it."""

_COPY = (
    "COPY audit_log (seq, recorded_at, key_id, mac, id, kind, at, service_id, person_id, connection_id, detail)"
    " FROM STDIN (FORMAT text, NULL '')"
)
_BACKSLASH = "\\"
_L, _E = audit_log.c, audit_events.c


class PostgresAuditLog:
    """Implements ``ports.AuditLogStore``."""

    def __init__(self, connection: Connection) -> None:
        """Work on ``connection``."""
        self._connection = connection

    def lock(self) -> tuple[Head, datetime]:
        """Wait until nobody else appends, until the end of the transaction; return the head and the database's now."""
        self._connection.execute(select(func.pg_advisory_xact_lock(CHAIN_LOCK)))
        # A statement of its own: its view of the data begins after the lock was given.
        newest = self._connection.execute(select(_L.seq, _L.mac).order_by(_L.seq.desc()).limit(1)).first()
        now = self._connection.execute(select(func.clock_timestamp())).scalar_one()
        return (Head(newest.seq, bytes(newest.mac)) if newest else EMPTY), now

    def known(self, ids: Collection[UUID]) -> frozenset[UUID]:
        """Return which entries the log has already."""
        if not ids:
            return frozenset()
        found = self._connection.execute(select(_L.id).where(_L.id == func.any(list(ids))))
        return frozenset(found.scalars())

    def take_events(self, limit: int) -> tuple[AuditEntry, ...]:
        """Return the oldest events that wait to be chained, and remove them.

        Rows that commit later come later, whatever their number: nothing is passed over.
        """
        oldest = select(_E.id).order_by(_E.id).limit(limit)
        rows = self._connection.execute(delete(audit_events).where(_E.id.in_(oldest)).returning(audit_events)).all()
        return tuple(_entry(row.entry_id, row) for row in sorted(rows, key=lambda row: int(row.id)))

    def append(self, links: Links) -> None:
        """Append to the log by COPY; needs the lock.

        Raises ``StoreConflict`` when it has one of the entries already.
        """
        driver = self._connection.connection.driver_connection
        if not links.lines or driver is None:
            return
        try:
            with driver.cursor() as cursor, cursor.copy(_COPY) as copy:
                copy.write(_copied(links).encode())
        except psycopg.errors.UniqueViolation as error:
            raise StoreConflict("audit_log") from error

    def after(
        self, seq: int, limit: int, *, person_id: UUID | None = None, connection_id: UUID | None = None
    ) -> tuple[LoggedEntry, ...]:
        """Return entries with a greater ``seq``, in order; of one person or connection if one is named."""
        wanted = select(audit_log).where(_L.seq > seq).order_by(_L.seq).limit(limit)
        if person_id is not None:
            wanted = wanted.where(_L.person_id == person_id)
        if connection_id is not None:
            wanted = wanted.where(_L.connection_id == connection_id)
        return tuple(
            LoggedEntry(row.seq, row.recorded_at, bytes(row.key_id), bytes(row.mac), _entry(row.id, row))
            for row in self._connection.execute(wanted)
        )


def _entry(entry_id: UUID, row: Row[tuple[object, ...]]) -> AuditEntry:
    return AuditEntry(entry_id, row.kind, row.at, row.service_id, row.person_id, row.connection_id, row.detail)


def _copied(links: Links) -> str:
    """Return rows in COPY's text format: lines are that already but for their backslashes."""
    shared = f"{moment_text(links.recorded_at)}\t\\\\x{links.key_id.hex()}"
    return "".join(
        f"{seq}\t{shared}\t\\\\x{mac.hex()}\t{line.replace(_BACKSLASH, _BACKSLASH * 2)}\n"
        for seq, (line, mac) in enumerate(links.lines, links.first_seq)
    )
