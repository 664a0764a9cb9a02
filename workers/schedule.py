"""The metronome. A tick only says "look now"; what is due stands in PostgreSQL.

Ticks are short, so a restarted beat loses seconds, and each expires with its period, so a backlog of them
cannot pile up.
"""

from __future__ import annotations

from typing import Any

TICKS: dict[str, tuple[float, str]] = {
    "refresh_due": (1.0, "refresh"),
    "list_calendars_due": (5.0, "sync"),
    "sync_due": (1.0, "sync"),
    "open_channels_due": (5.0, "push"),
    "check_calendars": (30.0, "maint"),
    "tidy_rounds": (600.0, "maint"),
    "chain_audit": (2.0, "maint"),
    "stop_channels": (30.0, "push"),
    "care_for_grants": (600.0, "maint"),
    "lapse_connect_links": (15.0, "maint"),
    "tidy_credentials": (60.0, "maint"),
}
"""Task to period in seconds and queue."""


def beat_schedule() -> dict[str, dict[str, Any]]:
    """Return Celery's ``beat_schedule``."""
    return {
        name: {
            "task": f"latchkey.{name}",
            "schedule": period_s,
            "options": {"queue": queue, "expires": period_s, "ignore_result": True},
        }
        for name, (period_s, queue) in TICKS.items()
    }
