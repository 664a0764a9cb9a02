"""What the worker's Celery object is set to. Each value guards against something that went wrong elsewhere."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from celery import Celery

from workers.celery_app import QUEUES, VISIBILITY_TIMEOUT_S, create_celery
from workers.schedule import TICKS
from workers.tasks import ROW_TASKS, TICK_TASKS

ROOT = Path(__file__).resolve().parents[3]
LONGEST_LEASE_S = 900


def no_services() -> None:
    raise AssertionError("services are built inside the worker")


@pytest.fixture
def app() -> Celery:
    made = create_celery("redis://127.0.0.1:1/0", no_services)
    made.finalize()
    return made


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task_serializer", "json"),
        ("event_serializer", "json"),
        ("accept_content", ["json"]),
        ("result_backend", None),
        ("task_ignore_result", True),
        ("task_store_errors_even_if_ignored", False),
        ("task_acks_late", True),
        ("task_reject_on_worker_lost", True),
        ("worker_prefetch_multiplier", 1),
        ("worker_enable_remote_control", False),
        ("worker_send_task_events", False),
        ("task_send_sent_event", False),
        ("worker_hijack_root_logger", False),
        ("worker_cancel_long_running_tasks_on_connection_loss", False),
        ("broker_connection_max_retries", None),
        ("task_time_limit", None),
        ("task_soft_time_limit", None),
        ("worker_soft_shutdown_timeout", 60),
        ("timezone", "UTC"),
    ],
)
def test_the_setting_holds_on_the_live_object(app: Celery, name: str, value: object) -> None:
    assert app.conf[name] == value


def test_a_dead_broker_is_noticed_and_no_message_is_delivered_under_a_running_task(app: Celery) -> None:
    options = app.conf.broker_transport_options

    assert options["visibility_timeout"] == VISIBILITY_TIMEOUT_S > LONGEST_LEASE_S
    assert options["socket_connect_timeout"] == 1
    assert options["socket_timeout"] is not None
    assert options["socket_keepalive"] is True
    assert options["global_keyprefix"] == "latchkey:"
    assert (options["unacked_restore_interval"], options["unacked_restore_throttle"]) == (5, 1)


def test_tasks_of_ours_take_one_row_id_or_nothing(app: Celery) -> None:
    ours = {name: task for name, task in app.tasks.items() if not name.startswith("celery.")}

    shapes = {
        name: [p.annotation for p in inspect.signature(task.run).parameters.values()] for name, task in ours.items()
    }

    expected = {f"latchkey.{name}": ["str"] for name in ROW_TASKS} | {f"latchkey.{name}": [] for name in TICK_TASKS}
    assert shapes == expected


def test_beat_knows_every_tick_and_each_expires_with_its_period(app: Celery) -> None:
    schedule = app.conf.beat_schedule

    assert (
        {entry["task"] for entry in schedule.values()}
        == {f"latchkey.{name}" for name in TICK_TASKS}
        == {f"latchkey.{name}" for name in TICKS}
    )
    for entry in schedule.values():
        assert entry["options"]["expires"] == entry["schedule"]
        assert entry["options"]["queue"] in QUEUES


def test_the_procfile_starts_a_worker_for_every_queue(app: Celery) -> None:
    worker = next(line for line in (ROOT / "Procfile").read_text().splitlines() if line.startswith("worker:"))

    found = re.search(r"-Q (\S+)", worker)

    assert found is not None
    assert set(found.group(1).split(",")) == set(QUEUES)
    assert all(option in worker for option in ("--without-gossip", "--without-mingle", "--without-heartbeat"))
