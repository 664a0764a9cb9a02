"""``latchkey audit``: verify and export, as an operator runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from app.crypto.keyring import Keyring
from app.crypto.sealing import build_sealer
from app.services.audit_chain import AuditChain
from tests.faults.installation import PUBLIC_URL, write_files
from tests.integration.audit.conftest import Desk

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def environment(desk: Desk, tmp_path: Path) -> dict[str, str]:
    """Return the variables of an installation on the desk's database, with a key ring of its own."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("LATCHKEY_")},
        "LATCHKEY_PUBLIC_URL": PUBLIC_URL,
        "DATABASE_URL": desk.database_url,
        "REDIS_URL": "redis://127.0.0.1:1/0",
        **write_files(tmp_path, "client-secret", "http://127.0.0.1:1"),
    }


@pytest.fixture
def chain(desk: Desk, environment: dict[str, str]) -> AuditChain:
    return AuditChain(desk.store, build_sealer(Keyring.load(Path(environment["LATCHKEY_KEYRING_FILE"]))))


def audit(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app.cli", "audit", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_a_noted_head_is_what_a_later_verification_takes(
    desk: Desk, chain: AuditChain, environment: dict[str, str]
) -> None:
    desk.happened("one", "two", "three")
    chain.collect()

    first = audit(environment, "verify")
    head = first.stdout.split()[-1]
    desk.rows("DELETE FROM audit_log WHERE seq = 3")
    cut = audit(environment, "verify", "--head", head)

    assert (first.returncode, first.stderr) == (0, "")
    assert head.startswith("3:")
    assert (cut.returncode, cut.stdout) == (1, "")
    assert cut.stderr == "sound up to 2; entry 3 is missing\n"


def test_a_changed_entry_is_named(desk: Desk, chain: AuditChain, environment: dict[str, str]) -> None:
    desk.happened("one", "two", "three")
    chain.collect()
    desk.rows("UPDATE audit_log SET kind = 'other' WHERE seq = 2")

    verified = audit(environment, "verify")

    assert (verified.returncode, verified.stderr) == (1, "sound up to 1; entry 2 is changed\n")


def test_the_export_is_one_document_a_line(desk: Desk, chain: AuditChain, environment: dict[str, str]) -> None:
    person_id = uuid4()
    desk.happened("one", person_id=person_id)
    desk.happened("two", person_id=person_id)
    desk.happened("three")
    chain.collect()

    exported = audit(environment, "export", "--since", "1", "--person", str(person_id))

    [document] = [json.loads(line) for line in exported.stdout.splitlines()]
    assert exported.returncode == 0
    assert {name: document[name] for name in ("seq", "kind", "person_id", "service_id", "connection_id", "detail")} == {
        "seq": 2,
        "kind": "two",
        "person_id": str(person_id),
        "service_id": None,
        "connection_id": None,
        "detail": {"word": "Ünïcode \\ \t"},
    }
    [_, logged, _] = chain.entries()
    assert (document["id"], document["mac"]) == (str(logged.entry.id), logged.mac.hex())
