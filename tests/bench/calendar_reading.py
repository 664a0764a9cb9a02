"""``/v1/events`` for one person and two weeks, against the bare query, in the same run.

``python3 dev.py bench calendar_reading [--people 500] [--occurrences 1000] [--rounds 400]``. Everybody has one calendar
whose occurrences are spread over 400 days. Each round takes somebody else and asks three ways, one after the other: the
query alone with its rows read, the whole request inside this process, and the request over HTTP to a server with the
Procfile's settings. Prints p50 and p99 of each, their ratio, and what the database does for the query.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from statistics import median, quantiles
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode

from flask import Flask
from sqlalchemy import Connection, create_engine, text

from app.bootstrap import build_services
from app.config import load_config
from app.dev.ports import choose_port
from app.domain.features import Feature, scopes_for
from app.store.occurrence_pages import OCCURRENCES
from app.web.application import create_app
from app.web.settings import WebSettings
from tests.bench._installation import installation
from tests.bench._load import server

START = datetime.now(UTC).replace(microsecond=0)
PAGE = 250

_ROWS = (
    """
    INSERT INTO people (id, display_name, email, time_zone, created_at)
    SELECT md5('person' || n)::uuid, 'Person ' || n, 'p' || n || '@example.com', 'Europe/Berlin', now()
    FROM generate_series(1, :people) n
    """,
    """
    INSERT INTO connections (id, person_id, provider, kind, issuer, subject, status, status_since, requested_features,
                             granted_scopes, created_at, calendars_listed_at)
    SELECT md5('connection' || n)::uuid, md5('person' || n)::uuid, 'google', 'google', 'https://accounts.google.com',
           'subject-' || n, 'active', now(), ARRAY['calendar.read'], :scopes, now(), now()
    FROM generate_series(1, :people) n
    """,
    """
    INSERT INTO calendars (id, connection_id, provider_id, name, time_zone, access_role, is_primary, created_at)
    SELECT md5('calendar' || n)::uuid, md5('connection' || n)::uuid, 'primary', 'Work', 'Europe/Berlin', 'owner', true,
           now()
    FROM generate_series(1, :people) n
    """,
    """
    INSERT INTO sync_states (calendar_id, cursor, window_start, window_end, due_at, last_success_at)
    SELECT md5('calendar' || n)::uuid, 'cursor', now(), now() + interval '400 days', now(), now()
    FROM generate_series(1, :people) n
    """,
    """
    INSERT INTO events (calendar_id, provider_id, kind, status, all_day, start_at, end_at, time_zone, rules, busy,
                        event_type, privacy, is_organizer, attendees, attendees_omitted, summary, location, description,
                        content_hash, generation, first_seen_at, changed_at)
    SELECT md5('calendar' || n)::uuid, 'event-' || e, 'master', 'confirmed', false, now(), now() + interval '1 hour',
           'Europe/Berlin', ARRAY['RRULE:FREQ=WEEKLY'], 'busy', 'default', 'default', true,
           '[{"name": "Grace", "email": "grace@example.com", "response": "accepted"},
             {"name": "Linus", "email": "linus@example.com", "response": "needs_action"}]',
           false, 'Event ' || e, 'Room ' || e, repeat('Agenda. ', 20), sha256(e::text::bytea), 1, now(), now()
    FROM generate_series(1, :people) n, generate_series(1, :events) e
    """,
    """
    INSERT INTO occurrences (calendar_id, series_id, recurrence_id, source_id, person_id, all_day, start_at, end_at,
                             busy)
    SELECT md5('calendar' || n)::uuid, 'event-' || (o % :events) + 1, 'r' || o, 'event-' || (o % :events) + 1,
           md5('person' || n)::uuid, false, at, at + interval '30 minutes', 'busy'
    FROM generate_series(1, :people) n, generate_series(1, :occurrences) o,
         LATERAL (SELECT CAST(:start AS timestamptz) + interval '400 days' * o / :occurrences AS at) AS place
    """,
)


class Bench:
    """One database, one server, and somebody else in each round."""

    def __init__(self, options: argparse.Namespace, stack: ExitStack) -> None:
        self.options, self.chance = options, random.Random(1)
        port = choose_port(None, [8180])
        self.host = f"localhost:{port}"
        place = stack.enter_context(installation(f"http://{self.host}", "http://127.0.0.1:9"))
        stack.enter_context(patch.dict("os.environ", place.environment))
        engine = create_engine(place.environment["DATABASE_URL"])
        with engine.begin() as connection:
            self._fill(connection)
        self.database = stack.enter_context(engine.connect().execution_options(isolation_level="AUTOCOMMIT"))
        self.database.execute(text("VACUUM ANALYZE"))
        services = build_services(load_config())
        self.app: Flask = create_app(services, WebSettings(f"http://{self.host}", services.csrf_key))
        secret = services.callers.registry.add("bench", (Feature.CALENDAR_READ,), act_as=True)
        self.token = services.callers.tokens.issue(services.clients.authenticate("bench", secret.reveal()))[0].reveal()
        stack.callback(services.hand_out_log.close)
        stack.enter_context(server(place, "app.wsgi:create", port))
        self.http = _connected(port)
        stack.callback(self.http.close)

    def _fill(self, connection: Connection) -> None:
        options = self.options
        values = {
            "people": options.people,
            "occurrences": options.occurrences,
            "events": max(1, options.occurrences // 10),
            "scopes": sorted(scopes_for("google", (Feature.CALENDAR_READ,))),
            "start": START,
        }
        for statement in _ROWS:
            named = {name: value for name, value in values.items() if f":{name}" in statement}
            connection.execute(text(statement), named)

    def measure(self) -> None:
        """Print the figures."""
        found: dict[str, list[float]] = {"bare query": [], "request in process": [], "request over HTTP": []}
        sizes: list[int] = []
        for number in range(self.options.rounds + 50):
            asked = self._somebody()
            for name, way in zip(found, (self._bare, self._whole, self._over_http), strict=True):
                took_ms, size = timed(way, asked)
                # The first rounds open connections and fill caches.
                if number >= 50:
                    found[name].append(took_ms)
                    sizes.append(size)
        settings = (
            f"one person, 14 days, {median(sizes):.0f} occurrences, {self.options.people:,} people, "
            f"{self.options.people * self.options.occurrences:,} occurrences stored, {self.options.rounds} rounds"
        )
        for name, times in found.items():
            print(f"{name} p50: {median(times):.2f} ms, {settings}")
            print(f"{name} p99: {quantiles(times, n=100)[98]:.2f} ms, {settings}")
        bare = found["bare query"]
        for name in ("request in process", "request over HTTP"):
            ratios = sorted(one / other for one, other in zip(found[name], bare, strict=True))
            p99 = quantiles(found[name], n=100)[98] / quantiles(bare, n=100)[98]
            print(f"{name} / bare query: {median(ratios):.2f} ratio of p50, {p99:.2f} of p99, {settings}")
        for line in self._plan():
            print(f"    {line}")

    def _somebody(self) -> dict[str, Any]:
        start = START + timedelta(days=self.chance.randrange(300))
        number = self.chance.randrange(1, self.options.people + 1)
        [row] = self.database.execute(
            text("SELECT md5('person' || CAST(:n AS text))::uuid AS person, md5('calendar' || CAST(:n AS text))::uuid"
                 " AS calendar"), {"n": number},
        )  # fmt: skip
        end = start + timedelta(days=14)
        return {
            "people": [row.person], "calendars": [row.calendar], "firsts": [start.date()], "lasts": [end.date()],
            "from": start, "to": end, "begins": "-infinity", "calendar": "00000000-0000-0000-0000-000000000000",
            "series": "", "recurrence": "", "limit": PAGE + 1,
        }  # fmt: skip

    def _bare(self, asked: dict[str, Any]) -> int:
        return len(self.database.execute(OCCURRENCES, asked).all())

    def _path(self, asked: dict[str, Any]) -> tuple[str, str]:
        window = {"from": asked["from"].isoformat(), "to": asked["to"].isoformat()}
        return "/v1/events", urlencode({"user": str(asked["people"][0]), "limit": PAGE, **window})

    def _whole(self, asked: dict[str, Any]) -> int:
        path, query = self._path(asked)
        environ = {
            "REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query, "SCRIPT_NAME": "",
            "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": self.host,
            "REMOTE_ADDR": "127.0.0.1", "HTTP_AUTHORIZATION": f"Bearer {self.token}", "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr, "wsgi.version": (1, 0), "wsgi.multithread": True,
            "wsgi.multiprocess": True, "wsgi.run_once": False,
        }  # fmt: skip
        body = b"".join(self.app(environ, lambda *_: lambda _: None))
        return len(json.loads(body)["occurrences"])

    def _over_http(self, asked: dict[str, Any]) -> int:
        path, query = self._path(asked)
        self.http.request(
            "GET", f"{path}?{query}", headers={"Host": self.host, "Authorization": f"Bearer {self.token}"}
        )
        return len(json.loads(self.http.getresponse().read())["occurrences"])

    def _plan(self) -> list[str]:
        statement = text(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {OCCURRENCES.text}")
        return [row[0] for row in self.database.execute(statement, self._somebody())]


def _connected(port: int) -> http.client.HTTPConnection:
    """Return an open connection to the server, which takes its time on a busy machine."""
    for _ in range(240):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        try:
            connection.connect()
        except OSError:
            time.sleep(0.5)
        else:
            return connection
    raise SystemExit("the server does not start")


def timed(way: Callable[[dict[str, Any]], int], asked: dict[str, Any]) -> tuple[float, int]:
    """Return milliseconds and what came of it."""
    began = time.perf_counter()
    size = way(asked)
    return (time.perf_counter() - began) * 1000, size


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=500)
    parser.add_argument("--occurrences", type=int, default=1000, help="of each person")
    parser.add_argument("--rounds", type=int, default=400)
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        Bench(options, stack).measure()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
