"""The worker carries into the audit log what a killed process left behind, and every event."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.integration.workers.conftest import ROOT, Bench


def killed_writer(bench: Bench) -> str:
    """Write a hand-out in a process of its own, kill it at once, and return the id it reported."""
    environment = bench.place.environment
    directory = Path(environment["LATCHKEY_STATE_DIR"]) / "audit"
    command = [sys.executable, "-m", "tests.integration.audit.writer", bench.place.database_url, str(directory)]
    writer = subprocess.Popen(
        [*command, environment["LATCHKEY_KEYRING_FILE"], "100000"], cwd=ROOT, env=environment, stdout=subprocess.PIPE
    )
    assert writer.stdout is not None
    reported = writer.stdout.readline().decode().strip()
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    return reported


def test_a_tick_carries_in_what_waits(bench: Bench) -> None:
    reported = killed_writer(bench)
    bench.place.sign_in()
    directory = Path(bench.place.environment["LATCHKEY_STATE_DIR"]) / "audit"
    assert len(list(directory.iterdir())) == 1

    with bench.worker():
        bench.send("chain_audit", queue="maint")
        bench.wait_until(lambda: bench.place.rows("SELECT 1 FROM audit_log WHERE kind = 'signed_in'"))

    assert bench.place.rows("SELECT kind FROM audit_log WHERE id = %s", reported) == [("hand_out.released",)]
    assert bench.place.rows("SELECT 1 FROM audit_events") == []
    assert list(directory.iterdir()) == []
    assert bench.place.services.audit.verify().fault is None
