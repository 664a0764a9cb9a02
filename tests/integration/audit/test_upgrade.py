"""What was written down before there was a chain comes into it, and comes out again."""

from __future__ import annotations

import os
from uuid import uuid4

import psycopg

from app.crypto.keyring import Keyring
from app.crypto.sealing import build_sealer
from app.services.audit_chain import AuditChain
from app.store.migrating import downgrade, upgrade
from app.store.postgres import PostgresStore
from tests.integration.audit.conftest import NOW

COLUMNS = "id, service_id, connection_id, person_id, purpose, features, scopes, decision, reason, token_fingerprint, at"


def test_earlier_hand_outs_and_events_are_chained_and_survive_the_way_back(empty_database_url: str) -> None:
    released = (uuid4(), uuid4(), uuid4(), uuid4(), "notes", ["a", "b"], ["openid"], "released", None, b"\0print", NOW)
    denied = (uuid4(), uuid4(), None, None, None, [], [], "denied", "not_allowed", None, NOW)
    upgrade(empty_database_url, "0001_initial")
    with psycopg.connect(empty_database_url.replace("+psycopg", ""), autocommit=True) as connection:
        for row in (released, denied):
            connection.execute(f"INSERT INTO hand_outs ({COLUMNS}) VALUES ({', '.join(['%s'] * 11)})", row)  # noqa: S608
        connection.execute(
            "INSERT INTO audit_events (kind, at, detail) VALUES ('connected', %s, '{\"a\": \"b\"}')", [NOW]
        )

        upgrade(empty_database_url, "0002_audit_log")
        store = PostgresStore(empty_database_url)
        chain = AuditChain(store, build_sealer(Keyring({"k1": os.urandom(32)}, "k1")))
        chain.collect()
        logged = {entry.entry.id: entry.entry for entry in chain.entries()}
        verdict = chain.verify()
        store.close()
        downgrade(empty_database_url, "0001_initial")

        assert (verdict.head.seq, verdict.fault) == (3, None)
        assert logged[released[0]].kind == "hand_out.released"
        assert logged[released[0]].detail["token_fingerprint"] == b"\0print".hex()
        assert logged[denied[0]].detail["reason"] == "not_allowed"
        rows = connection.execute(f"SELECT {COLUMNS} FROM hand_outs ORDER BY decision DESC").fetchall()  # noqa: S608
        assert rows == [released, denied]
        assert connection.execute("SELECT kind, at, detail FROM audit_events").fetchall() == [
            ("connected", NOW, {"a": "b"})
        ]
        assert connection.execute("SELECT 1 FROM pg_proc WHERE proname = 'refuse_audit_log_change'").fetchall() == []
