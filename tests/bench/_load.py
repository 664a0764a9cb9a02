"""Servers under the Procfile's settings, the load generator, and what both use of the machine."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import sysconf
from pathlib import Path

from tests.bench._installation import Installation

GRANIAN = (
    "--interface", "wsgi", "--factory", "--workers", "2", "--blocking-threads", "8", "--no-ws", "--log-level", "error",
)  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """One run of the load generator."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    errors: int
    cpu_s: float
    """Used by the server and its children during the run."""
    seconds: float

    @property
    def per_cpu_s(self) -> float:
        """Return requests per second of the server's processor time."""
        return self.requests_per_s * self.seconds / max(self.cpu_s, 0.001)


@contextmanager
def server(place: Installation, target: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a granian server of ``target`` and wait until it answers."""
    program = str(Path(sys.executable).with_name("granian"))
    command = [program, *GRANIAN, "--host", "127.0.0.1", "--port", str(port), target]
    process = subprocess.Popen(command, env=place.environment, stdout=subprocess.DEVNULL)
    try:
        _wait_for(f"http://localhost:{port}/healthz")
        yield process
    finally:
        process.terminate()
        process.wait(20)


def _wait_for(url: str) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(url, timeout=1)  # noqa: S310  # our own address
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return


def load(
    process: subprocess.Popen[bytes], port: int, connections: int, seconds: int, script: Path,
    path: str = "/oauth2/token",
) -> Reading:  # fmt: skip
    """Let ``wrk`` ask for tokens, or whatever a script asks for at a path, with one thread."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script)]
    before = cpu_s(process.pid)
    done = subprocess.run([*command, f"http://localhost:{port}{path}"], capture_output=True, text=True, check=True)
    used, text = cpu_s(process.pid) - before, done.stdout
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return Reading(
        float(found(r"Requests/sec:\s+([\d.]+)", text)),
        _milliseconds(found(r"\n\s+50%\s+(\S+)", text)),
        _milliseconds(found(r"\n\s+99%\s+(\S+)", text)),
        int(failed.group(1)) if failed else 0,
        used,
        seconds,
    )


def found(pattern: str, text: str) -> str:
    """Return the group of a pattern that must be there."""
    match = re.search(pattern, text)
    if match is None:
        raise SystemExit(f"unexpected output:\n{text}")
    return match.group(1)


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]  # wrk's own format
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def cpu_s(pid: int) -> float:
    """Return the processor time of a process and its children so far."""
    total = 0
    for member in _family(pid):
        fields = (member / "stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    """Return the proportional set size of a process and its children."""
    sizes = (int(found(r"Pss:\s+(\d+)", (member / "smaps_rollup").read_text())) for member in _family(pid))
    return sum(sizes) / 1024


def private_mb(pid: int) -> float:
    """Return the memory of a process and its children that they share with nobody: no other process moves it."""
    text = "".join((member / "smaps_rollup").read_text() for member in _family(pid))
    return sum(map(int, re.findall(r"Private_\w+:\s+(\d+)", text))) / 1024


def _family(pid: int) -> Iterator[Path]:
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if int(path.name) == pid or parent == pid:
            yield path
