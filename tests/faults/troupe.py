"""The product's own processes beside an installation: started by the Procfile's lines, killed and started again.

`python -m app.dev run` ends when one of its processes dies; a platform starts another one instead, as here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

from app.dev.children import kill, spawn
from app.dev.procfile import read_procfile
from tests.faults.installation import Installation
from tests.running_product import ROOT, eventually

READY_WITHIN_S = 60.0


@dataclass
class Troupe:
    """Web server, worker and beat of one installation."""

    place: Installation
    port: int
    log: Path
    """Output of all processes."""
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Start a process of the Procfile; ``name`` may carry a number: `worker.2`."""
        line = read_procfile(ROOT / "Procfile")[name.partition(".")[0]].command
        environment = self.place.environment | {
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        with self.log.open("ab") as output:
            self._running[name] = spawn(
                ["/bin/sh", "-c", f"exec {line}"],
                death_signal=signal.SIGKILL, output=output.fileno(), env=environment,
            )  # fmt: skip

    def kill(self, name: str) -> None:
        """End a process and all of its own at once, as kill -9 does."""
        kill(self._running.pop(name))

    def pid(self, name: str) -> int:
        """Return the process id of a running one."""
        return self._running[name].pid

    def wait_until_served(self) -> None:
        """Return when the web server says that it is ready."""
        eventually(self._is_ready, within_s=READY_WITHIN_S, what="the web server")

    def close(self) -> None:
        """End all of them."""
        for name in tuple(self._running):
            self.kill(name)

    def _is_ready(self) -> bool:
        try:
            return requests.get(f"http://localhost:{self.port}/readyz", timeout=5).ok
        except requests.RequestException:
            return False


@contextmanager
def troupe(place: Installation, port: int, log: Path) -> Iterator[Troupe]:
    """Start web, worker and beat for ``place`` and end them with the block."""
    made = Troupe(place, port, log)
    try:
        for name in ("web", "worker", "beat"):
            made.start(name)
        made.wait_until_served()
        yield made
    finally:
        made.close()
