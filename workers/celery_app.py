"""The Celery object, built by a function. Every setting carries its reason."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import lru_cache

from celery import Celery
from celery.signals import setup_logging

from app.bootstrap import Services, start
from workers.schedule import beat_schedule
from workers.tasks import register

QUEUES: tuple[str, ...] = ("refresh", "sync", "push", "maint")
"""Separate queues, so that a larger installation can give refreshes worker processes of their own (``-Q``)."""

KEY_PREFIX = "latchkey:"
"""In front of every key, for shared servers and access rules; ``app.nudge`` publishes under the same."""

VISIBILITY_TIMEOUT_S = 1200
"""Above the longest task. Redelivery is no safety net here: due rows are."""


SETTINGS: Mapping[str, object] = {
    # Broker write access must not be code execution.
    "task_serializer": "json",
    "accept_content": ["json"],
    "event_serializer": "json",
    # Progress lives in PostgreSQL; nothing at rest in Redis.
    "result_backend": None,
    "task_ignore_result": True,
    # A killed worker must not take its message along; every task is safe to repeat.
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "worker_prefetch_multiplier": 1,
    "broker_transport_options": {
        "visibility_timeout": VISIBILITY_TIMEOUT_S,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        # Above the worker's blocking pops; without it a dead socket is waited on for ever.
        "socket_timeout": 15,
        "socket_connect_timeout": 1,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "global_keyprefix": KEY_PREFIX,
    },
    "broker_connection_max_retries": None,
    "broker_connection_retry_on_startup": True,
    # A Redis blip must not kill a refresh in flight: that would lose a rotation.
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    # No remote control: anyone with Redis access could stop workers or read task arguments.
    "worker_enable_remote_control": False,
    "worker_send_task_events": False,
    "task_send_sent_event": False,
    "worker_hijack_root_logger": False,
    "worker_soft_shutdown_timeout": 60,
    "task_default_queue": "maint",
    "task_create_missing_queues": True,
    "timezone": "UTC",
}


def create_celery(url: str, services: Callable[[], Services]) -> Celery:
    """Return the worker's Celery object for the broker at ``url``."""
    app = Celery("latchkey", broker=url, set_as_current=False)
    app.conf.update(SETTINGS)
    app.conf.beat_schedule = beat_schedule()
    register(app, services)
    return app


def from_environment() -> Celery:
    """Return the Celery object of this installation; services are built on first use, inside the worker.

    Raises ``ConfigurationError``.
    """
    beginning = start()
    beginning.check()
    setup_logging.connect(lambda **_: beginning.configure_logs(), weak=False)
    return create_celery(beginning.broker_url, _once(beginning.build_for_worker))


def _once(build: Callable[[], Services]) -> Callable[[], Services]:
    """Return a function that builds at its first call; the first tasks of a worker come together, in many threads."""
    building, built = threading.Lock(), lru_cache(maxsize=1)(build)

    def services() -> Services:
        with building:
            return built()

    return services
