"""``latchkey services allow-return``, as an operator runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.installation import PUBLIC_URL, write_files

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def allow_return(desk, database_url, tmp_path):
    """Run the command on the desk's database."""
    directory = tmp_path / "installation"
    directory.mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LATCHKEY_")},
        "LATCHKEY_PUBLIC_URL": PUBLIC_URL,
        "DATABASE_URL": database_url,
        "REDIS_URL": "redis://127.0.0.1:1/0",
        **write_files(directory, "client-secret", "http://127.0.0.1:1"),
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "app.cli", "services", "allow-return", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    return run


def test_an_allowed_address_can_be_returned_to_at_once_and_is_audited(desk, ada, allow_return):
    uri = "https://assistant.example.com/elsewhere"

    done = allow_return("assistant", uri)

    assert (done.returncode, done.stdout) == (0, f"Connect links of assistant may lead back to {uri}\n"), done.stderr
    desk.make(ada.person_id(), return_uri=uri)
    assert (uri,) in desk.rows("audit_events WHERE kind = 'return_uri_allowed'", "detail->>'uri'")


def test_what_could_lead_astray_is_refused_with_the_reason(desk, allow_return):
    refused = allow_return("assistant", "http://assistant.example.com/back")

    assert refused.returncode == 1
    assert refused.stderr.startswith("a return address without TLS")
    assert desk.rows("service_return_uris") == [(1,)]
