"""Serve Graph's resources on events and calendar views."""

from datetime import datetime

from flask import Blueprint, request

from app.sandbox.calendar.graph_access import (
    READ,
    WRITE,
    Caller,
    graph_route,
    option,
    refuse_options,
    sent_json,
    take_user,
)
from app.sandbox.calendar.graph_delta import delta_page
from app.sandbox.calendar.graph_errors import bad_request, not_found
from app.sandbox.calendar.graph_events import GraphEvents
from app.sandbox.calendar.graph_gestures import RESPONSES, respond
from app.sandbox.calendar.graph_ids import names, stored
from app.sandbox.calendar.graph_times import NEEDS_WINDOW, parse_bound
from app.sandbox.calendar.recurrence import BadRecurrenceError
from app.sandbox.calendar.world import Json
from app.sandbox.faults import overfull, with_faults

blueprint = Blueprint("sandbox_graph_events", __name__)
blueprint.url_value_preprocessor(take_user)
_VIEW_ORDERS = (None, "start/dateTime", "start/dateTime asc", "start/datetime")


# OData lets clients write a function with or without its brackets; Microsoft's own SDKs write them.
@blueprint.get("/calendarView/<any('delta', 'delta()'):_function>", defaults={"calendar_id": None})
@blueprint.get("/calendar/calendarView/<any('delta', 'delta()'):_function>", defaults={"calendar_id": None})
@blueprint.get("/calendars/<calendar_id>/calendarView/<any('delta', 'delta()'):_function>")
@with_faults("graph.delta")
@graph_route(READ)
def view_delta(caller: Caller, calendar_id: str | None, _function: str) -> tuple[Json, int]:
    """Track the changes of a calendar view."""
    prefix = "/me" if calendar_id is None else f"/me/calendars/{calendar_id}"
    return delta_page(caller, calendar_id, f"{prefix}/calendarView/delta"), 200


@blueprint.get("/calendarView", defaults={"calendar_id": None})
@blueprint.get("/calendar/calendarView", defaults={"calendar_id": None})
@blueprint.get("/calendars/<calendar_id>/calendarView")
@with_faults("graph.view")
@graph_route(READ)
def view(caller: Caller, calendar_id: str | None) -> tuple[Json, int]:
    """List single events, occurrences and exceptions of a window, full; no masters."""
    refuse_options("$filter", "$search")
    if option("$orderby") not in _VIEW_ORDERS:
        raise bad_request("This $orderby is not supported.", "ErrorInvalidUrlQuery")
    events = caller.events(calendar_id)
    low, high = _window()
    prefix = "/me" if calendar_id is None else f"/me/calendars/{calendar_id}"
    return _page(caller, events.view(low, high), f"{prefix}/calendarView", caller.page_size(10, 1000)), 200


@blueprint.get("/events", defaults={"calendar_id": None})
@blueprint.get("/calendar/events", defaults={"calendar_id": None})
@blueprint.get("/calendars/<calendar_id>/events")
@with_faults("graph.events")
@graph_route(READ)
def list_events(caller: Caller, calendar_id: str | None) -> tuple[Json, int]:
    """List single events and series, as stored."""
    refuse_options("$filter", "$search", "$orderby", "$expand")
    items = caller.events(calendar_id).calendar.items.values()
    bodies = [item.body for item in items if not item.is_gone and not item.body.get("seriesMasterId")]
    prefix = "/me" if calendar_id is None else f"/me/calendars/{calendar_id}"
    return _page(caller, bodies, f"{prefix}/events", caller.page_size(10, 1000)), 200


@blueprint.post("/events", defaults={"calendar_id": None})
@blueprint.post("/calendar/events", defaults={"calendar_id": None})
@blueprint.post("/calendars/<calendar_id>/events")
@with_faults("graph.events.write")
@graph_route(WRITE)
def create_event(caller: Caller, calendar_id: str | None) -> tuple[Json, int]:
    """Add an event."""
    return _entity(caller, caller.events(calendar_id).create(sent_json())), 201


@blueprint.get("/events/<event_id>", defaults={"calendar_id": None})
@blueprint.get("/calendar/events/<event_id>", defaults={"calendar_id": None})
@blueprint.get("/calendars/<calendar_id>/events/<event_id>")
@with_faults("graph.events")
@graph_route(READ)
def get_event(caller: Caller, calendar_id: str | None, event_id: str) -> tuple[Json, int]:
    """Return one event; `cancelledOccurrences` and `exceptionOccurrences` of a series when asked for."""
    events, event_id = _holding(caller, calendar_id, event_id)
    body = _entity(caller, events.get(event_id))
    if "exceptionOccurrences" in (option("$expand") or ""):
        body["exceptionOccurrences"] = [caller.shown(item.body) for item in events.exceptions(event_id)]
    return body, 200


@blueprint.get("/events/<event_id>/instances", defaults={"calendar_id": None})
@blueprint.get("/calendars/<calendar_id>/events/<event_id>/instances")
@with_faults("graph.events")
@graph_route(READ)
def list_instances(caller: Caller, calendar_id: str | None, event_id: str) -> tuple[Json, int]:
    """List occurrences and exceptions of a series in a window, full."""
    events, series_id = _holding(caller, calendar_id, event_id)
    low, high = _window()
    found = _instances(events, events.get(series_id), low, high)
    # The link keeps the id as it was sent: of a moved series the form in which it is kept names nothing.
    return _page(caller, found, f"/me/events/{event_id}/instances", caller.page_size(10, 1000)), 200


@blueprint.patch("/events/<event_id>", defaults={"calendar_id": None})
@blueprint.patch("/calendar/events/<event_id>", defaults={"calendar_id": None})
@blueprint.patch("/calendars/<calendar_id>/events/<event_id>")
@with_faults("graph.events.write")
@graph_route(WRITE)
def update_event(caller: Caller, calendar_id: str | None, event_id: str) -> tuple[Json, int]:
    """Change some members of an event."""
    events, event_id = _holding(caller, calendar_id, event_id)
    return _entity(caller, events.update(event_id, sent_json(), request.headers.get("If-Match"))), 200


@blueprint.delete("/events/<event_id>", defaults={"calendar_id": None})
@blueprint.delete("/calendar/events/<event_id>", defaults={"calendar_id": None})
@blueprint.delete("/calendars/<calendar_id>/events/<event_id>")
@with_faults("graph.events.write")
@graph_route(WRITE)
def delete_event(caller: Caller, calendar_id: str | None, event_id: str) -> tuple[None, int]:
    """Delete an event, a series or one occurrence."""
    events, event_id = _holding(caller, calendar_id, event_id)
    events.delete(event_id, request.headers.get("If-Match"))
    return None, 204


@blueprint.post("/events/<event_id>/<any('accept', 'decline', 'tentativelyAccept'):action>")
@with_faults("graph.events.write")
@graph_route(WRITE)
def answer_invitation(caller: Caller, event_id: str, action: str) -> tuple[None, int]:
    """Accept or decline an invitation; declined ones stay in the calendar here."""
    events, event_id = _holding(caller, None, event_id)
    if events.get(event_id).get("isOrganizer"):
        raise bad_request("Your request can't be completed. You can't respond to this meeting because you're the "
                          "meeting organizer.", "ErrorInvalidRequest")  # fmt: skip
    respond(events, event_id, RESPONSES[action])
    return None, 202


def _holding(caller: Caller, calendar_id: str | None, sent_id: str) -> tuple[GraphEvents, str]:
    event_id = stored(sent_id)
    events = caller.events_with(event_id) if calendar_id is None else caller.events(calendar_id)
    if not names(sent_id, events.get(event_id)):
        raise not_found()
    return events, event_id


def _instances(events: GraphEvents, master: Json, low: datetime, high: datetime) -> list[Json]:
    if not master.get("recurrence"):
        raise bad_request("The event is not a series.", "ErrorInvalidRequest")
    try:
        found = events.occurrences(master, low, high)
    except BadRecurrenceError as error:
        raise bad_request(str(error), "ErrorInvalidRecurrencePattern") from error
    found += [item.body for item in events.exceptions(master["id"]) if events.touches(item.body, low, high)]
    return sorted(found, key=lambda body: events.span(body)[0])


def _window() -> tuple[datetime, datetime]:
    values = [option(name) for name in ("startDateTime", "endDateTime")]
    if not values[0] or not values[1]:
        raise bad_request(NEEDS_WINDOW, "ErrorInvalidParameter")
    low, high = parse_bound(values[0], "startDateTime"), parse_bound(values[1], "endDateTime")
    if high < low:
        raise bad_request("The end of the window must not be before its start.", "ErrorInvalidParameter")
    return low, high


def _page(caller: Caller, bodies: list[Json], path: str, size: int) -> Json:
    skip = option("$skip") or "0"
    start = int(skip) if skip.isdecimal() else 0
    end = start + overfull(size)
    values = [caller.shown(body, option("$select")) for body in bodies[start:end]]
    answer: Json = {"@odata.context": caller.context(f"users('{caller.account.oid}'){path[3:]}"), "value": values}
    if len(bodies) > end:
        kept = [f"{key}={value}" for key, value in request.args.items() if key.lower() not in ("$skip", "$top")]
        query = "&".join([*kept, f"$top={size}", f"$skip={end}"])
        answer["@odata.nextLink"] = f"{caller.root}/v1.0{path}?{query.replace('+', '%2B')}"
    return answer


def _entity(caller: Caller, body: Json) -> Json:
    context = caller.context(f"users('{caller.account.oid}')/events/$entity")
    return {"@odata.context": context, **caller.shown(body, option("$select"))}
