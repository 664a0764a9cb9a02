"""A chained log on a fresh database, and a spool beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from app.crypto.keyring import Keyring
from app.crypto.sealing import build_sealer
from app.domain.audit import AuditEntry
from app.ports import HandOut
from app.services.audit_chain import AuditChain
from app.services.hand_out_log import HandOutLog
from app.store.postgres import PostgresStore
from app.store.spool import FileSpool

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
KEY = os.urandom(32)


def a_hand_out(**changes: object) -> HandOut:
    values = {
        "id": uuid4(), "service_id": uuid4(), "connection_id": uuid4(), "person_id": uuid4(), "purpose": "notes",
        "features": ("calendar.read",), "scopes": ("openid", "email"), "decision": "released", "reason": None,
        "token_fingerprint": b"\x00print", "at": NOW,
    }  # fmt: skip
    return HandOut(**{**values, **changes})


def an_entry(**changes: object) -> AuditEntry:
    values = {
        "id": uuid4(), "kind": "hand_out.released", "at": NOW, "service_id": uuid4(), "person_id": None,
        "connection_id": uuid4(), "detail": {"purpose": "notes"},
    }  # fmt: skip
    return AuditEntry(**{**values, **changes})


@dataclass
class Desk:
    """What a test of the audit works with."""

    database_url: str
    directory: Path
    store: PostgresStore
    chain: AuditChain
    spool: FileSpool
    log: HandOutLog

    def rows(self, statement: str, *values: object) -> list[tuple]:
        """Run one statement past the store, as its superuser and without any trigger."""
        with psycopg.connect(self.database_url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            found = connection.execute(statement, values)
            return found.fetchall() if found.description else []

    def logged(self) -> list[UUID]:
        """Return the ids in the log, in order; fails when their places have a gap."""
        rows = self.rows("SELECT seq, id FROM audit_log ORDER BY seq")
        assert [seq for seq, _ in rows] == list(range(1, len(rows) + 1))
        return [entry_id for _, entry_id in rows]

    def happened(self, *kinds: str, **ids: UUID) -> None:
        """Write events of these kinds, in one transaction."""
        with self.store.transaction() as tx:
            for kind in kinds:
                tx.audit.event(kind, NOW, detail={"word": "Ünïcode \\ \t"}, **ids)

    def files(self) -> list[Path]:
        """Return the spool's files."""
        return sorted(self.directory.glob("*"))


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[Desk]:
    store = PostgresStore(database_url)
    chain = AuditChain(store, build_sealer(Keyring({"k1": KEY}, "k1")))
    spool = FileSpool(tmp_path / "audit")
    log = HandOutLog(spool, chain)
    yield Desk(database_url, tmp_path / "audit", store, chain, spool, log)
    log.close()
    store.close()


@pytest.fixture
def another_spool(tmp_path: Path) -> Iterator[Callable[[], FileSpool]]:
    """Return a function that opens the same directory as another process would."""
    opened = []

    def open_one() -> FileSpool:
        opened.append(FileSpool(tmp_path / "audit"))
        return opened[-1]

    yield open_one
    for spool in opened:
        spool.close()
