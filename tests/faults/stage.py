"""An installation with a crew of real processes, a crowd of connections, and a record of what happens to them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from tests.faults.crew import Job
from tests.faults.history import HandOut, History
from tests.faults.installation import Installation
from tests.faults.recording import record
from tests.running_product import eventually


class Crew:
    """Hands out jobs to processes of the product, and collects their reports."""

    def __init__(self, environment: dict[str, str]) -> None:
        # A session of its own: an interrupted test run must not interrupt children before their parent.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.crew"], env=environment, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self._lines: list[dict[str, Any]] = []
        self._errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        self._jobs = 0

    def start(self, job: Job) -> int:
        """Let a new process do `job`; return its id."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(job)) + "\n")
        self._process.stdin.flush()
        self._jobs += 1
        return eventually(lambda: self._born(self._jobs), within_s=60, what="a process", every_s=0.005)

    def reports(self, pid: int | None = None) -> list[dict[str, Any]]:
        """Return what a process, or all of them, have reported."""
        return [line for line in list(self._lines) if "pid" in line and pid in (None, line["pid"])]

    def wait(self, pids: Iterable[int], within_s: float) -> None:
        """Return when all these processes have done their jobs."""
        pids = set(pids)
        eventually(
            lambda: pids <= {line["pid"] for line in self.reports() if "done" in line},
            within_s=within_s, what="the jobs' end", every_s=0.05,
        )  # fmt: skip
        assert "Traceback" not in self.output(), self.output()

    def wait_until_ready(self, pids: Iterable[int]) -> None:
        """Return when all these processes have built everything and announced themselves."""
        pids = set(pids)
        eventually(
            lambda: pids <= {line["pid"] for line in self.reports() if "ready" in line},
            within_s=90, what="the crew", every_s=0.02,
        )  # fmt: skip

    def signal(self, pid: int, number: signal.Signals) -> float:
        """Send a signal to a process; return the time."""
        os.kill(pid, number)
        return time.time()

    def hand_outs(self) -> tuple[HandOut, ...]:
        """Return every request for a token that ended."""
        return tuple(
            HandOut(
                UUID(line["connection"]), line["began_at"], line["ended_at"], line.get("access"),
                line.get("generation"), None, line.get("warning"), line.get("error"),
            )
            for line in self.reports() if "connection" in line and "access" in line
        )  # fmt: skip

    def output(self) -> str:
        """Return everything the processes wrote: reports are the test's own words."""
        return "".join(self._errors)

    def close(self) -> None:
        """End all processes."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(30)
        finally:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            for reader in self._readers:
                reader.join(5)
            for pipe in (self._process.stdout, self._process.stderr):
                assert pipe is not None
                pipe.close()

    def _born(self, number: int) -> int | None:
        born = [line["born"] for line in list(self._lines) if "born" in line]
        return born[number - 1] if len(born) >= number else None

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(json.loads(line))

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        self._errors.extend(self._process.stderr)


class Stage:
    """What an experiment works with."""

    def __init__(self, place: Installation, crew: Crew) -> None:
        self.place = place
        self.crew = crew

    def history(self, hand_outs: tuple[HandOut, ...] = ()) -> History:
        """Return what happened, with the requests of the crew and those given."""
        places = {"output of the crew": self.crew.output().encode()}
        return record(self.place, (*self.crew.hand_outs(), *hand_outs), places)

    def starting_gun(self) -> Path:
        """Return a file that is not there: whoever waits for it starts when it is made."""
        return Path(self.place.environment["LATCHKEY_STATE_DIR"]) / f"start-{uuid4()}"

    def open_attempts(self) -> int:
        return self.place.rows("SELECT count(*) FROM refresh_attempts WHERE outcome IS NULL")[0][0]


@contextmanager
def staged(place: Installation) -> Iterator[Stage]:
    """Open the stage for a block; afterwards nobody is on it."""
    crew = Crew(place.environment)
    try:
        yield Stage(place, crew)
    finally:
        crew.close()
