"""Compute busy times the way each provider's free/busy answers do."""

from datetime import datetime
from zoneinfo import ZoneInfo

from app.sandbox.calendar.google_errors import GoogleError
from app.sandbox.calendar.google_events import GoogleEvents
from app.sandbox.calendar.google_times import span_of, write_moment
from app.sandbox.calendar.recurrence import MOST_SLOTS, BadRecurrenceError
from app.sandbox.calendar.world import Json

Stretch = tuple[datetime, datetime]
"""Start and end of a busy time, aware UTC."""


def google_busy(events: GoogleEvents, low: datetime, high: datetime, zone: ZoneInfo) -> list[Json]:
    """Return the merged busy times of a calendar within a window, written in `zone`.

    Transparent, declined and cancelled events are free; tentative and unanswered ones are busy.
    """
    stretches = [
        (max(start, low), min(end, high))
        for body in google_occurrences(events, low, high)
        if _blocks(body)
        for start, end in [_stretch(body, events)]
        if start < end
    ]
    merged = merge(stretches)
    return [{"start": write_moment(start, zone), "end": write_moment(end, zone)} for start, end in merged]


def google_occurrences(events: GoogleEvents, low: datetime, high: datetime) -> list[Json]:
    """Return all single events and instances that touch a window, without cancelled ones, in order of start."""
    found: list[Json] = []
    for item in list(events.calendar.items.values()):
        body = item.body
        if item.is_buried or body.get("status") == "cancelled" or "start" not in body:
            continue
        if body.get("recurrence"):
            found += _computed(events, body, low, high)
        elif _is_within(body, events, low, high):
            found.append(body)
    return sorted(found, key=lambda body: span_of(body, events.calendar).start)


def merge(stretches: list[Stretch]) -> list[Stretch]:
    """Return the union of stretches, in order, adjacent ones joined."""
    merged: list[Stretch] = []
    for start, end in sorted(stretches):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _computed(events: GoogleEvents, master: Json, low: datetime, high: datetime) -> list[Json]:
    try:
        return events.computed(master, low, high, MOST_SLOTS)
    except BadRecurrenceError:
        return []


def _is_within(body: Json, events: GoogleEvents, low: datetime, high: datetime) -> bool:
    try:
        start, end = _stretch(body, events)
    except GoogleError:
        return False
    return start < high and end > low


def _stretch(body: Json, events: GoogleEvents) -> Stretch:
    span = span_of(body, events.calendar)
    return span.start, span.end


def _blocks(body: Json) -> bool:
    if body.get("transparency") == "transparent":
        return False
    own = (attendee.get("responseStatus") for attendee in body.get("attendees", ()) if attendee.get("self"))
    return "declined" not in own
