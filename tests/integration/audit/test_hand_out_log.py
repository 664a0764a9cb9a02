"""Hand-outs reach the chained log, whatever becomes of the process that wrote them."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from app.domain.errors import StoreUnavailable
from app.services.audit_chain import AuditChain
from app.services.hand_out_log import HandOutLog
from app.store.postgres import PostgresStore
from app.store.spool import FileSpool, SpoolLimits
from tests.integration.audit.conftest import KEY, NOW, Desk, a_hand_out

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def keyring_file(tmp_path: Path) -> Path:
    path = tmp_path / "keyring.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps({"primary": "k1", "keys": {"k1": base64.b64encode(KEY).decode()}}))
    return path


def start_writer(desk: Desk, keyring_file: Path, count: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.integration.audit.writer"]
    return subprocess.Popen(
        [*command, desk.database_url, str(desk.directory), str(keyring_file), str(count)],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE,
    )  # fmt: skip


def said_by(writer: subprocess.Popen[bytes]) -> list[UUID]:
    """Return the ids whose writing was reported as done."""
    assert writer.stdout is not None
    output = writer.stdout.read().decode()
    writer.stdout.close()
    writer.wait(30)
    return [UUID(line) for line in output.split("\n")[:-1]]


def until(look: Callable[[], bool], within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_entry_is_in_the_log_a_moment_later(desk: Desk) -> None:
    entry = a_hand_out(purpose="meeting \\ notes\t✓", scopes=("openid",), decision="denied", reason="not_allowed")

    desk.log.write(entry)

    until(lambda: desk.logged() == [entry.id])
    [logged] = desk.chain.entries()
    assert (logged.entry.kind, logged.entry.at, logged.entry.service_id) == ("hand_out.denied", NOW, entry.service_id)
    assert (logged.entry.person_id, logged.entry.connection_id) == (entry.person_id, entry.connection_id)
    assert logged.entry.detail == {
        "features": ["calendar.read"],
        "purpose": "meeting \\ notes\t✓",
        "reason": "not_allowed",
        "scopes": ["openid"],
        "token_fingerprint": b"\x00print".hex(),
    }
    assert desk.chain.verify().fault is None


def test_closing_carries_the_last_entries_and_leaves_no_file(desk: Desk) -> None:
    entries = [a_hand_out() for _ in range(20)]
    for entry in entries:
        desk.log.write(entry)

    desk.log.close()

    assert desk.logged() == [entry.id for entry in entries]
    assert desk.files() == []


def test_an_entry_written_twice_is_logged_once(desk: Desk) -> None:
    entry = a_hand_out()
    desk.log.write(entry)
    desk.log.close()

    desk.log.write(entry)
    desk.log.close()

    assert desk.logged() == [entry.id]


@pytest.mark.parametrize("after", [0, 30, 3000])
def test_a_killed_writer_loses_nothing_it_has_reported(desk: Desk, keyring_file: Path, after: int) -> None:
    writer = start_writer(desk, keyring_file, 100_000)
    assert writer.stdout is not None
    seen = b"".join(writer.stdout.readline() for _ in range(after + 1))

    writer.send_signal(signal.SIGKILL)
    said = [UUID(line) for line in seen.decode().split()] + said_by(writer)

    desk.log.collect()
    logged = desk.logged()
    # An entry may be there whose writing was not reported any more: an answer that did not leave.
    assert logged[: len(said)] == said
    assert len(logged) - len(said) in (0, 1)
    assert desk.chain.verify().fault is None
    assert desk.files() == []


def test_writers_and_chainers_at_once_are_complete_and_without_gap(desk: Desk, keyring_file: Path) -> None:
    writers = [start_writer(desk, keyring_file, 400) for _ in range(2)]
    is_over = threading.Event()
    failures: list[BaseException] = []

    def collect() -> None:
        try:
            while not is_over.is_set():
                desk.happened("event")
                desk.log.collect()
        except BaseException as error:  # noqa: BLE001  # shown by the assertion below
            failures.append(error)

    chainers = [threading.Thread(target=collect) for _ in range(3)]
    for chainer in chainers:
        chainer.start()
    said = [entry_id for writer in writers for entry_id in said_by(writer)]
    is_over.set()
    for chainer in chainers:
        chainer.join()
    desk.log.collect()

    assert failures == []
    logged = desk.logged()
    assert len(logged) == len(set(logged))
    assert len(said) == 800
    assert set(said) <= set(logged)
    assert desk.rows("TABLE audit_events") == []
    assert desk.chain.verify().fault is None


def test_without_a_database_entries_wait_until_there_are_too_many(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    away = PostgresStore("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    spool = FileSpool(desk.directory, SpoolLimits(backlog_bytes=4000))
    log = HandOutLog(spool, AuditChain(away, desk.chain.sealer))
    accepted = []

    def write() -> None:
        entry = a_hand_out()
        log.write(entry)
        accepted.append(entry.id)

    with pytest.raises(StoreUnavailable):
        any(write() for _ in range(100))
    until(lambda: "hand-outs wait on the disk" in caplog.text)
    log.close()
    away.close()

    assert len(accepted) > 5
    desk.log.collect()
    assert desk.logged() == accepted


def test_an_unwritable_spool_lets_no_answer_leave(desk: Desk) -> None:
    desk.directory.write_text("a file in the place of the directory")

    with pytest.raises(StoreUnavailable):
        desk.log.write(a_hand_out())
