"""Memory of the worker and the web server while calendars are edited for an hour and providers fail now and then.

``python3 dev.py bench endurance [--minutes 60] [--rate 4] [--accounts 5] [--calendars 4]``. Runs the Procfile's
processes with the sandbox beside them; a service follows the feed of changes all the time. Prints every five minutes
the memory that each shares with nobody, and at the end the last quarter's median as a ratio to the second quarter's:
the first one is for threads to start and caches to fill.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from app.dev.postgres_server import PostgresServer
from app.dev.redis_server import RedisServer
from app.sandbox.calendar.chaos import ALL_KINDS, Weather
from app.store.migrating import upgrade
from tests.bench._load import private_mb
from tests.faults.followers import follower_of
from tests.faults.installation import installation
from tests.faults.town import FAULTS, Size, Town
from tests.faults.troupe import Troupe, troupe
from tests.running_product import free_port

SAMPLE_EVERY_S = 5.0
FAULT_EVERY_S = 3.0
WATCHED = ("worker", "web")


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=4.0, help="edits a second")
    parser.add_argument("--accounts", type=int, default=5, help="of each provider")
    parser.add_argument("--calendars", type=int, default=4, help="of each account")
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        town = Town(_product(stack), _size(options), "")
        town.settle()
        measure(town)
    return 0


def _product(stack: ExitStack) -> Troupe:
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="latchkey-bench-")))
    postgres, redis = PostgresServer(directory / "pg").start(), RedisServer(directory / "redis").start()
    stack.callback(postgres.stop)
    stack.callback(redis.stop)
    upgrade(postgres.url)
    port = free_port()
    address = f"http://localhost:{port}"
    place = stack.enter_context(
        installation(directory, postgres.url, redis.url, public_url=address, LATCHKEY_POLL_INTERVAL_S="30")
    )
    return stack.enter_context(troupe(place, port, directory / "troupe.log"))


def _size(options: argparse.Namespace) -> Size:
    return Size(options.accounts, options.calendars, 60 * options.minutes, options.rate, kill_every_s=float("inf"))


def measure(town: Town) -> None:
    """Let it rain, look at the processes, print."""
    samples: dict[str, list[float]] = {name: [] for name in WATCHED}
    chance, follower = random.Random(1), follower_of(town.troupe)
    town.side.chaos.start(Weather(tuple(town.places()), town.size.edits_per_s, town.size.seconds, 1, ALL_KINDS))
    began = time.monotonic()
    fault_at = sample_at = began
    report_at = began + 300
    while (now := time.monotonic()) < began + town.size.seconds:
        if now >= fault_at:
            fault_at += FAULT_EVERY_S
            operation, kind, members = chance.choice(FAULTS)
            town.place.fault(operation, kind, **members)
        if now >= sample_at:
            sample_at += SAMPLE_EVERY_S
            for name, found in samples.items():
                found.append(private_mb(town.troupe.pid(name)))
        if now >= report_at:
            report_at += 300
            sizes = ", ".join(f"{name} {found[-1]:.1f} MB" for name, found in samples.items())
            print(f"minute {(now - began) / 60:.0f}: {sizes}, {town.side.chaos.state()['edits']} edits", flush=True)
        follower.follow()
        time.sleep(0.5)
    settings = (
        f"{town.size.seconds / 60:.0f} minutes, {len(town.places())} calendars, {town.size.edits_per_s:g} edits/s, "
        f"{town.side.chaos.state()['edits']} edits, {len(follower.events)} events followed"
    )
    for name, found in samples.items():
        quarter = len(found) // 4
        second, last = median(found[quarter : 2 * quarter]), median(found[-quarter:])
        print(f"{name} in the second quarter: {second:.1f} MB, {settings}")
        print(f"{name} in the last quarter / in the second: {last / second:.3f} ratio, {settings}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
