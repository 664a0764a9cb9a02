"""A person's own calendars as files to take away."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, make_response
from werkzeug.wrappers import Response

from app.web import current
from app.web.access import caller
from app.web.icalendar_file import ICALENDAR, icalendar_text

blueprint = Blueprint("calendar_files", __name__, url_prefix="/calendars")


@blueprint.get("/<uuid:calendar_id>.ics")
@caller("person")
def download(calendar_id: UUID) -> Response:
    """Send one calendar, private events and all."""
    found = current.services().calendar_export.for_owner(current.person_id(), calendar_id)
    answer = make_response(icalendar_text(found))
    answer.headers["Content-Type"] = ICALENDAR
    # Named by the id: a calendar's name can hold anything.
    answer.headers["Content-Disposition"] = f'attachment; filename="calendar-{calendar_id}.ics"'
    return answer
