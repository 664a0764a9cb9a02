"""Hand-out of a live token against a bare Flask route, on the same server settings, in the same run.

``python3 dev.py bench tokens [--seconds 5] [--rounds 3] [--connections 1 8 32] [--crowd 1000000]``. Needs ``wrk``.
Prints one line per figure: name, value, unit, settings. Rounds alternate between the two, so that a busy machine
disturbs both alike. With a crowd the same is measured again with that many connections in the database.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median
from unittest.mock import patch

from app.dev.ports import choose_port
from app.wsgi import create
from tests.bench._due import LIMIT, due_scan, held_in_cache
from tests.bench._installation import installation
from tests.bench._load import Reading, load, memory_mb, server
from tests.bench._parts import table
from tests.bench._seed import Seeded, add_crowd, seed, write_script

WIDE_OPEN = {"LATCHKEY_HAND_OUTS_PER_S": "1000000"}
"""The limit for one service and connection is measured with its work, not with its effect."""


class Bench:
    """Two servers side by side and the figures taken from them."""

    def __init__(self, options: argparse.Namespace, stack: ExitStack) -> None:
        self.options = options
        self.ports = choose_port(None, [8180]), choose_port(None, [8190])
        url = f"http://localhost:{self.ports[0]}"
        place = stack.enter_context(installation(url, "http://127.0.0.1:9", **WIDE_OPEN))
        stack.enter_context(patch.dict("os.environ", place.environment))
        self.database_url = place.environment["DATABASE_URL"]
        self.seeded: Seeded = seed()
        self.script = write_script(place.directory, self.seeded)
        self.product = stack.enter_context(server(place, "app.wsgi:create", self.ports[0]))
        self.bare = stack.enter_context(server(place, "tests.bench._bare:application", self.ports[1]))

    def compare(self, label: str) -> dict[int, float]:
        """Print both servers' figures at each number of connections; return the ratios."""
        return {connections: self._at(connections, label) for connections in self.options.connections}

    def _at(self, connections: int, label: str) -> float:
        seconds, rounds = self.options.seconds, self.options.rounds
        bare, ours = [], []
        for _ in range(rounds):
            bare.append(load(self.bare, self.ports[1], connections, seconds, self.script))
            ours.append(load(self.product, self.ports[0], connections, seconds, self.script))
        settings = f"c{connections}, {rounds} rounds of {seconds} s, granian 2 x 8{label}"
        _print(f"bare c{connections}", bare, settings)
        _print(f"hand-out c{connections}", ours, settings)
        ratio = median(o.requests_per_s / b.requests_per_s for o, b in zip(ours, bare, strict=True))
        per_cpu = median(o.per_cpu_s / b.per_cpu_s for o, b in zip(ours, bare, strict=True))
        print(f"hand-out / bare c{connections}: {ratio:.2f} ratio, {settings}")
        print(f"hand-out / bare c{connections} per CPU-second of the server: {per_cpu:.2f} ratio, {settings}")
        return ratio


def _print(name: str, readings: Sequence[Reading], settings: str) -> None:
    print(f"{name}: {median(r.requests_per_s for r in readings):.0f} requests/s, {settings}")
    print(f"{name} p50: {median(r.p50_ms for r in readings):.2f} ms, {settings}")
    print(f"{name} p99: {median(r.p99_ms for r in readings):.2f} ms, {settings}")
    print(f"{name} per CPU-second: {median(r.per_cpu_s for r in readings):.0f} requests, {settings}")
    print(f"{name} errors: {sum(r.errors for r in readings)} answers, {settings}")


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--crowd", type=int, default=0, help="connections to add for a second measurement")
    options = parser.parse_args(arguments)
    if shutil.which("wrk") is None:
        sys.stderr.write("wrk is needed (Debian package wrk)\n")
        return 2
    with ExitStack() as stack:
        bench = Bench(options, stack)
        small = bench.compare("")
        print(f"web processes: {memory_mb(bench.product.pid):.0f} MB PSS, 2 workers x 8 threads, after the load")
        for name, microseconds in table(create(), bench.seeded):
            print(f"{name}: {microseconds:.0f} us processor time, one thread, in process")
        if options.crowd:
            _with_a_crowd(bench, small)
    return 0


def _with_a_crowd(bench: Bench, small: dict[int, float]) -> None:
    count = bench.options.crowd
    before = memory_mb(bench.product.pid)
    add_crowd(bench.database_url, count)
    took_ms, plan = due_scan(bench.database_url)
    print(f"due scan: {took_ms:.2f} ms in the server, {LIMIT} of {count:,} connections, half of them due")
    print("\n".join(f"    {line}" for line in plan))
    print(f"connections with indexes: {held_in_cache(bench.database_url)}, {count:,} rows")
    large = bench.compare(f", {count:,} connections")
    for connections, ratio in large.items():
        print(f"large / small database c{connections}: {ratio / small[connections]:.2f} ratio of the ratios")
    print(f"web processes: {memory_mb(bench.product.pid):.0f} MB PSS, {before:.0f} MB before the crowd")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
