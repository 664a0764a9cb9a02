"""Hold one embedded server: where its output goes, when it is ready, how it ends."""

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from app.dev.children import Unprivileged, describe_status, kill, spawn

_READY_WITHIN_S = 30.0
_POLL_S = 0.02
_TAIL_LINES = 15


class EmbeddedServerError(RuntimeError):
    """An embedded server cannot be had; the message says why and what to do instead."""


class ServerProcess:
    """One server as a foreground child, with its output in a log file or in a descriptor of the caller."""

    def __init__(self, name: str, *, stop_signal: signal.Signals, log_file: Path, output: int | None) -> None:
        self.name = name
        self.stop_signal = stop_signal
        """What asks the server to end in order; also sent by the kernel when we die."""
        self._log_file = log_file
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running child. Raises EmbeddedServerError when it was not started."""
        if self._process is None:
            raise EmbeddedServerError(f"{self.name} is not running")
        return self._process

    def start(
        self, command: Sequence[str], *, env: Mapping[str, str], unprivileged: Unprivileged | None = None
    ) -> None:
        """Start the server; it is not ready yet. Call from the main thread: the death signal follows the thread."""
        if self._output is not None:
            self._spawn(command, self._output, env, unprivileged)
            return
        with self._log_file.open("ab") as log:
            self._spawn(command, log.fileno(), env, unprivileged)

    def wait_until(self, is_ready: Callable[[], bool]) -> None:
        """Return when `is_ready` says so.

        Raises EmbeddedServerError, with nothing left running, when the server dies or takes more than 30 s.
        """
        deadline = time.monotonic() + _READY_WITHIN_S
        while not is_ready():
            status = self.process.poll()
            if status is not None:
                raise EmbeddedServerError(f"{self.name} ended at once with {describe_status(status)}{self._tail()}")
            if time.monotonic() > deadline:
                self.stop(grace_s=0)
                raise EmbeddedServerError(f"{self.name} was not ready after {_READY_WITHIN_S:.0f} s{self._tail()}")
            time.sleep(_POLL_S)

    def stop(self, *, grace_s: float) -> int | None:
        """End the server in order, or by force after `grace_s`; return its exit status, None when never started."""
        if self._process is None:
            return None
        process, self._process = self._process, None
        if process.poll() is None:
            process.send_signal(self.stop_signal)
        try:
            return process.wait(timeout=grace_s)
        except subprocess.TimeoutExpired:
            kill(process)
            return process.returncode

    def _spawn(
        self, command: Sequence[str], output: int, env: Mapping[str, str], unprivileged: Unprivileged | None
    ) -> None:
        self._process = spawn(command, death_signal=self.stop_signal, output=output, env=env, unprivileged=unprivileged)

    def _tail(self) -> str:
        if self._output is not None or not self._log_file.exists():
            return ""
        lines = self._log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
        return "".join(f"\n  {line}" for line in lines)
