"""The tasks: ids in, one service call, nothing out. A task is a hint: what it does is asked of the row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

from celery import Celery

from app.bootstrap import Services
from app.domain.channels import SETTLE
from workers.failures import run


def sync_calendar(services: Services, calendar_id: UUID) -> None:
    """Sync, and hint once more when something was requested meanwhile, after a rest."""
    outcome = services.calendar_sync.sync(calendar_id, only_due=True)
    if outcome is not None and outcome.again:
        services.nudge.sync_calendar(calendar_id, SETTLE.total_seconds())


Work = Callable[[Services, UUID], object]
Claim = Callable[[Services], object]

ROW_TASKS: Mapping[str, Work] = {
    "refresh_connection": lambda services, row_id: services.access_tokens.refresh(row_id),
    "list_calendars": lambda services, row_id: services.calendar_lists.read(row_id, only_due=True),
    "sync_calendar": sync_calendar,
    "open_channel": lambda services, row_id: services.channels.open(row_id, only_due=True),
}
"""Task name to the service it calls with the id of one row."""

TICK_TASKS: Mapping[str, Claim] = {
    "refresh_due": lambda services: _hint(services.due_work.refreshes(), services.nudge.refresh),
    "list_calendars_due": lambda services: _hint(services.due_work.calendar_lists(), services.nudge.list_calendars),
    "sync_due": lambda services: _hint(services.due_work.syncs(), services.nudge.sync_calendar),
    "open_channels_due": lambda services: _hint(services.due_work.channels(), services.nudge.open_channel),
    "check_calendars": lambda services: services.calendar_checks.check_due(),
    "tidy_rounds": lambda services: services.calendar_checks.discard_left_over(),
    "chain_audit": lambda services: services.hand_out_log.collect(),
    "care_for_grants": lambda services: services.grant_care.care(),
    "stop_channels": lambda services: services.channels.tend(),
    "lapse_connect_links": lambda services: services.connect_links.lapse(),
    "tidy_credentials": lambda services: services.callers.tidy(),
}
"""Task name to what a tick of beat does: claim due rows and hint at each."""


def register(app: Celery, services: Callable[[], Services]) -> None:
    """Register every task on ``app``; ``services`` is called inside the worker, after any fork."""
    for name, work in ROW_TASKS.items():
        app.task(name=f"latchkey.{name}", shared=False)(_row_task(name, work, services))
    for name, claim in TICK_TASKS.items():
        app.task(name=f"latchkey.{name}", shared=False)(_tick_task(name, claim, services))


def _row_task(name: str, work: Work, services: Callable[[], Services]) -> Callable[[str], None]:
    def task(row_id: str) -> None:
        run(name, row_id, lambda: work(services(), UUID(row_id)))

    return task


def _tick_task(name: str, claim: Claim, services: Callable[[], Services]) -> Callable[[], None]:
    def task() -> None:
        run(name, "tick", lambda: claim(services()))

    return task


def _hint(row_ids: tuple[UUID, ...], hint: Callable[[UUID], None]) -> None:
    for row_id in row_ids:
        hint(row_id)
