"""Track changes of a calendar view: first rounds, pages and deltas.

The window is frozen in the token. Items come by what the service really sends: occurrences are bare, masters carry the
times of their first occurrence, a series stays on one page, a deleted occurrence leaves no tombstone but its series is
sent again without it, and whatever changed outside the window comes as removed.
Source: Graph guide on delta queries for events, and reports of its users where the guide is silent.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from app.sandbox.calendar.graph_access import Caller, option, refuse_options
from app.sandbox.calendar.graph_errors import bad_request, sync_state_gone
from app.sandbox.calendar.graph_events import GraphEvents
from app.sandbox.calendar.graph_ids import MOVES
from app.sandbox.calendar.graph_times import NEEDS_WINDOW, parse_bound
from app.sandbox.calendar.recurrence import BadRecurrenceError
from app.sandbox.calendar.token_life import is_over, stamp
from app.sandbox.calendar.tokens import BadTokenError, pack, unpack
from app.sandbox.calendar.world import Item, Json, new_id
from app.sandbox.faults import FaultKind, meets, overfull

_BARE = ("@odata.type", "@odata.etag", "id", "seriesMasterId", "type", "start", "end", MOVES)
_REFUSED = ("$select", "$filter", "$expand", "$orderby", "$search", "$top", "$skip")
_TYPE = "#microsoft.graph.event"


@dataclass(frozen=True)
class Round:
    """Where a client is in a round of changes."""

    low: datetime
    high: datetime
    since: int
    """Number of the calendar the last round ended with; 0: first round, everything is sent."""
    first_sequence: int
    """Number of the calendar when this round began; the next round starts there."""
    after: int
    """Place of the last item sent in this round; 0: none."""


def delta_page(caller: Caller, calendar_id: str | None, path: str) -> Json:
    """Return one page of a calendar view's changes; `path` is the resource's path for links.

    Raises GraphError: 400, 410.
    """
    refuse_options(*_REFUSED)
    events = caller.events(calendar_id)
    begin = stand = _stand(events)
    size = overfull(caller.page_size(default=10, most=1000))
    values: list[Json] = []
    places = 0
    for item in _after(events, stand.after):
        unit = _unit(events, item, stand)
        if unit is None:
            continue
        if places >= size:
            break
        values += [_shown(caller, body) for body in unit]
        # Something that is gone takes a place all the same, which is why pages can be short or empty.
        places += max(1, len(unit))
        stand = replace(stand, after=item.ordinal)
    else:
        if not meets(FaultKind.ENDLESS):
            return _answer(caller, path, _spoilt(values), "$deltatoken", stand, events)
    stand = begin if meets(FaultKind.ENDLESS) else stand
    return _answer(caller, path, _spoilt(values), "$skiptoken", stand, events)


def _spoilt(values: list[Json]) -> list[Json]:
    """Return the items of a page as the scripted faults want them."""
    if meets(FaultKind.SHUFFLE):
        return values[::-1]
    return values * 2 if meets(FaultKind.DUPLICATE) else values


def _stand(events: GraphEvents) -> Round:
    token = option("$skiptoken") or option("$deltatoken")
    if token is not None:
        return _continued(events, token, is_page=option("$skiptoken") is not None)
    bounds = []
    for name in ("startDateTime", "endDateTime"):
        value = option(name)
        if not value:
            raise bad_request(NEEDS_WINDOW, "ErrorInvalidParameter")
        bounds.append(parse_bound(value, name))
    if bounds[1] <= bounds[0]:
        raise bad_request("The end of the window must be after its start.", "ErrorInvalidParameter")
    return Round(bounds[0], bounds[1], 0, events.calendar.sequence, 0)


def _continued(events: GraphEvents, token: str, *, is_page: bool) -> Round:
    try:
        content = unpack(token)
    except BadTokenError as error:
        raise bad_request("Badly formed token.", "ErrorInvalidDeltaToken") from error
    kind = "graph.skip" if is_page else "graph.delta"
    if content.get("k") != kind or content.get("c") != events.calendar.calendar_id:
        raise bad_request("Badly formed token.", "ErrorInvalidDeltaToken")
    if is_over(content, events.generation):
        raise sync_state_gone(content["g"], max(events.generation, content["g"] + 1))
    low, high = datetime.fromisoformat(content["l"]), datetime.fromisoformat(content["h"])
    if is_page:
        return Round(low, high, content["s"], content["f"], content["a"])
    return Round(low, high, content["s"], events.calendar.sequence, 0)


def _after(events: GraphEvents, ordinal: int) -> Iterator[Item]:
    return (item for item in list(events.calendar.items.values()) if item.ordinal > ordinal)


def _unit(events: GraphEvents, item: Item, stand: Round) -> list[Json] | None:
    """Return what is sent for one item, None when it does not belong into this round at all."""
    series_id = item.body.get("seriesMasterId")
    if item.sequence <= stand.since or (series_id and series_id in events.calendar.items):
        # Exceptions travel with their series.
        return None
    if item.is_gone:
        gone = [item, *events.calendar.exceptions_of(item.body["id"])]
        return [] if stand.since == 0 else [_removed(each) for each in gone]
    if item.body.get("recurrence"):
        found = _series(events, item, stand)
    else:
        found = [item.body] if _is_inside(events, item, stand) else []
    if found:
        return found
    return None if stand.since == 0 else [_removed(item)]


def _series(events: GraphEvents, master: Item, stand: Round) -> list[Json]:
    try:
        computed = events.occurrences(master.body, stand.low, stand.high)
    except BadRecurrenceError:
        computed = []
    exceptions = events.exceptions(master.body["id"])
    inside = [item.body for item in exceptions if _is_inside(events, item, stand)]
    if not computed and not inside:
        return []
    left = [item for item in exceptions if item.body not in inside and 0 < stand.since < item.sequence]
    bare = [{name: body[name] for name in _BARE if name in body} for body in computed]
    return [master.body, *bare, *inside, *(_removed(item) for item in left)]


def _is_inside(events: GraphEvents, item: Item, stand: Round) -> bool:
    if "start" not in item.body or "end" not in item.body:
        return False
    return events.touches(item.body, stand.low, stand.high)


def _removed(item: Item) -> Json:
    moves = {MOVES: item.body[MOVES]} if MOVES in item.body else {}
    return {"@odata.type": _TYPE, "id": item.body["id"], "@removed": {"reason": "deleted"}} | moves


def _shown(caller: Caller, body: Json) -> Json:
    if "@removed" in body:
        plain = {name: value for name, value in body.items() if name != MOVES}
        return plain | {"id": caller.shown_id(body["id"], body)}
    return {"@odata.type": _TYPE, **caller.shown(body)}


def _answer(caller: Caller, path: str, values: list[Json], token: str, stand: Round, events: GraphEvents) -> Json:
    content = {
        "c": events.calendar.calendar_id,
        "l": stand.low.isoformat(),
        "h": stand.high.isoformat(),
        **stamp(events.generation),
    }
    if token == "$skiptoken":
        content |= {"k": "graph.skip", "s": stand.since, "f": stand.first_sequence, "a": stand.after}
        # Links of an endless round all differ, as the service's did.
        content |= {"n": new_id(4)} if meets(FaultKind.ENDLESS) else {}
        name = "@odata.nextLink"
    else:
        content |= {"k": "graph.delta", "s": stand.first_sequence}
        name = "@odata.deltaLink"
    link = f"{caller.root}/v1.0{path}?{token}={pack(content)}"
    return {"@odata.context": caller.context("Collection(event)"), name: link, "value": values}
