"""Let a Graph route check its token, read the preferences sent with it, and render answers and errors."""

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Concatenate, ParamSpec

from flask import Response, g, jsonify, request

from app.sandbox.accounts import Account
from app.sandbox.calendar.graph_errors import GraphError, bad_request, denied, not_found, rendered
from app.sandbox.calendar.graph_events import GraphEvents
from app.sandbox.calendar.graph_ids import MOVES, shown
from app.sandbox.calendar.graph_times import in_zone
from app.sandbox.calendar.state import CalendarSide, current_side
from app.sandbox.calendar.world import Calendar, Json, Mailbox, UnknownCalendarError
from app.sandbox.calendar.zones import find_zone
from app.sandbox.faults import FaultKind, meets
from app.sandbox.tokens import AccessDenied, check_access

READ = {"Calendars.ReadBasic", "Calendars.Read", "Calendars.ReadWrite"}
READ_FULL = {"Calendars.Read", "Calendars.ReadWrite"}
WRITE = {"Calendars.ReadWrite"}
PUBLIC_ORIGIN = "https://graph.microsoft.com"
FOREIGN_ORIGIN = "https://graph.microsoft.example.net"
"""What links name under the fault `foreign_link`."""
_NOT_BASIC = ("body", "bodyPreview", "attachments", "extensions")
_PREFERENCE = re.compile(r'([\w.\-]+)\s*=\s*(?:"([^"]*)"|([^,;\s]+))')
_SMALLEST_PAGE = 1
P = ParamSpec("P")


@dataclass(frozen=True)
class Preferences:
    """What the `Prefer` header asks for."""

    zone_name: str = "UTC"
    page_size: int | None = None
    """None: not asked for."""
    is_immutable: bool = False
    applied: tuple[str, ...] = ()
    """Preferences that were understood, for `Preference-Applied`."""


@dataclass(frozen=True)
class Caller:
    """Who calls, what they prefer, and where their calendars are."""

    side: CalendarSide
    account: Account
    client_id: str
    scopes: frozenset[str]
    mailbox: Mailbox
    preferences: Preferences

    def calendar(self, calendar_id: str | None) -> Calendar:
        """Return a calendar of the caller; None is their own.

        Raises GraphError (404).
        """
        if calendar_id is None:
            return self.mailbox.main
        try:
            return self.mailbox.calendar(calendar_id)
        except UnknownCalendarError as error:
            raise not_found() from error

    def events(self, calendar_id: str | None = None) -> GraphEvents:
        """Return the events of a calendar of the caller.

        Raises GraphError (404).
        """
        owner = {"name": self.account.name, "address": self.account.email}
        return GraphEvents(self.side.world, self.mailbox, self.calendar(calendar_id), owner)

    def events_with(self, event_id: str) -> GraphEvents:
        """Return the events of the calendar that holds an event.

        Raises GraphError (404).
        """
        for calendar_id in self.mailbox.calendars:
            events = self.events(calendar_id)
            try:
                events.get(event_id)
            except GraphError:
                continue
            return events
        raise not_found()

    def shown(self, body: Json, select: str | None = None) -> Json:
        """Return an event as this caller gets it: preferred zone and id form, selected and allowed members."""
        zone, is_all_day = self.preferences.zone_name, bool(body.get("isAllDay"))
        # The cancelled occurrences of a series only come when they are asked for by name.
        chosen = {name: value for name, value in body.items() if name not in ("cancelledOccurrences", MOVES)}
        times = (name for name in ("start", "end") if isinstance(body.get(name), dict))
        chosen |= {name: in_zone(body[name], zone, is_all_day=is_all_day) for name in times}
        ids = (name for name in ("id", "seriesMasterId") if isinstance(body.get(name), str))
        chosen |= {name: self.shown_id(body[name], body) for name in ids}
        if not self.scopes_allow_bodies:
            chosen = {name: value for name, value in chosen.items() if name not in _NOT_BASIC}
        return _selected(chosen, body, select) if select else chosen

    def shown_id(self, event_id: str, body: Json) -> str:
        """Return an id that `body` carries in the form this caller prefers."""
        return shown(event_id, is_immutable=self.preferences.is_immutable, moves=body.get(MOVES, 0))

    @property
    def scopes_allow_bodies(self) -> bool:
        """Tell whether more than the basic members of events may be read."""
        return bool({scope.lower() for scope in self.scopes} & {scope.lower() for scope in READ_FULL})

    def page_size(self, default: int, most: int) -> int:
        """Return how many items a page gets: `$top`, else the preference, else `default`; never over the setting.

        Raises GraphError.
        """
        top = option("$top")
        if top is not None and (not top.isdecimal() or not _SMALLEST_PAGE <= int(top) <= most):
            raise bad_request(f"Invalid value '{top}' for $top query option.", "ErrorInvalidUrlQuery")
        asked = int(top) if top is not None else self.preferences.page_size or default
        return max(_SMALLEST_PAGE, min(asked, most, self.side.sandbox.runtime.graph_page_size))

    @property
    def root(self) -> str:
        """The beginning of links and contexts: scheme and host of Graph, or of the request."""
        if meets(FaultKind.FOREIGN_LINK):
            return FOREIGN_ORIGIN
        return PUBLIC_ORIGIN if self.side.has_public_links else request.host_url.rstrip("/")

    def context(self, what: str) -> str:
        """Return an `@odata.context`."""
        return f"{self.root}/v1.0/$metadata#{what}"


View = Callable[Concatenate[Caller, P], tuple[Json | None, int]]


def graph_route(accepted: set[str]) -> Callable[[View[P]], Callable[P, Response]]:
    """Return a decorator for a view that gets the caller and returns a JSON object (or None) and a status.

    `accepted`: scopes of which one is needed. The view runs under the sandbox's lock.
    """

    def decorate(view: View[P]) -> Callable[P, Response]:
        @wraps(view)
        def checked(*args: P.args, **kwargs: P.kwargs) -> Response:
            side = current_side()
            try:
                with side.sandbox.lock:
                    response = _finish(*view(caller_of(side, accepted), *args, **kwargs))
                    response.headers.setdefault("Preference-Applied", ", ".join(read_preferences().applied))
            except AccessDenied as denial:
                response = denied(denial, side.world.clock.now())
            except GraphError as error:
                response = rendered(error, side.world.clock.now())
            return _tagged(response)

        return checked

    return decorate


def take_user(_endpoint: str | None, values: dict[str, object] | None) -> None:
    """Keep the user named in a path below /users for `caller_of`; a URL value preprocessor of Flask."""
    if values is not None and "graph_user" in values:
        g.graph_user = values.pop("graph_user")


def caller_of(side: CalendarSide, accepted: set[str]) -> Caller:
    """Return who calls.

    Raises AccessDenied, GraphError.
    """
    access = check_access(request.headers.get("Authorization"), "microsoft", accepted)
    named = g.get("graph_user")
    if named is not None and named.lower() not in (access.account.oid.lower(), access.account.email.lower()):
        raise GraphError(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
    mailbox = side.world.mailbox("microsoft", access.account.key)
    return Caller(side, access.account, access.client_id, access.scopes, mailbox, read_preferences())


def read_preferences() -> Preferences:
    """Return what the `Prefer` headers of the request ask for; what is not understood is passed over.

    Raises GraphError for an unknown time zone.
    """
    found = {name.lower(): quoted or bare for name, quoted, bare in _PREFERENCE.findall(_prefer_header())}
    applied = []
    zone = found.get("outlook.timezone", "UTC")
    if find_zone(zone) is None:
        raise bad_request(f"A valid TimeZone value must be specified: {zone}", "TimeZoneNotSupportedException")
    if "outlook.timezone" in found:
        applied.append(f'outlook.timezone="{zone}"')
    size = found.get("odata.maxpagesize", found.get("maxpagesize", ""))
    page_size = int(size) if size.isdecimal() and int(size) > 0 else None
    if page_size is not None:
        applied.append(f"odata.maxpagesize={page_size}")
    is_immutable = found.get("idtype", "").lower() == "immutableid"
    if is_immutable:
        applied.append('IdType="ImmutableId"')
    return Preferences(zone, page_size, is_immutable, tuple(applied))


def option(name: str) -> str | None:
    """Return a query option by its name in any case, None when it is not sent."""
    wanted = name.lower()
    return next((value for key, value in request.args.items() if key.lower() == wanted), None)


def refuse_options(*names: str) -> None:
    """Refuse query options that a resource does not support.

    Raises GraphError.
    """
    for name in names:
        if option(name) is not None:
            raise bad_request(f"The query parameter '{name}' is not supported.", "ErrorInvalidUrlQuery")


def sent_json() -> Json:
    """Return the JSON object of the request body.

    Raises GraphError (400).
    """
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise bad_request("Unable to read JSON request payload.", "BadRequest")
    return body


def _prefer_header() -> str:
    return ", ".join(request.headers.getlist("Prefer"))


def _selected(chosen: Json, body: Json, select: str) -> Json:
    names = {name.strip() for name in select.split(",")}
    annotations = {name for name in chosen if name.startswith("@")}
    kept = {name: value for name, value in chosen.items() if name in names | annotations | {"id"}}
    if "cancelledOccurrences" in names:
        kept["cancelledOccurrences"] = body.get("cancelledOccurrences", [])
    return kept


def _finish(body: Json | None, status: int) -> Response:
    if body is None:
        return Response(status=status)
    response = jsonify(body)
    response.status_code = status
    response.headers["OData-Version"] = "4.0"
    return response


def _tagged(response: Response) -> Response:
    if not response.headers.get("Preference-Applied"):
        response.headers.pop("Preference-Applied", None)
    response.headers["request-id"] = str(uuid.uuid4())
    client_request_id = request.headers.get("client-request-id")
    if client_request_id:
        response.headers["client-request-id"] = client_request_id[:100]
    return response
