"""Tasks through a real worker process and a real Redis."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import uuid

import redis

from app.domain.connections import Status
from tests.integration.workers.conftest import Bench
from workers.tasks import ROW_TASKS, TICK_TASKS

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
STATE = {
    "connections": "id, status, generation, failures, granted_scopes",
    "token_generations": "connection_id, generation, origin",
    "calendars": "id, name, removed_at",
    "sync_states": "calendar_id, cursor_version, requested, completed, event_count, last_error",
    "events": "calendar_id, provider_id, content_hash",
    "occurrences": "calendar_id, series_id, recurrence_id, start_at, start_date",
    "channels": "id, calendar_id, state",
}
PROVIDER_WORK = (
    "google.token", "google.calendarlist", "google.events", "google.watch",
    "microsoft.token", "graph.calendars", "graph.delta", "graph.subscriptions", "graph.events",
)  # fmt: skip


def state_of(bench: Bench) -> str:
    """Return a digest of everything that tasks may change."""
    rows = {
        # Both names are ours, from the table above.
        table: sorted(map(repr, bench.place.rows(f"SELECT {columns} FROM {table}")))  # noqa: S608
        for table, columns in STATE.items()
    }
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def provider_calls(bench: Bench) -> dict[str, int]:
    return {operation: bench.place.calls(operation) for operation in PROVIDER_WORK}


def is_settled(bench: Bench) -> bool:
    """Tick as beat does, and say whether every calendar is synced and has had its try for a channel."""
    if bench.drained():
        bench.send("sync_due")
        bench.send("open_channels_due", queue="push")
    return not bench.place.rows(
        "SELECT 1 FROM sync_states WHERE completed < requested OR channel_due_at < now() + interval '3 minutes'"
    )


def row_tasks(connections: list, calendars: list) -> list[tuple[str, str, str]]:
    """Return name, argument and queue of every task that could be asked for these rows."""
    per_connection = [
        (n, str(c), q) for c in connections for n, q in (("refresh_connection", "refresh"), ("list_calendars", "sync"))
    ]
    per_calendar = [(n, str(c), q) for c in calendars for n, q in (("sync_calendar", "sync"), ("open_channel", "push"))]
    return per_connection + per_calendar


def test_every_task_runs_and_a_tenfold_shuffled_repetition_changes_nothing(bench: Bench) -> None:
    place = bench.place
    person = place.sign_in()
    connections = [place.connect(kind, person).id for kind in ("google", "microsoft")]
    place.age(connections[0])
    with bench.worker() as log:
        for name in TICK_TASKS:
            bench.send(name)
        bench.wait_until(lambda: not place.rows("SELECT 1 FROM connections WHERE calendars_listed_at IS NULL"))
        calendars = [row[0] for row in place.rows("SELECT id FROM calendars")]
        bench.wait_until(lambda: is_settled(bench))
        bench.wait_until(bench.drained)
        generations = place.rows("SELECT generation FROM connections WHERE id = %s", connections[0])
        before, calls = state_of(bench), provider_calls(bench)

        storm = row_tasks(connections, calendars) * 10
        random.Random(7).shuffle(storm)
        for name, argument, queue in storm:
            bench.send(name, argument, queue=queue)
        bench.wait_until(bench.drained)

    assert set(ROW_TASKS) == {name for name, _, _ in storm}
    assert generations == [(2,)], "the aged token was not refreshed by the worker"
    assert place.rows("SELECT count(*) FROM events") > [(0,)]
    assert place.rows("SELECT count(*) FROM channels WHERE state = 'active'") >= [(2,)]
    assert provider_calls(bench) == calls
    assert state_of(bench) == before
    assert place.rows("SELECT status FROM connections GROUP BY status") == [(Status.ACTIVE,)]
    assert "Traceback" not in log.read_text()
    # No web process answers Graph's validation here, so its subscriptions are refused and left for later.
    alarms = [line for line in log.read_text().splitlines() if "-> alarm" in line]
    assert all("open_channel" in line and "provider_rejected" in line for line in alarms)


def test_a_task_for_a_row_that_is_gone_and_a_malformed_one_do_no_harm(bench: Bench) -> None:
    connection = bench.place.connect("google")
    with bench.worker() as log:
        for name in ROW_TASKS:
            bench.send(name, str(uuid.uuid4()))
        bench.send("sync_calendar", "not a row")
        bench.send("list_calendars", str(connection.id))
        bench.wait_until(lambda: bench.place.calendars(connection.id))
        bench.wait_until(bench.drained)

    assert "unknown_connection -> drop" in log.read_text()


def test_queued_tasks_hold_ids_and_nothing_else(bench: Bench) -> None:
    place = bench.place
    person = place.sign_in()
    connection = place.connect("google", person)
    place.services.due_work.refreshes()
    place.services.nudge.refresh(connection.id)
    place.services.nudge.sync_calendar(connection.id)
    place.services.nudge.open_channel(connection.id)
    for name in TICK_TASKS:
        bench.send(name)

    messages = [
        json.loads(text)
        for queue in ("refresh", "sync", "push")
        for text in bench.redis.lrange(f"latchkey:{queue}", 0, -1)
    ]
    everything = dump(bench.redis)

    assert len(messages) >= 3 + len(TICK_TASKS)
    for message in messages:
        assert message["headers"]["argsrepr"] in ("()", f"['{connection.id}']", "[]"), message["headers"]["argsrepr"]
        assert message["headers"]["kwargsrepr"] == "{}"
        assert message["properties"]["delivery_info"]["exchange"] == ""
    for word in (person.email, "ada@", place.client_secret, "ya29", "1//", "eyJhbGci", "access_token", "refresh_token"):
        assert word not in everything


def dump(client: redis.Redis) -> str:
    """Return all keys and values of a Redis database as text, bodies of messages decoded."""
    readers = {
        "list": lambda key: client.lrange(key, 0, -1),
        "hash": lambda key: list(client.hgetall(key).items()),
        "set": lambda key: list(client.smembers(key)),
        "zset": lambda key: client.zrange(key, 0, -1),
        "string": lambda key: [client.get(key)],
    }
    found = [f"{key} {value}" for key in client.scan_iter("*") for value in readers[client.type(key)](key)]
    bodies = [json.loads(text)["body"] for text in client.lrange("latchkey:sync", 0, -1)]
    return "\n".join(found + [base64.b64decode(body).decode() for body in bodies])
