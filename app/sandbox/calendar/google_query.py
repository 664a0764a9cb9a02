"""Read the query of `events.list` and `events.instances`, with the rules on what goes together.

Source: Calendar API v3 reference, events.list; guide on synchronising.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from werkzeug.datastructures import MultiDict

from app.sandbox.calendar.google_errors import GoogleError, full_sync_required, invalid, range_empty, sync_restricted
from app.sandbox.calendar.google_times import parse_bound
from app.sandbox.calendar.token_life import is_over
from app.sandbox.calendar.tokens import BadTokenError, unpack
from app.sandbox.calendar.world import Json
from app.sandbox.calendar.zones import find_zone

_NOT_WITH_SYNC_TOKEN = (
    "iCalUID",
    "orderBy",
    "privateExtendedProperty",
    "q",
    "sharedExtendedProperty",
    "timeMin",
    "timeMax",
    "updatedMin",
)
_BOUND = ("singleEvents", "eventTypes", "maxAttendees", "timeZone", "showHiddenInvitations")
_BOUND_WHILE_PAGING = (*_BOUND, *_NOT_WITH_SYNC_TOKEN, "showDeleted")


@dataclass(frozen=True)
class EventQuery:
    """What a list call asks for."""

    max_results: int
    single_events: bool
    show_deleted: bool
    time_min: datetime | None
    """Exclusive, on the end of events; None: no bound."""
    time_max: datetime | None
    """Exclusive, on the start of events; None: no bound."""
    updated_min: datetime | None
    order_by: str | None
    text: str | None
    ical_uid: str | None
    event_types: frozenset[str]
    """Empty: all."""
    zone: ZoneInfo | None
    """Zone for the answer; None: the calendar's."""
    max_attendees: int | None
    since: int | None
    """Number of the sync token; None: a full list."""
    page: Mapping[str, Any] | None
    """Content of the page token; None: the first page."""
    sync_binding: str
    """Digest of the parameters that a sync token is bound to."""
    page_binding: str
    """Digest of the parameters that a page token is bound to."""

    @property
    def yields_sync_token(self) -> bool:
        """Tell whether the last page carries a sync token: not with an order or a search."""
        return self.order_by is None and self.text is None and self.ical_uid is None and self.updated_min is None


def read_query(args: MultiDict[str, str], calendar_id: str, generation: int) -> EventQuery:
    """Return the query of a list call.

    Raises GoogleError: 400 for what does not fit together, 410 for a token that is over.
    """
    sync_binding = _digest(args, _BOUND)
    page_binding = _digest(args, _BOUND_WHILE_PAGING)
    sync = _token(args, "syncToken", calendar_id, generation)
    page = _token(args, "pageToken", calendar_id, generation)
    if sync is not None:
        _check_sync(args, sync, sync_binding)
    if page is not None and (page["b"] != page_binding or page["d"] != (sync["s"] if sync else None)):
        raise invalid("Invalid page token value.", "pageToken")
    query = _read_filters(args, sync, page, (sync_binding, page_binding))
    if query.time_min and query.time_max and query.time_max <= query.time_min:
        raise range_empty()
    if query.order_by == "startTime" and not query.single_events:
        message = "The requested ordering is not available for the particular query."
        raise GoogleError(400, "badRequest", message, "calendar")
    return query


def flag(args: MultiDict[str, str], name: str) -> bool:
    """Return a boolean parameter, False when absent.

    Raises GoogleError for anything but `true` and `false`.
    """
    value = args.get(name, "false")
    if value not in ("true", "false"):
        raise invalid(f"Invalid boolean value: '{value}'.", name)
    return value == "true"


def count(args: MultiDict[str, str], name: str, default: int, most: int) -> int:
    """Return a positive whole-number parameter, cut at `most`.

    Raises GoogleError.
    """
    value = args.get(name)
    if value is None:
        return default
    if not value.isdecimal() or int(value) < 1:
        raise invalid(f"Invalid value '{value}'.", name)
    return min(int(value), most)


def _read_filters(
    args: MultiDict[str, str], sync: Json | None, page: Json | None, bindings: tuple[str, str]
) -> EventQuery:
    order_by = args.get("orderBy")
    if order_by not in (None, "startTime", "updated"):
        raise invalid(f"Invalid value '{order_by}'.", "orderBy")
    return EventQuery(
        max_results=count(args, "maxResults", 250, 2500),
        single_events=flag(args, "singleEvents"),
        show_deleted=flag(args, "showDeleted"),
        time_min=_bound(args, "timeMin"),
        time_max=_bound(args, "timeMax"),
        updated_min=_bound(args, "updatedMin"),
        order_by=order_by,
        text=args.get("q"),
        ical_uid=args.get("iCalUID"),
        event_types=frozenset(args.getlist("eventTypes")),
        zone=_zone(args),
        max_attendees=count(args, "maxAttendees", 0, 10_000) or None,
        since=sync["s"] if sync else None,
        page=page,
        sync_binding=bindings[0],
        page_binding=bindings[1],
    )


def _token(args: MultiDict[str, str], name: str, calendar_id: str, generation: int) -> Json | None:
    value = args.get(name)
    if not value:
        return None
    try:
        content = unpack(value)
    except BadTokenError as error:
        raise invalid(f"Invalid {name} value.", name) from error
    if content.get("k") != f"google.{name}" or content.get("c") != calendar_id:
        raise invalid(f"Invalid {name} value.", name)
    if is_over(content, generation):
        raise full_sync_required()
    return content


def _check_sync(args: MultiDict[str, str], sync: Json, binding: str) -> None:
    if any(args.get(name) is not None for name in _NOT_WITH_SYNC_TOKEN) or args.get("showDeleted") == "false":
        raise sync_restricted()
    if sync["b"] != binding:
        raise invalid("The sync token was made for a query with other parameters.", "syncToken")


def _digest(args: MultiDict[str, str], names: tuple[str, ...]) -> str:
    # A parameter left out and one at its default are the same query.
    chosen = [f"{name}={value}" for name in names for value in sorted(args.getlist(name)) if value != "false"]
    return hashlib.sha256("&".join(chosen).encode()).hexdigest()[:16]


def _bound(args: MultiDict[str, str], name: str) -> datetime | None:
    value = args.get(name)
    return parse_bound(value, name) if value is not None else None


def _zone(args: MultiDict[str, str]) -> ZoneInfo | None:
    name = args.get("timeZone")
    zone = find_zone(name) if name else None
    if name and zone is None:
        raise invalid(f"Invalid time zone definition for: {name}", "timeZone")
    return zone
