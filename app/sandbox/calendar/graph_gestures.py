"""Do what a person does with one gesture in Outlook and what is more than one change of its calendar."""

from datetime import UTC, datetime, timedelta

from app.sandbox.calendar.graph_errors import bad_request
from app.sandbox.calendar.graph_events import GraphEvents
from app.sandbox.calendar.graph_ids import MOVES
from app.sandbox.calendar.recurrence import instant, slots, wall_clock
from app.sandbox.calendar.world import Json
from app.sandbox.calendar.zones import windows_name

RESPONSES = {"accept": "accepted", "tentativelyAccept": "tentativelyAccepted", "decline": "declined"}
"""Graph's actions on an invitation and the response each one leaves."""
_FAR_PAST = datetime(1900, 1, 1, tzinfo=UTC)
_COPIED = ("subject", "body", "isAllDay", "showAs", "sensitivity", "location", "attendees", "importance", "categories")


def split(events: GraphEvents, series_id: str, slot: datetime, changes: Json) -> Json:
    """Change a series from the occurrence at `slot` on; return the new series, which nothing links to the old one.

    Raises GraphError.
    """
    master = events.get(series_id)
    series = events.series(master)
    if slot <= series.first:
        raise bad_request("There is nothing before this occurrence to split off.")
    recurrence = master["recurrence"]
    begin = slot if series.is_all_day else wall_clock(instant(slot, series.zone), series.zone)
    limits = recurrence["range"] | {"startDate": slot.date().isoformat()}
    if limits.get("type") == "numbered":
        passed = [other for other in slots(series, _FAR_PAST, instant(slot, series.zone)) if other < slot]
        limits["numberOfOccurrences"] = max(int(limits["numberOfOccurrences"]) - len(passed), 1)
    copied = {name: master[name] for name in _COPIED if name in master}
    ended = recurrence["range"] | {"type": "endDate", "endDate": (slot - timedelta(days=1)).date().isoformat()}
    events.update(series_id, {"recurrence": recurrence | {"range": ended}})
    zone = windows_name(series.zone.key)
    times = (("start", begin), ("end", begin + series.length))
    part = {name: {"dateTime": moment.isoformat(), "timeZone": zone} for name, moment in times} | {
        "recurrence": recurrence | {"range": limits}
    }
    return events.create(copied | part | changes)


def move(source: GraphEvents, target: GraphEvents, event_id: str) -> Json:
    """Put an event or a whole series with its exceptions into another calendar of the mailbox; return it.

    The old calendar tells of it as removed. Its immutable id stays, the other form of its id changes.
    Raises GraphError.
    """
    body = source.get(event_id)
    if body.get("seriesMasterId"):
        raise bad_request("An occurrence cannot leave its series.")
    kept = [body, *(item.body for item in source.exceptions(event_id))]
    source.delete(event_id)
    for each in kept:
        target.save(each["id"], each | {MOVES: each.get(MOVES, 0) + 1}, "created")
    return target.get(event_id)


def respond(events: GraphEvents, event_id: str, response: str) -> Json:
    """Answer an invitation; `response` as Graph's `responseStatus` names it. An own event becomes an invitation.

    Raises GraphError.
    """
    body = events.get(event_id)
    answer = {"response": response, "time": f"{events.world.clock.now():%Y-%m-%dT%H:%M:%SZ}"}
    return events.keep(body | {"responseStatus": answer, "isOrganizer": False})


def hand_over(events: GraphEvents, event_id: str, email: str) -> Json:
    """Make somebody else the organizer of an event; return it.

    Raises GraphError.
    """
    body = events.get(event_id)
    return events.keep(body | {"organizer": {"emailAddress": {"name": email, "address": email}}, "isOrganizer": False})


def call_off(events: GraphEvents, event_id: str) -> Json:
    """Let the organizer call an event off: it stays in the calendar, marked; return it.

    Raises GraphError.
    """
    body = events.get(event_id)
    return events.keep(body | {"isCancelled": True, "isOrganizer": False, "subject": f"Canceled: {body['subject']}"})
