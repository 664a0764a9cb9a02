"""``GET /v1/events``: what people have in a window of time, a page at a time."""

from __future__ import annotations

from flask import Blueprint, request
from typing_extensions import TypedDict
from werkzeug.wrappers import Response

from app.domain.calendar_reading import FREE_BUSY, Reach
from app.services.calendar_access import Asked, ReadRefused
from app.services.calendar_reading import CalendarView, Wish
from app.web import current
from app.web.access import caller
from app.web.api import query
from app.web.api.calendar_items import CalendarItem, RefusedItem, calendar_item, read_refused_answer, refused_item
from app.web.api.event_items import EventItem, OccurrenceItem, event_item, occurrence_item
from app.web.api.openapi import Answer, Group, Operation, Parameter
from app.web.api.page_cursors import place_cursor, read_place, read_series_place, series_cursor
from app.web.errors import ErrorCode
from app.web.rendering import compact_answer

blueprint = Blueprint("v1_events", __name__, url_prefix="/v1")

USUAL_PAGE = 250
LONGEST_PAGE = 1000
_SINGLE = ("from", "to", "expand", "time_zone", "purpose", "limit", "cursor")
_REPEATED = ("user", "calendar")

EXPAND = Parameter(
    "expand",
    "`true`: every occurrence in the window, in order of time. `false`: events that happen in it, a series once, with "
    "its rules and exceptions, by calendar.",
    {"type": "boolean", "default": True},
)


class OccurrenceList(TypedDict):
    """A page of occurrences, in order of time; whole days stand at midnight UTC."""

    occurrences: list[OccurrenceItem]
    calendars: list[CalendarItem]
    """All that were looked at, on every page: look at `is_stale`, `complete_from` and `complete_to`."""
    refused: list[RefusedItem]
    """Whom the answer is not about, though they were asked for."""
    next_cursor: str | None
    """Null on the last page."""


class EventList(TypedDict):
    """A page of events, by calendar and id."""

    events: list[EventItem]
    calendars: list[CalendarItem]
    """All that were looked at, on every page: look at `is_stale`, `complete_from` and `complete_to`."""
    refused: list[RefusedItem]
    """Whom the answer is not about, though they were asked for."""
    next_cursor: str | None
    """Null on the last page."""


_EXAMPLE: OccurrenceList = {
    "occurrences": [
        {
            "calendar_id": "0b6f2c1e-6a35-4c1b-9d58-0a4f6c1d2e3f",
            "person_id": "5f0c6a1e-9f0e-4a55-8f0e-2d1c7b8a9e10",
            "event_id": "4k2v9q7tq1m0",
            "recurrence_id": "20261124T090000Z",
            "start": "2026-11-24T10:00:00",
            "timeZone": "Europe/Berlin",
            "duration": "PT30M",
            "showWithoutTime": False,
            "utcStart": "2026-11-24T09:00:00Z",
            "utcEnd": "2026-11-24T09:30:00Z",
            "freeBusyStatus": "busy",
            "busy_class": "busy",  # type: ignore[typeddict-item]  # as JSON has it
            "status": "confirmed",  # type: ignore[typeddict-item]  # as JSON has it
            "privacy": "public",
            "uid": "4k2v9q7tq1m0@google.com",
            "title": "Planning",
            "locations": {"1": {"name": "Room 4"}},
            "participants": {
                "1": {
                    "roles": {"attendee": True, "owner": True},
                    "email": "ada@example.com",
                    "participationStatus": "accepted",
                }
            },
        }
    ],
    "calendars": [],
    "refused": [
        {
            "person_id": "0a4f6c1d-2e3f-4c1b-9d58-0b6f2c1e6a35",
            "connection_id": "8f14e45f-ceea-467f-a3c1-3b1d2f0a9c11",
            "provider": "google",
            "error": "interaction_required",
            "reason": "revoked_by_user",
            "action": "Show `connect_uri`.",
            "connect_uri": "https://latchkey.example.com/connections/8f14e45f-ceea-467f-a3c1-3b1d2f0a9c11/repair",
        }
    ],
    "next_cursor": None,
}


@blueprint.get("/events")
@caller("service")
@Operation(
    id="list_events",
    group=Group.CALENDARS,
    summary="Read what people have in a window of time",
    description=(
        "From the copy kept here: no provider is asked. Each calendar of the answer says when it was last equal to "
        "the provider's and between which times it is complete.\n\n"
        "A service whose policy has `calendar.freebusy` alone sees times and how they count, and nothing of "
        "`expand=false`. For everybody the same is true of events marked as private and of calendars that show the "
        "account itself no more.\n\n"
        "Pages go on by key: what is added or removed meanwhile moves nothing else. One person who is refused is an "
        "error; of several, those who are refused are listed and the others answered."
    ),
    parameters=(
        query.USER, query.SUBJECT_TOKEN, query.FROM, query.TO, EXPAND, query.CALENDAR, query.TIME_ZONE,
        query.PURPOSE_PARAMETER, query.limit_parameter(USUAL_PAGE, LONGEST_PAGE), query.CURSOR,
    ),
    answers=(Answer(200, "A page.", OccurrenceList | EventList, _EXAMPLE),),
    errors={400: (ErrorCode.INVALID_TARGET, ErrorCode.INTERACTION_REQUIRED)},
)  # fmt: skip
def events() -> Response:
    """Answer a page of occurrences, or of events."""
    query.refuse_strange(_SINGLE, _REPEATED)
    wish = Wish(query.window(), query.zone(), query.ids("calendar", query.MOST_CALENDARS))
    limit = query.number("limit", USUAL_PAGE, LONGEST_PAGE)
    cursor = request.args.get("cursor")
    try:
        if query.flag("expand", usual=True):
            return _occurrences(wish, cursor, limit)
        return _events(wish, cursor, limit)
    except ReadRefused as refused:
        return read_refused_answer(refused)


def _occurrences(wish: Wish, cursor: str | None, limit: int) -> Response:
    after = None if cursor is None else read_place(cursor)
    page = current.services().calendar_reading.occurrences(current.service(), query.asked(), wish, after, limit)
    views = {view.calendar.id: view for view in page.calendars}
    answer: OccurrenceList = {
        "occurrences": [
            occurrence_item(one, str(view.calendar.person_id), is_bare=_is_bare(view))
            for one in page.occurrences
            for view in (views[one.calendar_id],)
        ],
        "calendars": [calendar_item(view) for view in page.calendars],
        "refused": [refused_item(one) for one in page.refused],
        "next_cursor": None if page.after is None else place_cursor(page.after),
    }
    return compact_answer(answer)


def _events(wish: Wish, cursor: str | None, limit: int) -> Response:
    after = None if cursor is None else read_series_place(cursor)
    asked: Asked = query.asked(needs_details=True)
    page = current.services().calendar_reading.series(current.service(), asked, wish, after, limit)
    people = {view.calendar.id: str(view.calendar.person_id) for view in page.calendars}
    answer: EventList = {
        "events": [event_item(one, people[one.calendar_id]) for one in page.series],
        "calendars": [calendar_item(view) for view in page.calendars],
        "refused": [refused_item(one) for one in page.refused],
        "next_cursor": None if page.after is None else series_cursor(page.after),
    }
    return compact_answer(answer)


def _is_bare(view: CalendarView) -> bool:
    return view.reach is Reach.TIMES or view.calendar.access_role == FREE_BUSY
