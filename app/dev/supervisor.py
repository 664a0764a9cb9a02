"""Keep a family of processes running together: show their output, end all when one dies, stop them in order.

One thread does everything by turns (`_pump`), so there is nothing to lock, and the children's death signal, which
follows the thread that started them, is tied to the program as a whole.
"""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import FrameType
from typing import NoReturn, Self

from app.dev.children import describe_status, has_died, kill, spawn
from app.dev.output import Console, LineReader

_TURN_S = 0.1
_PROBE_PAUSE_S = 0.2
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stage(IntEnum):
    """When a process stops: lower stages first, so that nobody loses a server it still needs."""

    ENTRANCE = 0
    """Takes new work in: web, beat."""
    WORKER = 1
    """Finishes the work it has."""
    OUTSIDE = 2
    """The emulated outside world, which workers call to the end."""
    BROKER = 3
    DATABASE = 4


@dataclass(frozen=True)
class Watched:
    """A running process and how to end it."""

    name: str
    process: subprocess.Popen[bytes]
    stage: Stage
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 10


class ChildDiedError(RuntimeError):
    """A process that should run on has ended by itself; the message names it."""


class NotReadyError(RuntimeError):
    """Something did not become ready in time; the message names it."""


class StopRequested(Exception):
    """A signal (Ctrl-C, SIGTERM, SIGHUP) asks for the end, or the reader of our output has gone."""


class Supervisor:
    """A context: inside, signals are requests; at the end every process is stopped in order."""

    def __init__(self, console: Console) -> None:
        """Show output on `console`; nothing runs yet."""
        self._console = console
        self._selector = selectors.DefaultSelector()
        self._watched: list[Watched] = []
        self._signals = 0
        self._previous: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> Self:
        """Take over the stop signals."""
        for number in _STOP_SIGNALS:
            self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything and give the signals back."""
        self.stop()
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._selector.close()

    def channel(self, name: str) -> int:
        """Return a descriptor whose lines are shown under `name`; the caller closes it once the child has it."""
        reading, writing = os.pipe()
        self._selector.register(reading, selectors.EVENT_READ, (name, LineReader(reading)))
        return writing

    def watch(self, watched: Watched) -> None:
        """Look after a process that somebody else started."""
        self._watched.append(watched)

    def start(self, name: str, command: str, *, env: Mapping[str, str], stage: Stage, grace_s: float = 10) -> None:
        """Start a shell command and look after it. It must stop on SIGTERM; after `grace_s` it is killed."""
        self.watch(Watched(name, self._spawn(name, command, env), stage, grace_s=grace_s))

    def run_to_end(self, name: str, command: str, *, env: Mapping[str, str]) -> int:
        """Run a shell command, its output shown, and return its exit status.

        Raises StopRequested and ChildDiedError as `watch_until`; the command is killed then.
        """
        process = self._spawn(name, command, env)
        try:
            while not has_died(process):
                self._turn()
        finally:
            kill(process)
        self._pump(0)
        return process.returncode

    def watch_until(self, is_ready: Callable[[], bool], *, what: str, within_s: float) -> None:
        """Return when `is_ready` says so; it must not block for long.

        Raises NotReadyError after `within_s`, ChildDiedError when a process ends, StopRequested on a signal.
        """
        deadline = time.monotonic() + within_s
        while not is_ready():
            if time.monotonic() > deadline:
                raise NotReadyError(f"{what} was not ready after {within_s:.0f} s")
            # Not after every line of output: the probes themselves make output.
            asked = time.monotonic()
            while time.monotonic() < asked + _PROBE_PAUSE_S:
                self._turn()

    def watch_on(self) -> NoReturn:
        """Show output until the end, which is always one of the two: ChildDiedError or StopRequested."""
        while True:
            self._turn()

    def stop(self) -> None:
        """Stop all processes, stage by stage, each within its grace; a second signal cuts the waiting short."""
        for stage in Stage:
            batch = [watched for watched in self._watched if watched.stage is stage]
            self._stop_batch(batch)
        self._watched.clear()
        # Everybody is dead, so what is in the pipes is finite.
        while self._selector.get_map() and self._selector.select(0):
            self._pump(0)

    def _spawn(self, name: str, command: str, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        writing = self.channel(name)
        try:
            # exec keeps the shell from standing between the signal and the program.
            shell = ["/bin/sh", "-c", f"exec {command}"]
            return spawn(shell, death_signal=signal.SIGTERM, output=writing, env=env)
        finally:
            os.close(writing)

    def _stop_batch(self, batch: list[Watched]) -> None:
        living = [watched for watched in batch if not has_died(watched.process)]
        for watched in living:
            watched.process.send_signal(watched.stop_signal)
        started = time.monotonic()
        while living:
            self._pump(_TURN_S / 5)
            living = [watched for watched in living if not has_died(watched.process)]
            for watched in living:
                if time.monotonic() - started > self._grace_s(watched):
                    self._console.plain(f"{watched.name} did not stop in time and is killed")
                    kill(watched.process)

    def _grace_s(self, watched: Watched) -> float:
        # Databases keep their time: they are quick, and killing them costs the next start a recovery.
        hurried = self._signals > 1 and watched.stage < Stage.BROKER
        return 0 if hurried else watched.grace_s

    def _turn(self) -> None:
        self._pump(_TURN_S)
        if self._signals or self._console.is_closed:
            raise StopRequested
        for watched in self._watched:
            if has_died(watched.process):
                self._pump(0)
                status = describe_status(watched.process.returncode)
                raise ChildDiedError(f"{watched.name} ended unexpectedly ({status})")

    def _pump(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            name, reader = key.data
            lines, is_open = reader.read()
            for line in lines:
                self._console.line(name, line)
            if not is_open:
                self._selector.unregister(reader.descriptor)
                reader.close()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
