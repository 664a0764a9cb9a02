"""Calendars edited without pause while notifications lie, calls fail, workers are killed: in the end all is equal."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
import redis

from app.sandbox.calendar.chaos import ALL_KINDS, Weather
from tests.faults.followers import Follower, Row, follower_of
from tests.faults.installation import installation
from tests.faults.town import FAULTS, KEPT_EACH, Size, Town
from tests.faults.troupe import troupe
from tests.running_product import free_port

SHORT = Size(accounts=2, calendars=3, seconds=12, edits_per_s=8, kill_every_s=5)
FULL = Size(accounts=10, calendars=5, seconds=60, edits_per_s=20, kill_every_s=5)


# --- the trouble


def trouble(town: Town, until: float, chance: random.Random) -> None:
    """Script faults, kill workers and empty Redis, until a monotonic time; leave a living worker behind."""
    kill_at, flush_at = time.monotonic() + town.size.kill_every_s, (time.monotonic() + until) / 2
    while (now := time.monotonic()) < until:
        operation, kind, members = chance.choice(FAULTS)
        town.place.fault(operation, kind, count=chance.randint(1, 3), **members)
        if now >= kill_at:
            kill_at += town.size.kill_every_s
            town.troupe.kill("worker")
            town.troupe.start("worker")
        if now >= flush_at:
            flush_at = until
            with redis.Redis.from_url(town.redis_url) as broker:
                broker.flushdb()
        time.sleep(0.25)


@dataclass
class Reader:
    """Reads all calendars again and again and notes each that was half there."""

    town: Town
    halves: list[tuple[UUID, int]] = field(default_factory=list)
    looks: int = 0

    def look(self) -> None:
        """Read everything once."""
        kept = self.town.kept_here()
        self.halves += [(key, kept.get(key, 0)) for key in self.town.calendars() if kept.get(key, 0) != KEPT_EACH]
        self.looks += 1


@contextmanager
def repeating(action: Callable[[], None], every_s: float) -> Iterator[None]:
    """Do something again and again while the block runs; raises at its end what that raised."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(every_s):
            action()

    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(repeat)
        try:
            yield
        finally:
            over.set()
        done.result()


# --- the experiment


@pytest.fixture
def town(tmp_path: Path, database_url: str, redis_url: str, *, is_full: bool) -> Iterator[Town]:
    port = free_port()
    settings = {"LATCHKEY_POLL_INTERVAL_S": "10"}
    with (
        installation(tmp_path, database_url, redis_url, public_url=f"http://localhost:{port}", **settings) as place,
        troupe(place, port, tmp_path / "troupe.log") as processes,
    ):
        yield Town(processes, FULL if is_full else SHORT, redis_url)


@pytest.mark.timeout(600)
def test_after_the_storm_every_calendar_equals_the_providers(town: Town) -> None:
    town.settle()
    weather = Weather(tuple(town.places()), town.size.edits_per_s, town.size.seconds, 20261123, ALL_KINDS)
    reader, follower = Reader(town), follower_of(town.troupe)
    with repeating(reader.look, 0.05), repeating(follower.follow, 0.2):
        town.side.chaos.start(weather)
        trouble(town, time.monotonic() + town.size.seconds, random.Random(20261123))
        town.side.chaos.wait(60)
        town.place.mend()
        done, ended_at = town.side.chaos.state(), time.monotonic()
        agree_within(120, lambda: synced_otherwise(town))
        took_s = time.monotonic() - ended_at

    print(f"{done['edits']} edits, {len(town.places())} calendars, {reader.looks} looks, equal after {took_s:.0f} s")
    assert done["edits"] == weather.planned
    assert reader.looks > 10
    assert reader.halves == []
    for reading in (follower, follower.replay()):
        agree_within(30, partial(told_otherwise, town, reading))


def agree_within(seconds: float, differences: Callable[[], dict[object, object]]) -> None:
    """Return when nothing differs any more; fail with what does."""
    deadline = time.monotonic() + seconds
    while found := differences():
        assert time.monotonic() < deadline, f"{len(found)} calendars differ: {found}"
        time.sleep(0.5)


def synced_otherwise(town: Town) -> dict[object, object]:
    """Return by calendar what is stored alone and what the provider shows alone."""
    windows = town.windows()
    here, found = town.here(windows), dict[object, object]()
    for key, place in town.calendars().items():
        if key not in windows:
            found[place] = "is to be read anew"
        elif apart := _apart(here[key], town.there(place, *windows[key])):
            found[place] = apart
    return found


def told_otherwise(town: Town, follower: Follower) -> dict[object, object]:
    """Return by calendar what is stored alone and what a service that follows the feed has alone."""
    follower.follow()
    told, stored = follower.rows(), town.told()
    both = {key: _apart(stored.get(key, set()), told.get(key, set())) for key in stored.keys() | told.keys()}
    return {key: apart for key, apart in both.items() if apart}


def _apart(first: set[Row], second: set[Row]) -> tuple[list[Row], list[Row]] | None:
    return None if first == second else (sorted(first - second)[:3], sorted(second - first)[:3])
