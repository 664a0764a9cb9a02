"""Let a Google Calendar route check its token and find its calendar, and render errors in Google's words."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from flask import Response, jsonify, request

from app.sandbox.accounts import Account
from app.sandbox.calendar.field_mask import select
from app.sandbox.calendar.google_errors import GoogleError, denied, invalid, not_found
from app.sandbox.calendar.google_events import GoogleEvents
from app.sandbox.calendar.state import CalendarSide, current_side
from app.sandbox.calendar.world import Calendar, Json, Mailbox, UnknownCalendarError
from app.sandbox.tokens import AccessDenied, check_access

_BASE = "https://www.googleapis.com/auth/"
P = ParamSpec("P")


def scopes(*names: str) -> set[str]:
    """Return full scope addresses from short names such as `calendar.readonly`."""
    return {_BASE + name for name in names}


READ_LIST = scopes("calendar", "calendar.readonly", "calendar.calendarlist", "calendar.calendarlist.readonly")
READ_CALENDAR = scopes(
    "calendar", "calendar.readonly", "calendar.calendars", "calendar.calendars.readonly", "calendar.app.created"
)
WRITE_EVENTS = scopes("calendar", "calendar.events", "calendar.events.owned", "calendar.app.created")
READ_EVENTS = WRITE_EVENTS | scopes(
    "calendar.readonly",
    "calendar.events.readonly",
    "calendar.events.owned.readonly",
    "calendar.events.freebusy",
    "calendar.events.public.readonly",
)
READ_FREE_BUSY = scopes("calendar", "calendar.readonly", "calendar.freebusy", "calendar.events.freebusy")
READ_SETTINGS = scopes("calendar", "calendar.readonly", "calendar.settings", "calendar.settings.readonly")
WATCH_ANYTHING = READ_EVENTS | READ_LIST | READ_SETTINGS


@dataclass(frozen=True)
class Caller:
    """Who calls, and where their calendars are."""

    side: CalendarSide
    account: Account
    client_id: str
    mailbox: Mailbox

    def calendar(self, calendar_id: str) -> Calendar:
        """Return a calendar of the caller; `primary` is their own.

        Raises GoogleError (404).
        """
        if calendar_id == "primary":
            return self.mailbox.main
        try:
            found = self.mailbox.calendar(calendar_id)
        except UnknownCalendarError as error:
            raise not_found() from error
        if found.entry.get("deleted"):
            raise not_found()
        return found

    def events(self, calendar_id: str) -> GoogleEvents:
        """Return the events of a calendar of the caller.

        Raises GoogleError (404).
        """
        return GoogleEvents(self.side.world, self.mailbox, self.calendar(calendar_id), self.account.email)


def google_route(
    method: str, accepted: set[str]
) -> Callable[[Callable[Concatenate[Caller, P], Json | None]], Callable[P, Response]]:
    """Return a decorator for a view that gets the caller and returns a JSON object, or None for an empty answer.

    `method`: Google's name of it, such as `calendar.v3.Events.List`; `accepted`: scopes of which one is needed. The
    view runs under the sandbox's lock.
    """

    def decorate(view: Callable[Concatenate[Caller, P], Json | None]) -> Callable[P, Response]:
        @wraps(view)
        def checked(*args: P.args, **kwargs: P.kwargs) -> Response:
            side = current_side()
            try:
                access = check_access(request.headers.get("Authorization"), "google", accepted)
                with side.sandbox.lock:
                    mailbox = side.world.mailbox("google", access.account.key)
                    caller = Caller(side, access.account, access.client_id, mailbox)
                    return _answer(view(caller, *args, **kwargs))
            except AccessDenied as denial:
                return denied(denial, method)
            except GoogleError as error:
                return _json(error.body, error.status)

        return checked

    return decorate


def sent_json() -> Json:
    """Return the JSON object of the request body.

    Raises GoogleError (400).
    """
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise invalid("Parse Error")
    return body


def _answer(body: Json | None) -> Response:
    if body is None:
        return Response(status=204)
    etag = body.get("etag")
    if etag is not None and request.method == "GET" and request.headers.get("If-None-Match") == etag:
        return Response(status=304, headers={"ETag": etag})
    fields = request.args.get("fields")
    chosen: Any = select(body, fields) if fields else body
    response = _json(chosen, 200)
    if etag is not None:
        response.headers["ETag"] = etag
    return response


def _json(body: Any, status: int) -> Response:  # noqa: ANN401 - any JSON value
    response = jsonify(body)
    response.status_code = status
    response.headers["Cache-Control"] = "private, max-age=0, must-revalidate, no-transform"
    return response
