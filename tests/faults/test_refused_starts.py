"""What is wrong stops the start: one message that lists every fault, a status that says so, no traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults.installation import PUBLIC_URL, write_files
from tests.running_product import free_port

BIN = Path(sys.executable).parent
COMMANDS = {
    "check": (sys.executable, "-m", "app.cli", "check"),
    "web": (
        str(BIN / "granian"), "--interface", "wsgi", "--factory", "--host", "127.0.0.1", "--workers", "1",
        "--blocking-threads", "1", "--no-ws", "app.wsgi:create",
    ),
    "worker": (str(BIN / "celery"), "-A", "workers.main", "worker", "--pool", "threads", "--concurrency", "1"),
    "beat": (str(BIN / "celery"), "-A", "workers.main", "beat", "--scheduler", "celery.beat:Scheduler"),
}  # fmt: skip


@dataclass
class Start:
    """An environment that works, for a test to spoil, and the processes to try it on."""

    environment: dict[str, str]
    directory: Path
    commands: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict(COMMANDS))

    def spoil_providers(self, change: Callable[[str], str]) -> None:
        path = Path(self.environment["LATCHKEY_PROVIDERS_FILE"])
        path.write_text(change(path.read_text()))

    def spoil_keyring(self, ring: object) -> None:
        Path(self.environment["LATCHKEY_KEYRING_FILE"]).write_text(json.dumps(ring))

    def refused(self) -> dict[str, str]:
        """Start every process; assert that each ends by itself as it should, and return what each said."""
        running = {name: self._start(command) for name, command in self.commands.items()}
        try:
            said = {name: process.communicate(timeout=60)[0] for name, process in running.items()}
        finally:
            for process in running.values():
                process.kill()
        for name, process in running.items():
            assert process.returncode != 0, f"{name} started:\n{said[name]}"
            assert "Traceback" not in said[name], f"{name}:\n{said[name]}"
            assert said[name].count("Latchkey cannot start:") == 1, f"{name}:\n{said[name]}"
        return said

    def _start(self, command: tuple[str, ...]) -> subprocess.Popen[str]:
        environment = self.environment
        if "granian" in command[0]:
            environment = {**environment, "GRANIAN_PORT": str(free_port())}
        return subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )


@pytest.fixture
def start(tmp_path: Path, database_url: str, redis_url: str) -> Start:
    environment = {
        "PATH": f"{BIN}:/usr/bin:/bin",
        "LATCHKEY_PUBLIC_URL": PUBLIC_URL,
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        **write_files(tmp_path, "a-client-secret-of-the-test", "http://127.0.0.1:9"),
    }
    return Start(environment, tmp_path)


def only_check(start: Start) -> Start:
    """Keep the one process that is quick: the others read the same configuration by the same function."""
    return Start(start.environment, start.directory, {"check": COMMANDS["check"]})


def test_every_process_names_all_faults_of_the_environment_at_once(start: Start) -> None:
    del start.environment["DATABASE_URL"]
    del start.environment["LATCHKEY_KEYRING_FILE"]
    start.environment |= {
        "LATCHKEY_PUBLIC_URL": "http://latchkey.example.com",
        "LATCHKEY_POLL_INTERVAL_S": "soon",
        "LATCHKEY_POLL_INTERVALL_S": "20",
        "OAUTHLIB_INSECURE_TRANSPORT": "1",
    }

    for said in start.refused().values():
        for word in (
            "DATABASE_URL", "LATCHKEY_KEYRING_FILE", "LATCHKEY_PUBLIC_URL: must use https", "LATCHKEY_POLL_INTERVAL_S",
            "LATCHKEY_POLL_INTERVALL_S is not a setting", "OAUTHLIB_INSECURE_TRANSPORT is set",
        ):  # fmt: skip
            assert word in said


def test_every_process_misses_its_servers(start: Start) -> None:
    start.environment |= {
        "DATABASE_URL": f"postgresql://nobody:hidden-password@127.0.0.1:{free_port()}/latchkey",
        "REDIS_URL": f"redis://:hidden-password@127.0.0.1:{free_port()}/0",
    }

    for said in start.refused().values():
        assert "DATABASE_URL: no PostgreSQL answers there" in said
        assert "REDIS_URL: no Redis answers there" in said
        assert "hidden-password" not in said


def test_an_old_schema_is_refused(start: Start, empty_database_url: str) -> None:
    start.environment["DATABASE_URL"] = empty_database_url

    assert "the schema is not up to date; run `latchkey migrate`" in only_check(start).refused()["check"]


def test_a_key_ring_that_is_missing_short_or_another_one_is_refused(start: Start) -> None:
    once = subprocess.run(COMMANDS["check"], env=start.environment, capture_output=True, text=True, check=False)
    assert once.returncode == 0, once.stdout + once.stderr

    with_other_key = write_files(start.directory, "x", "http://127.0.0.1:9")
    start.environment |= with_other_key
    assert "this database was sealed with another key" in only_check(start).refused()["check"]
    start.spoil_keyring({"primary": "k1", "keys": {"k1": "c2hvcnQ="}})
    assert "keyring" in only_check(start).refused()["check"].lower()
    start.spoil_keyring({"primary": "k2", "keys": {}})
    assert "keyring" in only_check(start).refused()["check"].lower()
    Path(start.environment["LATCHKEY_KEYRING_FILE"]).unlink()
    assert "keyring" in only_check(start).refused()["check"].lower()


def test_a_half_configured_provider_is_refused_by_name(start: Start) -> None:
    start.spoil_providers(
        lambda text: text.replace('issuer = "https://idp.sandbox.test"\n', "").replace(
            'client_secret = "a-client-secret-of-the-test"\n', "", 1
        )
    )

    said = only_check(start).refused()["check"]

    assert "providers.acme: issuer is missing" in said
    assert "providers.google: client_secret, client_secret_file or private_key_file is missing" in said
    assert "a-client-secret" not in said


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda _: "", "declares no provider"),
        (lambda text: text + "[broken", "LATCHKEY_PROVIDERS_FILE"),
        (lambda text: text.replace('kind = "google"', 'kind = "gogle"'), "providers.google.kind"),
        (lambda text: text.replace("client_id", "client_ident", 1), "client_ident"),
    ],
)
def test_a_providers_file_that_cannot_be_meant_is_refused(
    start: Start, spoil: Callable[[str], str], words: str
) -> None:
    start.spoil_providers(spoil)

    said = only_check(start).refused()["check"]

    assert words in said
    assert "a-client-secret" not in said
