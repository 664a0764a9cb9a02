"""Compute what Graph's getSchedule answers for one person."""

from datetime import datetime, timedelta

from app.sandbox.calendar.graph_events import GraphEvents
from app.sandbox.calendar.graph_times import in_zone
from app.sandbox.calendar.world import Json

_DIGITS = {"free": 0, "workingElsewhere": 0, "tentative": 1, "busy": 2, "oof": 3, "unknown": 2}


def availability(
    events: GraphEvents, low: datetime, high: datetime, step_min: int, zone_name: str, *, is_own: bool
) -> Json:
    """Return `availabilityView` and `scheduleItems` of a window; subjects only of one's own calendar."""
    view = [body for body in events.view(low, high) if not body.get("isCancelled")]
    items = [_item(body, zone_name, shows_details=is_own and body.get("sensitivity") == "normal") for body in view]
    return {"availabilityView": _digits(events, view, low, high, step_min), "scheduleItems": items}


def _digits(events: GraphEvents, view: list[Json], low: datetime, high: datetime, step_min: int) -> str:
    step = timedelta(minutes=step_min)
    count = -(-(high - low) // step)
    digits = [0] * count
    for body in view:
        start, end = events.span(body)
        first = max(0, (start - low) // step)
        last = min(count, -(-(end - low) // step))
        for index in range(first, last):
            digits[index] = max(digits[index], _DIGITS.get(str(body.get("showAs", "busy")), 2))
    return "".join(str(digit) for digit in digits)


def _item(body: Json, zone_name: str, *, shows_details: bool) -> Json:
    is_all_day = bool(body.get("isAllDay"))
    item = {
        "isPrivate": body.get("sensitivity") in ("private", "confidential"),
        "status": body.get("showAs", "busy"),
        "start": in_zone(body["start"], zone_name, is_all_day=is_all_day),
        "end": in_zone(body["end"], zone_name, is_all_day=is_all_day),
    }
    if shows_details:
        item |= {"subject": body.get("subject", ""), "location": body.get("location", {}).get("displayName", "")}
    return item
