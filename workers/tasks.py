"""The tasks: ids in, one service call, nothing out."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from celery import Celery

from app.bootstrap import Services
from workers.failures import run


def register(app: Celery, services: Callable[[], Services]) -> None:
    """Register every task on ``app``; ``services`` is called inside the worker, after any fork."""

    def task(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
        return app.task(name=f"latchkey.{name}")  # type: ignore[no-any-return]  # Celery is untyped

    @task("refresh_connection")
    def refresh_connection(connection_id: str) -> None:
        run("refresh", connection_id, lambda: services().access_tokens.refresh(UUID(connection_id)))

    @task("list_calendars")
    def list_calendars(connection_id: str) -> None:
        run("list", connection_id, lambda: services().calendar_lists.read(UUID(connection_id)))

    @task("sync_calendar")
    def sync_calendar(calendar_id: str) -> None:
        run("sync", calendar_id, lambda: _sync(services(), UUID(calendar_id)))

    @task("open_channel")
    def open_channel(calendar_id: str) -> None:
        run("channel", calendar_id, lambda: services().channels.open(UUID(calendar_id)))

    @task("refresh_due")
    def refresh_due() -> None:
        run("claim", "refreshes", lambda: _hint(services().due_work.refreshes, services().nudge.refresh))

    @task("list_calendars_due")
    def list_calendars_due() -> None:
        run("claim", "lists", lambda: _hint(services().due_work.calendar_lists, services().nudge.list_calendars))

    @task("sync_due")
    def sync_due() -> None:
        run("claim", "syncs", lambda: _hint(services().due_work.syncs, services().nudge.sync_calendar))

    @task("open_channels_due")
    def open_channels_due() -> None:
        run("claim", "channels", lambda: _hint(services().due_work.channels, services().nudge.open_channel))

    @task("stop_channels")
    def stop_channels() -> None:
        run("stop", "channels", lambda: services().channels.stop_pending())


def _hint(claim: Callable[[], tuple[UUID, ...]], hint: Callable[[UUID], None]) -> None:
    for row_id in claim():
        hint(row_id)


def _sync(services: Services, calendar_id: UUID) -> None:
    """Sync, and hint once more when something was requested meanwhile."""
    outcome = services.calendar_sync.sync(calendar_id)
    if outcome is not None and outcome.again:
        services.nudge.sync_calendar(calendar_id)
