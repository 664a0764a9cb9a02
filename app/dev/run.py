"""Run the whole product on this machine: servers, migrations, sandbox, web, workers, beat."""

import http.client
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from app.dev.demo import demo_lines, demo_service_secret, sandbox_client_arguments, write_demo_configuration
from app.dev.options import SANDBOX_PORT, WEB_PORT, RunOptions, parse_migrate, parse_run
from app.dev.output import Console
from app.dev.ports import PortTakenError, choose_port
from app.dev.private_paths import UnsafeDirectoryError, make_private
from app.dev.procfile import ProcfileError, read_procfile
from app.dev.server_process import EmbeddedServerError
from app.dev.servers import database_url, redis_url
from app.dev.settings import (
    AlreadyRunningError,
    RunLock,
    ensure_keyring,
    forget_everything,
    load_settings,
    save_settings,
)
from app.dev.supervisor import ChildDiedError, NotReadyError, Stage, StopRequested, Supervisor

_READY_WITHIN_S = 90.0
_PROBE_TIMEOUT_S = 1.0
_GRACE_S = {Stage.ENTRANCE: 10.0, Stage.WORKER: 20.0, Stage.OUTSIDE: 5.0}


class CannotRunError(RuntimeError):
    """The run cannot start as asked; the message says what to change."""


@dataclass(frozen=True)
class Addresses:
    """Where this run is reached."""

    port: int
    public_url: str
    sandbox_port: int | None
    """None: no sandbox."""

    @property
    def sandbox_url(self) -> str | None:
        """Address of the sandbox, None without one.

        Another host name than the product's, as cookies do not tell ports apart (RFC 6265 section 8.5).
        """
        return f"http://127.0.0.1:{self.sandbox_port}" if self.sandbox_port else None


def run_command(arguments: Sequence[str]) -> int:
    """Run everything until Ctrl-C (status 0) or until something fails (status 1, the reason on standard error)."""
    options = parse_run(arguments)
    console = Console(sys.stdout)
    try:
        with RunLock(options.data_dir), Supervisor(console) as supervisor:
            _run(options, supervisor, console)
    except StopRequested:
        console.plain("Stopped.")
        return 0
    except _FAILURES as failure:
        sys.stderr.write(f"dev.py run: {failure}\n")
        return 1


def migrate_command(arguments: Sequence[str]) -> int:
    """Bring the database to the newest schema: the one `DATABASE_URL` names, else the embedded one."""
    places = parse_migrate(arguments)
    try:
        with RunLock(places.data_dir), Supervisor(Console(sys.stdout)) as supervisor:
            environment = os.environ | {"DATABASE_URL": database_url(supervisor, places.data_dir, os.environ)}
            _migrate(supervisor, places.procfile, _with_our_programs(environment))
    except StopRequested:
        return 1
    except _FAILURES as failure:
        sys.stderr.write(f"dev.py migrate: {failure}\n")
        return 1
    return 0


def _run(options: RunOptions, supervisor: Supervisor, console: Console) -> NoReturn:
    if options.is_reset:
        _reset(options.data_dir)
    addresses = _addresses(options)
    environment = _with_our_programs(os.environ)
    environment["DATABASE_URL"] = database_url(supervisor, options.data_dir, os.environ)
    environment["REDIS_URL"] = redis_url(supervisor, options.data_dir, os.environ)
    environment |= _our_settings(options.data_dir, addresses)
    _migrate(supervisor, options.procfile, environment)
    if addresses.sandbox_url is not None:
        _start_sandbox(options, addresses, supervisor, environment)
    _start_processes(options, supervisor, environment)
    supervisor.watch_until(
        lambda: _answers(addresses.port, "/readyz"), what="the web process", within_s=_READY_WITHIN_S
    )
    console.plain("\nLatchkey is running. Ctrl-C stops it.\n")
    secret = demo_service_secret(environment)
    for line in demo_lines(addresses.public_url, addresses.sandbox_url, secret):
        console.plain(line)
    console.plain("")
    supervisor.watch_on()


def _reset(data_dir: Path) -> None:
    if os.environ.get("DATABASE_URL"):
        # The keyring is about to go, and with it every token sealed in a database that stays.
        raise CannotRunError("--reset deletes the keys for the data in DATABASE_URL; unset one of the two")
    forget_everything(data_dir)


def _addresses(options: RunOptions) -> Addresses:
    kept = load_settings(options.data_dir)
    port = choose_port(options.port, [kept.web_port, WEB_PORT])
    sandbox_port = None
    if options.has_sandbox:
        others = [candidate for candidate in (kept.sandbox_port, SANDBOX_PORT) if candidate != port]
        sandbox_port = choose_port(options.sandbox_port, others)
    save_settings(options.data_dir, replace(kept, web_port=port, sandbox_port=sandbox_port or kept.sandbox_port))
    public_url = os.environ.get("LATCHKEY_PUBLIC_URL") or f"http://localhost:{port}"
    return Addresses(port=port, public_url=public_url, sandbox_port=sandbox_port)


def _our_settings(data_dir: Path, addresses: Addresses) -> dict[str, str]:
    """Return the product's settings for this run; what the environment sets already is left alone."""
    ours = {
        "HOST": "127.0.0.1",
        "PORT": str(addresses.port),
        "LATCHKEY_PUBLIC_URL": addresses.public_url,
        "LATCHKEY_KEYRING_FILE": os.environ.get("LATCHKEY_KEYRING_FILE") or str(ensure_keyring(data_dir)),
        "LATCHKEY_STATE_DIR": os.environ.get("LATCHKEY_STATE_DIR") or str(make_private(data_dir / "state")),
    }
    if addresses.sandbox_url is not None:
        demo = write_demo_configuration(data_dir, addresses.public_url, addresses.sandbox_url)
        ours |= {name: os.environ.get(name) or value for name, value in demo.items()}
    return ours


def _with_our_programs(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which `python`, `granian` and `celery` of the Procfile are this installation's."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{environ.get('PATH', os.defpath)}"
    return {**environ, "PATH": path, "PYTHONUNBUFFERED": "1"}


def _migrate(supervisor: Supervisor, procfile: Path, environment: Mapping[str, str]) -> None:
    release = read_procfile(procfile).get("release")
    if release is None:
        raise CannotRunError(f"{procfile} has no release line to migrate the database with")
    status = supervisor.run_to_end("migrate", release.command, env=environment)
    if status != 0:
        raise CannotRunError(f"the migration failed with status {status}")


def _start_sandbox(
    options: RunOptions, addresses: Addresses, supervisor: Supervisor, environment: Mapping[str, str]
) -> None:
    port, url = addresses.sandbox_port, addresses.sandbox_url
    if port is None or url is None:
        return
    command = [sys.executable, "-m", "app.sandbox", "--port", str(port), "--base-url", url]
    command += ["--access-token-lifetime", str(options.token_lifetime_s)]
    command += ["--state", str(options.data_dir / "sandbox.json")]
    command += sandbox_client_arguments(options.data_dir, addresses.public_url)
    supervisor.start(
        "sandbox", shlex.join(command), env=environment, stage=Stage.OUTSIDE, grace_s=_GRACE_S[Stage.OUTSIDE]
    )
    supervisor.watch_until(lambda: _answers(port, "/"), what="the sandbox", within_s=_READY_WITHIN_S)


def _start_processes(options: RunOptions, supervisor: Supervisor, environment: Mapping[str, str]) -> None:
    for process_type in read_procfile(options.procfile).values():
        if process_type.name == "release":
            continue
        stage = Stage.ENTRANCE if process_type.name in ("web", "beat") else Stage.WORKER
        supervisor.start(process_type.name, process_type.command, env=environment, stage=stage, grace_s=_GRACE_S[stage])


def _answers(port: int, path: str) -> bool:
    """Say whether a GET is answered with success; a plain connection, as no proxy may stand between."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PROBE_TIMEOUT_S)
    try:
        connection.request("GET", path, headers={"Host": f"localhost:{port}"})
        return connection.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


_FAILURES = (
    AlreadyRunningError,
    CannotRunError,
    ChildDiedError,
    EmbeddedServerError,
    NotReadyError,
    PortTakenError,
    ProcfileError,
    UnsafeDirectoryError,
)
