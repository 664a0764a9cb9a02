"""Hand-outs while somebody floods the web server with notifications, valid or forged, against hand-outs alone.

``python3 dev.py bench notifications [--seconds 5] [--rounds 3] [--rate 1000]``. Needs ``wrk``. One flood carries a
channel's token, the other a guessed one; `--rate` is the most that is sent in a second, from 32 connections. Prints
what the hand-outs reach at eight connections with and without each flood, how long a notification takes on a web server
that has nothing else to do, and how many hints for workers came of all valid ones.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from unittest.mock import patch
from uuid import UUID, uuid4

import redis
from sqlalchemy import create_engine, text

from app.bootstrap import build_services
from app.config import load_config
from app.dev.ports import choose_port
from tests.bench._installation import installation
from tests.bench._load import Reading, load, server
from tests.bench._seed import seed, write_script
from tests.bench.tokens import WIDE_OPEN

CONNECTIONS = 32
"""Of the flood."""
_CHANNEL = (
    """
    INSERT INTO calendars (id, connection_id, provider_id, name, access_role, is_primary, created_at)
    VALUES (:calendar, :connection, 'primary', 'Work', 'owner', true, now())
    """,
    "INSERT INTO sync_states (calendar_id, due_at) VALUES (:calendar, now() + interval '1 hour')",
    """
    INSERT INTO channels (id, calendar_id, state, provider_channel_id, resource_id, expires_at, created_at,
                          activated_at)
    VALUES (:channel, :calendar, 'active', :name, 'resource', now() + interval '1 day', now(), now())
    """,
)
_SCRIPT = """
wrk.method = "POST"
wrk.headers["X-Goog-Channel-ID"] = "{channel}"
wrk.headers["X-Goog-Channel-Token"] = "{token}"
wrk.headers["X-Goog-Resource-ID"] = "resource"
wrk.headers["X-Goog-Resource-State"] = "exists"
wrk.headers["X-Goog-Message-Number"] = "7"
function delay()
  return {delay_ms}
end
"""


class Bench:
    """One web server, callers for tokens, and a flood."""

    def __init__(self, options: argparse.Namespace, stack: ExitStack) -> None:
        self.options, self.port = options, choose_port(None, [8180])
        place = stack.enter_context(installation(f"http://localhost:{self.port}", "http://127.0.0.1:9", **WIDE_OPEN))
        stack.enter_context(patch.dict("os.environ", place.environment))
        self.redis_url = place.environment["REDIS_URL"]
        seeded = seed()
        self.hand_outs = write_script(place.directory, seeded)
        self.floods = self._write_floods(place.directory, place.environment["DATABASE_URL"], seeded.connection_id)
        self.process = stack.enter_context(server(place, "app.wsgi:create", self.port))

    def measure(self) -> None:
        """Print the figures; rounds alternate, so that a busy machine disturbs all alike."""
        alone: list[Reading] = []
        readings: dict[str, dict[str, list[Reading]]] = {name: {} for name in self.floods}
        for _ in range(self.options.rounds):
            alone.append(self._hand_outs())
            for name, found in readings.items():
                found.setdefault("alone", []).append(self._notifications(name))
                with ThreadPoolExecutor(1) as threads:
                    flooding = threads.submit(self._notifications, name)
                    found.setdefault("hand-outs", []).append(self._hand_outs())
                    found.setdefault("among hand-outs", []).append(flooding.result())
        most = f"at most {self.options.rate}/s"
        settings = f"{self.options.rounds} rounds of {self.options.seconds} s, granian 2 x 8, {most}"
        _print("hand-outs c8", alone, settings)
        for name, found in readings.items():
            _print(f"{name} notifications", found["alone"], settings)
            _print(f"{name} notifications among hand-outs", found["among hand-outs"], settings)
            _print(f"hand-outs c8 among {name} notifications", found["hand-outs"], settings)
            ratio = median(one.p99_ms / other.p99_ms for one, other in zip(found["hand-outs"], alone, strict=True))
            print(f"hand-outs c8 among {name} notifications / alone: {ratio:.2f} ratio of p99, {settings}")
        with redis.Redis.from_url(self.redis_url) as broker:
            hints = sum(broker.llen(name) for name in broker.keys("*") if broker.type(name) == b"list")
        print(f"hints for workers: {hints} for all valid notifications of one calendar that nobody syncs")

    def _hand_outs(self) -> Reading:
        return load(self.process, self.port, 8, self.options.seconds, self.hand_outs)

    def _notifications(self, name: str) -> Reading:
        return load(self.process, self.port, CONNECTIONS, self.options.seconds, self.floods[name], "/hooks/google")

    def _write_floods(self, directory: Path, database_url: str, connection_id: UUID) -> dict[str, Path]:
        services, channel = build_services(load_config()), uuid4()
        token = services.channels.tokens.issue(channel).reveal()
        row = {
            "calendar": uuid4(), "connection": connection_id, "channel": channel, "name": str(channel),
        }  # fmt: skip
        with create_engine(database_url).begin() as connection:
            for statement in _CHANNEL:
                named = {name: value for name, value in row.items() if f":{name}" in statement}
                connection.execute(text(statement), named)
        services.hand_out_log.close()
        delay_ms = 1000 * CONNECTIONS // self.options.rate
        paths = {name: directory / f"{name}.lua" for name in ("valid", "forged")}
        paths["valid"].write_text(_SCRIPT.format(channel=channel, token=token, delay_ms=delay_ms))
        paths["forged"].write_text(_SCRIPT.format(channel=channel, token=f"{channel}.guessed", delay_ms=delay_ms))
        return paths


def _print(name: str, readings: Sequence[Reading], settings: str) -> None:
    print(f"{name}: {median(one.requests_per_s for one in readings):.0f} requests/s, {settings}")
    print(f"{name} p50: {median(one.p50_ms for one in readings):.2f} ms, {settings}")
    print(f"{name} p99: {median(one.p99_ms for one in readings):.2f} ms, {settings}")


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=1000, help="notifications a second, at most")
    options = parser.parse_args(arguments)
    if shutil.which("wrk") is None:
        sys.stderr.write("wrk is needed (Debian package wrk)\n")
        return 2
    with ExitStack() as stack:
        Bench(options, stack).measure()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
