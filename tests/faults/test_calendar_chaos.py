"""Calendars edited without pause while notifications lie, calls fail, workers are killed: in the end all is equal."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
import redis
import requests

from app.domain.features import Feature
from app.sandbox.calendar.chaos import ALL_KINDS, Place, Weather
from app.sandbox.calendar.chaos_hands import SHELTERED
from app.sandbox.calendar.judging import occurrences
from app.sandbox.calendar.state import side_of
from tests.faults.crowds import settle
from tests.faults.installation import installation
from tests.faults.troupe import Troupe, troupe
from tests.running_product import eventually, free_port

KINDS = ("google", "microsoft")
FEATURES = (Feature.IDENTITY, Feature.CALENDAR_READ)
EDGE = timedelta(days=2)
"""At the very edges of a window providers decide by the owner's zone what is inside."""
KEPT_EACH = 12
"""Events in each calendar that nobody edits: whoever reads a calendar must find them, always."""

Row = tuple[str, str, datetime, datetime, str, str]
"""Series, recurrence id, start, end, busy, title; of dates their midnights in UTC."""


@dataclass(frozen=True)
class Size:
    """How much of it."""

    accounts: int
    """Of each provider."""
    calendars: int
    """Of each account."""
    seconds: float
    edits_per_s: float
    kill_every_s: float


SHORT = Size(accounts=2, calendars=3, seconds=12, edits_per_s=8, kill_every_s=5)
FULL = Size(accounts=10, calendars=5, seconds=60, edits_per_s=20, kill_every_s=5)


@dataclass
class Town:
    """Many calendars at both providers, and the product that follows them."""

    troupe: Troupe
    size: Size
    redis_url: str
    accounts: dict[UUID, tuple[str, str]] = field(default_factory=dict)
    """Provider and account's key by connection."""

    @property
    def place(self):
        return self.troupe.place

    @property
    def side(self):
        return side_of(self.place.sandbox.app)

    def settle(self) -> None:
        """Give everybody their calendars, connect them, and wait until all have been read."""
        for kind in KINDS:
            for settled in settle(
                self.place, kind, self.size.accounts, lifetime_s=3600, due_in_s=1800, features=FEATURES
            ):
                self.accounts[settled.connection] = (kind, settled.account)
        for kind in KINDS:
            keys = [key for found, key in self.accounts.values() if found == kind]
            self._control("mailboxes", provider=kind, accounts=keys, calendars=self.size.calendars)
        for place in self.places():
            for number in range(KEPT_EACH):
                self._keep(place, number)
        self.place.rows("UPDATE connections SET calendar_list_due_at = now()")
        eventually(self._all_read, within_s=180, what="the first syncs", every_s=0.5)

    def places(self) -> list[Place]:
        """Return every calendar that is edited."""
        found = []
        for kind, key in self.accounts.values():
            box = self.side.world.mailbox(kind, key)
            found += [Place(kind, key, name) for name, calendar in box.calendars.items() if _is_own(calendar.entry)]
        return found

    def calendars(self) -> dict[UUID, Place]:
        """Return every calendar that is edited, by its id here."""
        rows = self.place.rows("SELECT id, connection_id, provider_id FROM calendars WHERE removed_at IS NULL")
        wanted = set(self.places())
        found = {row[0]: Place(*self.accounts[row[1]], row[2]) for row in rows}
        return {key: place for key, place in found.items() if place in wanted}

    def windows(self) -> dict[UUID, tuple[datetime, datetime]]:
        """Return the windows less their edges, of calendars that have one: none, until a lost cursor is mended."""
        rows = self.place.rows("SELECT calendar_id, window_start, window_end FROM sync_states WHERE cursor IS NOT NULL")
        return {key: (low + EDGE, high - EDGE) for key, low, high in rows}

    def here(self, windows: dict[UUID, tuple[datetime, datetime]]) -> dict[UUID, set[Row]]:
        """Return what is stored, by calendar."""
        found: dict[UUID, set[Row]] = {key: set() for key in windows}
        for key, *row in self.place.rows(_STORED):
            if key in windows and _touches(tuple(row), *windows[key]):
                found[key].add(tuple(row))
        return found

    def there(self, place: Place, low: datetime, high: datetime) -> set[Row]:
        """Return what the provider shows of a calendar in a window."""
        account = self.place.sandbox.state.accounts.by_key(place.provider, place.account)
        shown = occurrences(self.side, account, place.calendar_id, low - EDGE, high + EDGE)["occurrences"]
        rows = {
            (
                row["series_id"],
                row["recurrence_id"],
                _moment(row["start"]),
                _moment(row["end"]),
                row["busy"],
                row["title"],
            )
            for row in shown
        }
        return {row for row in rows if _touches(row, low, high)}

    def kept_here(self) -> dict[UUID, int]:
        """Return how many of the untouched events a reader finds in each calendar, with one statement."""
        return dict(self.place.rows(_KEPT, SHELTERED))

    def _all_read(self) -> bool:
        kept = self.kept_here()
        return len(self.calendars()) == len(self.places()) and all(
            kept.get(key) == KEPT_EACH for key in self.calendars()
        )

    def _keep(self, place: Place, number: int) -> None:
        day = (datetime.now(UTC) + timedelta(days=3 + number)).date()
        self._control(
            "events", provider=place.provider, account=place.account, calendar=place.calendar_id, action="add",
            title=SHELTERED, start=f"{day}T04:00", end=f"{day}T04:30",
        )  # fmt: skip

    def _control(self, path: str, **body: object) -> None:
        answer = requests.post(f"{self.place.sandbox.base_url}/_control/{path}", json=body, timeout=60)
        assert answer.ok, answer.text


_STORED = """
    SELECT o.calendar_id, o.series_id, o.recurrence_id,
           coalesce(o.start_at, o.start_date::timestamp AT TIME ZONE 'UTC'),
           coalesce(o.end_at, o.end_date::timestamp AT TIME ZONE 'UTC'), o.busy, coalesce(e.summary, '')
    FROM occurrences o
    LEFT JOIN events e ON e.calendar_id = o.calendar_id AND e.provider_id = o.source_id
"""
_KEPT = """
    SELECT o.calendar_id, count(*) FROM occurrences o
    JOIN events e ON e.calendar_id = o.calendar_id AND e.provider_id = o.source_id
    WHERE e.summary = %s GROUP BY o.calendar_id
"""


def _is_own(entry: Mapping[str, object]) -> bool:
    return entry.get("accessRole") in ("owner", "writer") or bool(entry.get("canEdit"))


def _moment(text: str) -> datetime:
    """Return an instant; of a date its midnight in UTC."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _touches(row: Row, low: datetime, high: datetime) -> bool:
    return row[2] < high and (row[3] > low or row[2] >= low)


# --- the trouble


FAULTS = (
    ("push.google", "drop", {}),
    ("push.graph", "drop", {}),
    ("push.google", "duplicate", {}),
    ("push.graph", "duplicate", {}),
    ("push.google", "forge", {}),
    ("push.graph", "forge", {}),
    ("google.events", "gone_410", {}),
    ("graph.delta", "gone_410", {}),
    ("google.events", "status", {"status": 429, "retry_after": "1"}),
    ("graph.delta", "status", {"status": 429, "retry_after": "1"}),
    ("google.events", "status", {"status": 503}),
    ("graph.delta", "status", {"status": 503}),
    ("graph.events", "truncate", {}),
    ("google.events", "reset", {}),
)


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
class Reader(threading.Thread):
    """Reads all calendars again and again and notes each that was half there."""

    town: Town
    halves: list[tuple[UUID, int]] = field(default_factory=list)
    looks: int = 0

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self._over = threading.Event()

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        while not self._over.wait(0.05):
            self.look()

    def look(self) -> None:
        """Read everything once."""
        kept = self.town.kept_here()
        self.halves += [(key, kept.get(key, 0)) for key in self.town.calendars() if kept.get(key, 0) != KEPT_EACH]
        self.looks += 1

    def stop(self) -> None:
        self._over.set()
        self.join(30)


@contextmanager
def reading(town: Town) -> Iterator[Reader]:
    """Let somebody read all the time while the block runs."""
    reader = Reader(town)
    reader.start()
    try:
        yield reader
    finally:
        reader.stop()


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
    with reading(town) as reader:
        town.side.chaos.start(weather)
        trouble(town, time.monotonic() + town.size.seconds, random.Random(20261123))
        town.side.chaos.wait(60)
        town.place.mend()
        done = town.side.chaos.state()
        settled_within(town, 120)

    assert done["edits"] == weather.planned
    assert reader.looks > 10
    assert reader.halves == []


def settled_within(town: Town, seconds: float) -> None:
    """Return when all calendars are equal; fail with what differs."""
    deadline = time.monotonic() + seconds
    while found := difference(town):
        assert time.monotonic() < deadline, f"{len(found)} calendars differ: {found}"
        time.sleep(1.0)


def difference(town: Town) -> dict[Place, object]:
    """Return by calendar what is only here and only there; nothing for equal ones."""
    windows = town.windows()
    here, found = town.here(windows), {}
    for key, place in town.calendars().items():
        if key not in windows:
            found[place] = "is to be read anew"
            continue
        there = town.there(place, *windows[key])
        if here[key] != there:
            found[place] = (sorted(here[key] - there)[:3], sorted(there - here[key])[:3])
    return found
