"""First sync of a large calendar: events a second, and where the time goes.

``python3 dev.py bench first_sync [--events 10000] [--rounds 1]``. Latchkey runs in this process, on a PostgreSQL of its
own that writes durably; the sandbox runs in another process and shares the machine. Prints one line per case: events
and occurrences stored, events a second, the share of time waiting for the sandbox, and the rest split into parse,
expand and store. A second full pass over the unchanged calendar follows, as after an expired cursor.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Unpack
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import requests

from app.bootstrap import Services, assemble, provider_settings, utc_now
from app.config import LoadedConfig, load_config
from app.crypto.keyring import Keyring
from app.crypto.sealing import build_sealer
from app.dev.demo import GOOGLE_CLIENT_ID, MICROSOFT_CLIENT_ID
from app.dev.ports import choose_port
from app.domain.authorizations import Callback, Started
from app.domain.errors import CursorExpired
from app.domain.features import Feature
from app.domain.people import Person
from app.domain.secret import Secret
from app.providers.http import OutboundClient, Reply, RequestOptions
from app.providers.registry import build_providers
from app.services.authorization import Connected, SignedIn
from app.store.postgres import PostgresStore
from app.store.unit_of_work import UnitOfWork
from tests.bench._installation import installation
from tests.fake_provider import RecordingNudge

PUBLIC_URL = "http://localhost:8000"
CASES = (
    ("google", "ada", "google_page_size", 2500),
    ("google", "ada", "google_page_size", 250),
    ("microsoft", "chiara", "graph_page_size", 50),
)


@dataclass
class Stopwatch:
    """Seconds by what they were spent on."""

    spent_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("fetch", "read", "write"), 0.0))
    calls: int = 0

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Count the time of a block."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.spent_s[what] += time.perf_counter() - started


class TimedClient(OutboundClient):
    """The real client, timed."""

    watch = Stopwatch()

    def request(self, method: str, url: str, **options: Unpack[RequestOptions]) -> Reply:
        """Make the call."""
        self.watch.calls += 1
        with self.watch.on("fetch"):
            return super().request(method, url, **options)


class TimedStore(PostgresStore):
    """The real store, timed by unit of work: staging, reading it back and applying it."""

    watch = Stopwatch()

    @contextmanager
    def transaction(self) -> Iterator[UnitOfWork]:
        """Open a write transaction."""
        with self.watch.on("write"), super().transaction() as tx:
            yield tx

    @contextmanager
    def reading(self) -> Iterator[UnitOfWork]:
        """Open a unit for reads."""
        with self.watch.on("write"), super().reading() as tx:
            yield tx


class TimedCalendars:
    """The real calendars of a provider, timed from the call to the last page."""

    def __init__(self, calendars: Any) -> None:
        self._calendars = calendars
        self.watch = Stopwatch()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._calendars, name)

    def changes(self, *arguments: Any, **options: Any) -> list[Any]:
        """Return all pages."""
        with self.watch.on("read"):
            return list(self._calendars.changes(*arguments, **options))


@dataclass
class Bench:
    """The product in this process, and the sandbox's address."""

    services: Services
    store: TimedStore
    http: TimedClient
    sandbox_url: str
    person: Person | None = None

    def control(self, path: str, **body: object) -> Any:
        """Call the sandbox's control interface."""
        answer = requests.post(f"{self.sandbox_url}/_control/{path}", json=body, timeout=600)
        assert answer.ok, answer.text[:500]
        return answer.json() if answer.content else None

    def connect(self, provider: str, account: str) -> UUID:
        """Walk through a consent; return the connection."""
        assert self.person is not None
        started = self.services.authorization.start_connect(
            self.person.id, provider, (Feature.IDENTITY, Feature.CALENDAR_READ), "/"
        )
        done = self.finish(provider, account, started, self.person.id)
        assert isinstance(done, Connected)
        return done.connection.id

    def finish(self, provider: str, account: str, started: Started, person_id: UUID | None) -> object:
        """Agree at the sandbox, and hand its callback to the product."""
        location = self.control("approve", url=started.authorization_url, account=account)["location"]
        values = {name: found[0] for name, found in parse_qs(urlsplit(location).query).items()}
        code, iss = Secret(values["code"]), values.get("iss")
        callback = Callback(provider, values["state"], code, None, iss, started.browser_token, person_id)
        return self.services.authorization.finish(callback)


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args(arguments)
    for provider, account, setting, size in CASES:
        for _ in range(options.rounds):
            measure(provider, account, setting, size, options.events)
    return 0


def measure(provider: str, account: str, setting: str, size: int, count: int) -> None:
    """Measure one case on servers and a sandbox of its own."""
    port = choose_port(None, [8766])
    sandbox_url = f"http://127.0.0.1:{port}"
    # The window holds all that the sandbox makes.
    window = {"LATCHKEY_SYNC_PAST_DAYS": "100", "LATCHKEY_SYNC_FUTURE_DAYS": "500"}
    with installation(PUBLIC_URL, sandbox_url, **window) as place, sandbox(port):
        with patch.dict("os.environ", place.environment):
            bench = build(load_config(), sandbox_url, provider, account)
        try:
            bench.control("settings", **{setting: size})
            bench.control("bulk", provider=provider, account=account, count=count)
            connection_id = bench.connect(provider, account)
            bench.services.calendar_lists.read(connection_id)
            with bench.store.reading() as tx:
                calendar = tx.calendars.of_connection(connection_id)[0]
            run(bench, calendar.id, provider, f"{provider}, {size} a page, first sync")
            bench.control("expire_sync_tokens", provider=provider, account=account)
            try:
                bench.services.calendar_sync.sync(calendar.id)
            except CursorExpired:
                run(bench, calendar.id, provider, f"{provider}, {size} a page, full pass, nothing changed")
        finally:
            bench.http.close()
            bench.store.close()


def run(bench: Bench, calendar_id: UUID, provider: str, name: str) -> None:
    """Sync once and print how long it took with what."""
    calendars: Any = bench.services.providers.get(provider).calendars
    bench.http.watch = bench.store.watch = calendars.watch = watch = Stopwatch()
    started = time.perf_counter()
    outcome = bench.services.calendar_sync.sync(calendar_id)
    total_s = time.perf_counter() - started
    assert outcome is not None
    spent = watch.spent_s
    parse_s, expand_s = spent["read"] - spent["fetch"], total_s - spent["read"] - spent["write"]
    own_s = total_s - spent["fetch"]
    print(
        f"{name}: {outcome.events} events, {outcome.occurrences} occurrences in {total_s:.2f} s, "
        f"{outcome.events / total_s:.0f} events/s; waiting for the sandbox {spent['fetch'] / total_s:.0%} "
        f"({watch.calls} calls, {spent['fetch']:.2f} s); own {own_s:.2f} s, {outcome.events / own_s:.0f} events/s: "
        f"parse {parse_s:.2f} s, expand {expand_s:.2f} s, store {spent['write']:.2f} s",
        flush=True,
    )


def build(config: LoadedConfig, sandbox_url: str, provider: str, account: str) -> Bench:
    """Return the product, with somebody signed in."""
    env = config.environment
    store, http = TimedStore(env.database_url), TimedClient(config.file.routes)
    settings = [provider_settings(key, table) for key, table in config.file.providers.items()]
    providers = build_providers(settings, http, env.public_url, utc_now)
    one: Any
    for one in providers.all():
        if one.calendars is not None:
            one.calendars = TimedCalendars(one.calendars)
    services = assemble(config, store, build_sealer(Keyring.load(env.keyring_file)), providers, RecordingNudge())
    bench = Bench(services, store, http, sandbox_url)
    done = bench.finish(provider, account, services.authorization.start_sign_in(provider, "/", None), None)
    assert isinstance(done, SignedIn)
    bench.person = done.person
    return bench


@contextmanager
def sandbox(port: int) -> Iterator[None]:
    """Run the sandbox in a process of its own."""
    command = [sys.executable, "-m", "app.sandbox", "--port", str(port), "--no-push"]
    for provider, client_id in (("google", GOOGLE_CLIENT_ID), ("microsoft", MICROSOFT_CLIENT_ID)):
        command += ["--client", f"{provider}:{client_id}:bench-secret:{PUBLIC_URL}/callback/{provider}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{port}/_control/settings", process)
        yield
    finally:
        process.terminate()
        process.wait(20)


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return when somebody answers at ``url``."""
    for _ in range(300):
        try:
            requests.get(url, timeout=1)
        except requests.RequestException:
            if process.poll() is not None:
                raise SystemExit("the sandbox ended") from None
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the sandbox does not answer")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
