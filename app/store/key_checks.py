"""Check values of the keys this database was sealed with, so that a wrong key ring is refused at the start."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, select, text
from sqlalchemy.dialects import postgresql

from app.store.schema import key_checks


def keys_fit(connection: Connection, ring: Mapping[bytes, bytes]) -> bool:
    """Return whether ``ring`` (key id to check value) has every key this database was used with, and the same ones.

    If so, the keys of the ring that are new here are noted. Needs a transaction.
    """
    # Two first starts with two different rings take turns; the second is refused.
    connection.execute(text("LOCK TABLE key_checks IN SHARE ROW EXCLUSIVE MODE"))
    noted = connection.execute(select(key_checks.c.key_id, key_checks.c.check_value)).all()
    if any(ring.get(bytes(row.key_id)) != bytes(row.check_value) for row in noted):
        return False
    rows = [{"key_id": key_id, "check_value": value} for key_id, value in ring.items()]
    if rows:
        connection.execute(postgresql.insert(key_checks).on_conflict_do_nothing(), rows)
    return True
