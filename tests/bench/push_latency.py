"""From a provider's notification to the change in ``/v1/changes``, with many calendars syncing at once.

``python3 dev.py bench push_latency [--calendars 100] [--rate 2] [--seconds 60] [--each 1]``. Runs the product as
`dev.py run` does, with the sandbox beside it, and connects accounts of both providers, `--each` calendars to a mailbox,
until there are `--calendars`. Then adds events, `--rate` a second, to one calendar after the other, and follows
``GET /v1/changes`` as a service would. Prints per provider p50, p95 and the longest, in milliseconds from the moment
the sandbox began to send the first notification of a change until an answer of the feed holds it; what each part of the
product took of the processors, and what the sandbox was asked for meanwhile. Every wait of the web, the broker, the
worker and the feed is in it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from tests.process_family import status_fields
from tests.running_product import Product, eventually, running_product

PROVIDERS = ("google", "microsoft")
AS_INSTALLED = {"LATCHKEY_POLL_INTERVAL_S": "300"}
"""The usual interval: a run for people to try polls far more often."""

LOOK_EVERY_S = 0.05
RECORD_EVERY_S = 5.0
"""The sandbox remembers a limited number of deliveries."""
PATIENCE_S = 60.0
_SETTLED = """
    SELECT count(*) FILTER (WHERE s.last_success_at IS NULL OR s.requested > s.completed),
           count(*) FILTER (WHERE h.id IS NULL AND s.channel_due_at IS NOT NULL), count(*)
    FROM calendars c
    JOIN sync_states s ON s.calendar_id = c.id
    LEFT JOIN channels h ON h.calendar_id = c.id AND h.state = 'active'
"""


@dataclass(frozen=True)
class Place:
    """One calendar of one account."""

    provider: str
    account: str
    calendar: str


@dataclass
class Edit:
    """One event that was added."""

    place: Place
    title: str
    edited_at: float
    """Seconds since the epoch, when the sandbox was asked."""
    told_at: float | None = None
    """When the sandbox began to send its first notification."""
    seen_at: float | None = None


@dataclass
class Feed:
    """A service that follows ``/v1/changes``."""

    product: Product
    cursor: str | None = None
    answers_s: list[float] = field(default_factory=list)

    def read(self) -> Iterator[str]:
        """Yield the titles of what has changed since last time, page by page."""
        while True:
            query = "" if self.cursor is None else f"&cursor={self.cursor}"
            began = time.perf_counter()
            answer = self.product.service(f"/v1/changes?purpose=demo&limit=500{query}")
            self.answers_s.append(time.perf_counter() - began)
            answer.raise_for_status()
            page = answer.json()
            self.cursor = page["next_cursor"]
            for item in page["changes"]:
                yield str(item.get("event", {}).get("title"))
            if not page["has_more"]:
                return


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calendars", type=int, default=100)
    parser.add_argument("--rate", type=float, default=2.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--each", type=int, default=1)
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="latchkey-bench-") as name,
        running_product(Path(name), environment=AS_INSTALLED, token_lifetime=3600) as product,
    ):
        of_each = (connected(product, provider, options.calendars // 2, options.each) for provider in PROVIDERS)
        places = [place for pair in zip(*of_each, strict=True) for place in pair]
        settle(product)
        product.control("log", "DELETE")
        used_s = cpu_s(product)
        edits = rain(product, places, options.rate, options.seconds)
        used_s = {part: seconds - used_s.get(part, 0) for part, seconds in cpu_s(product).items()}
        asked = Counter(entry["operation"] for entry in product.sandbox_log())
    for provider in PROVIDERS:
        report(provider, [edit for edit in edits if edit.place.provider == provider], options)
    print("seconds of processor time: " + ", ".join(f"{part} {seconds:.1f}" for part, seconds in used_s.items()))
    print("asked of the sandbox: " + ", ".join(f"{name} {count}" for name, count in asked.most_common()))
    return 0


def connected(product: Product, provider: str, calendars: int, each: int) -> list[Place]:
    """Connect accounts with ``each`` calendars; return all of their own calendars."""
    crowd = product.control("crowd", provider=provider, scopes=[], count=max(calendars // each, 1), lifetime_s=3600)
    keys = [member["account"] for member in crowd]
    opened = product.control("mailboxes", provider=provider, accounts=keys, calendars=each)
    person = product.http()
    person.sign_in(provider, keys[0])
    for key in keys:
        person.connect(provider, key)
    return [Place(provider, key, calendar) for key, own in opened.items() for calendar in own]


def settle(product: Product) -> None:
    """Wait until everything is synced and watched, and nothing is on its way."""
    with product.database() as database:

        def is_settled() -> bool:
            row = database.execute(_SETTLED).fetchone()
            return bool(row and row[2] and row[:2] == (0, 0))

        eventually(is_settled, within_s=300, what="a first sync and a channel everywhere")
    product.control("push?wait_s=20", "GET")
    time.sleep(2)


def rain(product: Product, places: Sequence[Place], rate: float, seconds: float) -> list[Edit]:
    """Add events at a steady rate, and follow the feed until all of them are there."""
    feed, edits, waiting = Feed(product), [], {}
    deque(feed.read(), maxlen=0)
    began, looked_at = time.time(), time.time()
    due = deque(began + number / rate for number in range(int(rate * seconds)))
    while due or waiting:
        now = time.time()
        if due and due[0] <= now:
            due.popleft()
            edits.append(edit := add(product, places[len(edits) % len(places)], len(edits)))
            waiting[edit.title] = edit
        for title in feed.read():
            if title in waiting:
                waiting.pop(title).seen_at = time.time()
        if now - looked_at > RECORD_EVERY_S:
            looked_at = now
            learn(product, edits)
        if not due and time.time() - edits[-1].edited_at > PATIENCE_S:
            break
        time.sleep(max(min(LOOK_EVERY_S, due[0] - time.time()) if due else LOOK_EVERY_S, 0))
    learn(product, edits)
    answers_ms = sorted(1000 * each for each in feed.answers_s)
    print(f"feed: {len(answers_ms)} answers, p50 {median(answers_ms):.0f} ms, p95 {p95(answers_ms):.0f} ms")
    return edits


def add(product: Product, place: Place, number: int) -> Edit:
    """Add one event."""
    title, edited_at = f"Measured {number}", time.time()
    start = (datetime.now(UTC) + timedelta(days=1)).replace(hour=12, minute=0, second=0, microsecond=0, tzinfo=None)
    times = {"start": start.isoformat(), "end": (start + timedelta(minutes=30)).isoformat()}
    product.control(
        "events", provider=place.provider, account=place.account, calendar=place.calendar, action="add", title=title,
        **times,
    )  # fmt: skip
    return Edit(place, title, edited_at)


def learn(product: Product, edits: Sequence[Edit]) -> None:
    """Find in the sandbox's record when the first notification of each edit was sent."""
    record: list[dict[str, Any]] = product.control("push", "GET")["sent"]
    for edit in edits:
        if edit.told_at is None:
            sent = [
                one["began_at"]
                for one in record
                if one["account"] == edit.place.account and one["began_at"] >= edit.edited_at and one["state"] != "sync"
            ]
            edit.told_at = min(sent, default=None)


def report(provider: str, edits: Sequence[Edit], options: argparse.Namespace) -> None:
    """Print one line."""
    found_ms = sorted(1000 * (edit.seen_at - edit.told_at) for edit in edits if edit.seen_at and edit.told_at)
    lost = sum(edit.seen_at is None for edit in edits)
    untold = sum(edit.told_at is None for edit in edits)
    print(
        f"{provider}: notification to feed p50 {median(found_ms):.0f} ms, p95 {p95(found_ms):.0f} ms, "
        f"longest {found_ms[-1]:.0f} ms; {len(edits)} edits, {lost} not seen, {untold} without a notification; "
        f"{options.calendars} calendars, {options.each} to a mailbox, {options.rate:g} edits a second, "
        "everything on one machine",
        flush=True,
    )


def cpu_s(product: Product) -> dict[str, float]:
    """Return the seconds of processor time that each part of the product has used; see proc_pid_stat(5)."""
    ticks = {
        part: sum(int(fields[11]) + int(fields[12]) for pid in pids if (fields := status_fields(pid)))
        for part, pids in product.child_pids().items()
    }
    return {part: count / os.sysconf("SC_CLK_TCK") for part, count in ticks.items()}


def p95(values: Sequence[float]) -> float:
    """Return the 95th percentile."""
    return quantiles(values, n=20, method="inclusive")[-1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
