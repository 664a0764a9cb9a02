"""``GET /v1/changes``: every change of every calendar the service may see, from the beginning or since last time."""

from __future__ import annotations

from typing import NotRequired

from flask import Blueprint, request
from typing_extensions import TypedDict
from werkzeug.wrappers import Response

from app.services.calendar_access import ReadRefused
from app.services.change_feed import Change, ChangePage
from app.web import current
from app.web.access import caller
from app.web.api import query
from app.web.api.calendar_items import RefusedItem, read_refused_answer, refused_item
from app.web.api.event_items import EventItem, InstanceItem, event_item, instance_items
from app.web.api.openapi import Answer, Group, Identifier, Operation, Timestamp
from app.web.api.page_cursors import feed_cursor, read_position
from app.web.api.token_answers import timestamp
from app.web.errors import ErrorCode
from app.web.rendering import compact_answer

blueprint = Blueprint("v1_changes", __name__, url_prefix="/v1")

USUAL_PAGE = 100
LONGEST_PAGE = 500
_SINGLE = ("purpose", "limit", "cursor")


class ChangeItem(TypedDict):
    """One event as it is now: put it in the place of what you have under `calendar_id` and `event_id`."""

    calendar_id: Identifier
    event_id: str
    """Of the single event, or of the series with all that belongs to it."""
    seq: int
    """Grows with every change of the calendar. What you have with this `seq` or a greater one stays."""
    changed_at: Timestamp
    removed: bool
    """Whether the event is gone, with all its occurrences; `event` and `occurrences` are absent then."""
    event: NotRequired[EventItem]
    occurrences: NotRequired[list[InstanceItem]]
    """All there are between `complete_from` and `complete_to` of its calendar."""


class ChangeList(TypedDict):
    """A page of changes: calendar by calendar, each calendar's in the order in which they happened."""

    changes: list[ChangeItem]
    next_cursor: str
    """Where to go on, also when nothing was new. Keep it once the page is stored."""
    has_more: bool
    """Whether the next page is there already; without, come back when you like."""
    calendars: NotRequired[list[Identifier]]
    """All calendars the service sees in this feed, when that may have changed. Forget what you have of others."""
    refused: NotRequired[list[RefusedItem]]
    """Beside `calendars`: whose calendars are not among them, and why."""


_EXAMPLE: ChangeList = {
    "changes": [
        {
            "calendar_id": "0b6f2c1e-6a35-4c1b-9d58-0a4f6c1d2e3f",
            "event_id": "4k2v9q7tq1m0",
            "seq": 42,
            "changed_at": "2026-11-23T09:30:00Z",
            "removed": True,
        }
    ],
    "next_cursor": "x1Qm2lsiYyIsIjRm",
    "has_more": False,
}


@blueprint.get("/changes")
@caller("service")
@Operation(
    id="list_changes",
    group=Group.CALENDARS,
    summary="Follow the changes of all calendars the service may see",
    description=(
        "Without a cursor from the beginning: everything there is, each event once, and what is gone as `removed`. "
        "With the cursor of the answer before: what has changed since. Reading from the beginning can be repeated at "
        "any time and ends in the same set.\n\n"
        "An event that changes often comes with its newest state only. A change may come twice; `seq` tells. Without "
        "`user` the feed is about everybody whom policies with `act_as` let the service read; calendars that become "
        "visible later come from their beginning, and some others with them once more.\n\n"
        "Events carry details, so policies need `calendar.read`; private ones carry times alone."
    ),
    parameters=(
        query.USER, query.SUBJECT_TOKEN, query.PURPOSE_PARAMETER, query.limit_parameter(USUAL_PAGE, LONGEST_PAGE),
        query.CURSOR,
    ),
    answers=(Answer(200, "A page.", ChangeList, _EXAMPLE),),
    errors={
        400: (ErrorCode.INVALID_TARGET, ErrorCode.INTERACTION_REQUIRED),
        410: (ErrorCode.INVALID_REQUEST,),
    },
)  # fmt: skip
def changes() -> Response:
    """Answer a page of changes."""
    query.refuse_strange(_SINGLE, ("user",))
    cursor, limit = request.args.get("cursor"), query.number("limit", USUAL_PAGE, LONGEST_PAGE)
    position = None if cursor is None else read_position(cursor)
    asked = query.asked(needs_somebody=False, needs_details=True)
    try:
        page = current.services().change_feed.read(current.service(), asked, position, limit)
    except ReadRefused as refused:
        return read_refused_answer(refused)
    return compact_answer(_answer(page))


def _answer(page: ChangePage) -> ChangeList:
    answer: ChangeList = {
        "changes": [_item(one) for one in page.changes],
        "next_cursor": feed_cursor(page.position),
        "has_more": page.has_more,
    }
    if page.calendars is not None:
        answer["calendars"] = [str(one) for one in page.calendars]
        answer["refused"] = [refused_item(one) for one in page.refused]
    return answer


def _item(change: Change) -> ChangeItem:
    changed, series = change.changed, change.series
    item: ChangeItem = {
        "calendar_id": str(changed.calendar_id),
        "event_id": changed.event_id,
        "seq": changed.seq,
        "changed_at": timestamp(changed.changed_at),
        "removed": series is None,
    }
    if series is not None:
        item["event"] = event_item(series, str(change.person_id))
        item["occurrences"] = instance_items(series)
    return item
