"""Tell workers that a row is due: the only Celery inside ``app``. Best effort, quick to give up.

PostgreSQL holds the truth; a nudge that is lost costs one tick of the scheduler.
"""

from __future__ import annotations

import logging
import time
from typing import Any
from uuid import UUID

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

SOCKET_TIMEOUT_S = 0.3
"""A hung broker must not hold a web request: the publisher's own time limit."""

PAUSE_AFTER_FAILURE_S = 2.0
"""While the broker is away every nudge would cost its time-out; after one failure they are skipped this long."""


def publisher(redis_url: str) -> Celery:
    """Return a Celery object that can only send task names."""
    app = Celery("latchkey-nudge", broker=broker_url(redis_url), set_as_current=False)
    app.conf.update(
        task_serializer="json",
        task_ignore_result=True,
        broker_connection_retry=False,
        broker_connection_timeout=SOCKET_TIMEOUT_S,
        broker_transport_options={
            "socket_timeout": SOCKET_TIMEOUT_S,
            "socket_connect_timeout": SOCKET_TIMEOUT_S,
            "global_keyprefix": "latchkey:",
        },
    )
    return app


def broker_url(redis_url: str) -> str:
    """Return ``redis_url`` in Celery's spelling: redis-py says ``unix://``, kombu ``redis+socket://``."""
    if redis_url.startswith("unix://"):
        path, _, query = redis_url.removeprefix("unix://").partition("?")
        database = query.partition("db=")[2] or "0"
        return f"redis+socket://{path}?virtual_host={database}"
    return redis_url


class CeleryNudge:
    """Sends task names and ids, nothing else."""

    def __init__(self, app: Celery) -> None:
        """Use ``app`` for publishing; connections are made on first use, after any fork."""
        self._app = app
        self._silent_until = 0.0

    def refresh(self, connection_id: UUID) -> None:
        """Hint that a connection should be refreshed."""
        self._send("refresh_connection", "refresh", connection_id)

    def list_calendars(self, connection_id: UUID) -> None:
        """Hint that a connection's calendar list is due."""
        self._send("list_calendars", "sync", connection_id)

    def sync_calendar(self, calendar_id: UUID, in_s: float = 0.0) -> None:
        """Hint that a calendar is due, or will be in so many seconds."""
        self._send("sync_calendar", "sync", calendar_id, in_s)

    def open_channel(self, calendar_id: UUID) -> None:
        """Hint that a calendar needs a push channel."""
        self._send("open_channel", "push", calendar_id)

    def _send(self, task: str, queue: str, row_id: UUID, in_s: float = 0.0) -> None:
        if time.monotonic() < self._silent_until:
            return
        options: dict[str, Any] = {"retry": False, "ignore_result": True, "countdown": in_s or None}
        try:
            self._app.send_task(f"latchkey.{task}", args=[str(row_id)], queue=queue, **options)
        except (OperationalError, RedisError, OSError) as error:
            self._silent_until = time.monotonic() + PAUSE_AFTER_FAILURE_S
            logger.warning("nudge not sent: %s", type(error).__name__)
