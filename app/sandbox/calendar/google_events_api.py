"""Serve the Calendar API v3 methods on events."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from flask import Blueprint, request

from app.sandbox.calendar.google_access import READ_EVENTS, WRITE_EVENTS, Caller, google_route, sent_json
from app.sandbox.calendar.google_errors import GoogleError, invalid, not_found, required, updated_min_too_long_ago
from app.sandbox.calendar.google_events import GoogleEvents
from app.sandbox.calendar.google_gestures import move
from app.sandbox.calendar.google_listing import MOST_INSTANCES, list_page, same_page_token
from app.sandbox.calendar.google_query import EventQuery, count, flag, read_query
from app.sandbox.calendar.google_sight import FREE_BUSY, role_of, seen
from app.sandbox.calendar.google_times import in_zone, parse_bound
from app.sandbox.calendar.recurrence import BadRecurrenceError
from app.sandbox.calendar.tokens import BadTokenError, pack, unpack
from app.sandbox.calendar.world import Json
from app.sandbox.calendar.zones import find_zone
from app.sandbox.faults import FaultKind, meets, overfull, with_faults

blueprint = Blueprint("sandbox_google_events", __name__, url_prefix="/calendar/v3/calendars/<calendar_id>/events")
_OLDEST_UPDATED_MIN = timedelta(days=28)
"""How far back `updatedMin` may lie; the real limit is not published."""
_WRITERS = ("owner", "writer", "writerWithoutPrivateAccess")


@blueprint.get("")
@with_faults("google.events")
@google_route("calendar.v3.Events.List", READ_EVENTS)
def list_events(caller: Caller, calendar_id: str) -> Json:
    """List events: a full list, a filtered one or a delta."""
    events = caller.events(calendar_id)
    query = read_query(request.args, events.calendar.calendar_id, events.generation)
    if query.updated_min is not None and query.updated_min < events.world.clock.now() - _OLDEST_UPDATED_MIN:
        raise updated_min_too_long_ago()
    if role_of(events.calendar) == FREE_BUSY:
        # People with free/busy access get blocks, one for every instance, whatever they ask for.
        query = replace(query, single_events=True)
    size = min(query.max_results, caller.side.sandbox.runtime.google_page_size)
    return _head(events) | _spoilt(list_page(events, query, overfull(size)), events, query)


@blueprint.get("/<event_id>")
@with_faults("google.events")
@google_route("calendar.v3.Events.Get", READ_EVENTS)
def get_event(caller: Caller, calendar_id: str, event_id: str) -> Json:
    """Return one event or instance."""
    events = caller.events(calendar_id)
    body = seen(events.get(event_id), events.calendar)
    zone = find_zone(request.args.get("timeZone", ""))
    if zone is None:
        return body
    return body | {name: in_zone(body[name], zone, events.calendar) for name in ("start", "end") if name in body}


@blueprint.get("/<event_id>/instances")
@with_faults("google.events")
@google_route("calendar.v3.Events.Instances", READ_EVENTS)
def list_instances(caller: Caller, calendar_id: str, event_id: str) -> Json:
    """List the instances of a series, exceptions in their places."""
    events = caller.events(calendar_id)
    master = events.calendar.items.get(event_id)
    if master is None or master.is_gone:
        raise not_found()
    found = _instances(events, master.body)
    start = _offset(request.args.get("pageToken"), event_id)
    size = min(count(request.args, "maxResults", 250, 2500), caller.side.sandbox.runtime.google_page_size)
    end = start + overfull(size)
    answer = _head(events) | {"items": found[start:end]}
    if len(found) > end:
        answer["nextPageToken"] = pack({"k": "google.instances", "e": event_id, "n": end})
    return answer


@blueprint.post("")
@with_faults("google.events.write")
@google_route("calendar.v3.Events.Insert", WRITE_EVENTS)
def insert_event(caller: Caller, calendar_id: str) -> Json:
    """Add an event."""
    return _writable(caller, calendar_id).insert(sent_json())


@blueprint.patch("/<event_id>")
@with_faults("google.events.write")
@google_route("calendar.v3.Events.Patch", WRITE_EVENTS)
def patch_event(caller: Caller, calendar_id: str, event_id: str) -> Json:
    """Change some members of an event."""
    events = _writable(caller, calendar_id)
    return events.patch(event_id, sent_json(), request.headers.get("If-Match"))


@blueprint.put("/<event_id>")
@with_faults("google.events.write")
@google_route("calendar.v3.Events.Update", WRITE_EVENTS)
def update_event(caller: Caller, calendar_id: str, event_id: str) -> Json:
    """Replace an event."""
    events = _writable(caller, calendar_id)
    return events.update(event_id, sent_json(), request.headers.get("If-Match"))


@blueprint.post("/<event_id>/move")
@with_faults("google.events.write")
@google_route("calendar.v3.Events.Move", WRITE_EVENTS)
def move_event(caller: Caller, calendar_id: str, event_id: str) -> Json:
    """Hand an event or a series to another calendar of the person, which becomes its organizer."""
    destination = request.args.get("destination")
    if not destination:
        raise required("destination")
    return move(_writable(caller, calendar_id), _writable(caller, destination), event_id)


@blueprint.delete("/<event_id>")
@with_faults("google.events.write")
@google_route("calendar.v3.Events.Delete", WRITE_EVENTS)
def delete_event(caller: Caller, calendar_id: str, event_id: str) -> None:
    """Delete an event, a series or one instance."""
    _writable(caller, calendar_id).delete(event_id, request.headers.get("If-Match"))


def _spoilt(answer: Json, events: GoogleEvents, query: EventQuery) -> Json:
    """Return a page as the scripted faults want it."""
    if meets(FaultKind.ENDLESS):
        answer.pop("nextSyncToken", None)
        answer["nextPageToken"] = same_page_token(events, query)
    if meets(FaultKind.SHUFFLE):
        answer["items"].reverse()
    if meets(FaultKind.DUPLICATE):
        answer["items"] *= 2
    return answer


def _writable(caller: Caller, calendar_id: str) -> GoogleEvents:
    events = caller.events(calendar_id)
    if events.calendar.entry.get("accessRole") not in _WRITERS:
        message = "You need to have writer access to this calendar."
        raise GoogleError(403, "requiredAccessLevel", message, "calendar")
    return events


def _head(events: GoogleEvents) -> Json:
    calendar = events.calendar
    return {
        "kind": "calendar#events",
        "etag": f'"p{calendar.sequence:08x}"',
        "summary": calendar.entry.get("summary", ""),
        "updated": events.world.clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "timeZone": calendar.time_zone,
        "accessRole": calendar.entry.get("accessRole", "reader"),
        "defaultReminders": calendar.entry.get("defaultReminders", []),
    }


def _instances(events: GoogleEvents, master: Json) -> list[Json]:
    low = _bound("timeMin", datetime(1900, 1, 1, tzinfo=UTC))
    high = _bound("timeMax", events.world.clock.now() + timedelta(days=20 * 366))
    try:
        found = events.computed(master, low, high, MOST_INSTANCES) if master.get("recurrence") else []
    except BadRecurrenceError as error:
        raise invalid(str(error)) from error
    shows_deleted = flag(request.args, "showDeleted")
    stored = [item.body for item in events.calendar.exceptions_of(master["id"])]
    found += [body for body in stored if shows_deleted or body.get("status") != "cancelled"]
    return sorted(found, key=lambda body: str(body["originalStartTime"]))


def _bound(name: str, default: datetime) -> datetime:
    value = request.args.get(name)
    return default if value is None else parse_bound(value, name)


def _offset(token: str | None, event_id: str) -> int:
    if token is None:
        return 0
    try:
        content = unpack(token)
    except BadTokenError as error:
        raise invalid("Invalid page token value.", "pageToken") from error
    if content.get("k") != "google.instances" or content.get("e") != event_id:
        raise invalid("Invalid page token value.", "pageToken")
    return int(content["n"])
