"""``GET /v1/calendars`` and ``GET /v1/calendars/{id}.ics``."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, make_response
from typing_extensions import TypedDict
from werkzeug.wrappers import Response

from app.services.calendar_access import ReadRefused
from app.web import current
from app.web.access import caller
from app.web.api import query
from app.web.api.calendar_items import CalendarItem, RefusedItem, calendar_item, read_refused_answer, refused_item
from app.web.api.openapi import Answer, Group, Operation
from app.web.errors import ErrorCode
from app.web.icalendar_file import ICALENDAR, icalendar_text
from app.web.rendering import compact_answer

blueprint = Blueprint("v1_calendars", __name__, url_prefix="/v1/calendars")


class CalendarList(TypedDict):
    """Calendars of the people asked for."""

    calendars: list[CalendarItem]
    """By person, each connection's primary one first."""
    refused: list[RefusedItem]
    """Whom the answer is not about, though they were asked for."""


_EXAMPLE: CalendarList = {
    "calendars": [
        {
            "id": "0b6f2c1e-6a35-4c1b-9d58-0a4f6c1d2e3f",
            "person_id": "5f0c6a1e-9f0e-4a55-8f0e-2d1c7b8a9e10",
            "connection_id": "8f14e45f-ceea-467f-a3c1-3b1d2f0a9c11",
            "provider": "google",
            "account": "ada@example.com",
            "name": "Work",
            "time_zone": "Europe/Berlin",
            "access_role": "owner",
            "is_primary": True,
            "is_selected": True,
            "is_paused": False,
            "reach": "details",  # type: ignore[typeddict-item]  # as JSON has it
            "synced_at": "2026-11-23T09:30:00Z",
            "is_stale": False,
            "error": None,
            "complete_from": "2026-10-23T09:30:00Z",
            "complete_to": "2027-12-24T09:30:00Z",
            "event_count": 412,
        }
    ],
    "refused": [],
}


@blueprint.get("")
@caller("service")
@Operation(
    id="list_calendars",
    group=Group.CALENDARS,
    summary="List people's calendars",
    description=(
        "Those of all their connected accounts, as far as policy lets the service see them. One person who is refused "
        "is an error; of several, those who are refused are listed and the others answered."
    ),
    parameters=(query.USER, query.SUBJECT_TOKEN, query.PURPOSE_PARAMETER),
    answers=(Answer(200, "The calendars.", CalendarList, _EXAMPLE),),
    errors={400: (ErrorCode.INVALID_TARGET, ErrorCode.INTERACTION_REQUIRED)},
)
def calendars() -> Response:
    """List calendars."""
    query.refuse_strange(("purpose",), ("user",))
    try:
        found = current.services().calendar_reading.calendars(current.service(), query.asked())
    except ReadRefused as refused:
        return read_refused_answer(refused)
    answer: CalendarList = {
        "calendars": [calendar_item(view) for view in found.calendars],
        "refused": [refused_item(one) for one in found.refused],
    }
    return compact_answer(answer)


@blueprint.get("/<uuid:calendar_id>.ics")
@caller("service")
@Operation(
    id="export_calendar",
    group=Group.CALENDARS,
    summary="Read a whole calendar as iCalendar",
    description=(
        "RFC 5545: series with their rules and exceptions, and the time zones they need. Between `complete_from` and "
        "`complete_to` it expands to what `/v1/events` answers. Policies need `calendar.read`; private events carry "
        "times alone."
    ),
    parameters=(query.SUBJECT_TOKEN, query.PURPOSE_PARAMETER),
    answers=(Answer(200, "The calendar.", str, media_type=ICALENDAR),),
    errors={
        400: (ErrorCode.INVALID_TARGET, ErrorCode.INTERACTION_REQUIRED),
        409: (ErrorCode.INVALID_REQUEST,),
    },
)
def export(calendar_id: UUID) -> Response:
    """Answer a whole calendar."""
    query.refuse_strange(("purpose",))
    purpose = query.purpose()
    try:
        found = current.services().calendar_export.for_service(
            current.service(), calendar_id, purpose, query.shown_subject()
        )
    except ReadRefused as refused:
        return read_refused_answer(refused)
    answer = make_response(icalendar_text(found))
    answer.headers["Content-Type"] = ICALENDAR
    return answer
