"""Expand a calendar as its provider would show it, in neither provider's words: what a judge of a sync compares with.

It reads the state directly, past pages, tokens and faults, and shares nothing with the product.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime

from app.sandbox.accounts import Account
from app.sandbox.calendar.busy import google_occurrences, merge
from app.sandbox.calendar.google_events import GoogleEvents
from app.sandbox.calendar.google_times import is_all_day as is_google_all_day
from app.sandbox.calendar.google_times import moment_of, span_of
from app.sandbox.calendar.graph_events import GraphEvents
from app.sandbox.calendar.graph_ids import shown, split_occurrence_id
from app.sandbox.calendar.graph_times import moment_of as graph_moment
from app.sandbox.calendar.graph_times import naive
from app.sandbox.calendar.state import CalendarSide
from app.sandbox.calendar.world import Json

_GRAPH_BUSY = {"oof": "out_of_office", "workingElsewhere": "elsewhere"}
_FREE = ("free", "elsewhere")


def occurrences(side: CalendarSide, account: Account, calendar_id: str | None, low: datetime, high: datetime) -> Json:
    """Return what a calendar shows in [`low`, `high`), both aware; None is the person's own calendar.

    Members: `calendar`, its id; `occurrences`, in order, each with `series_id` (of a single event its own id; at
    Microsoft the immutable form), `recurrence_id` (instant of the original start such as `20260105T090000Z`, or the
    date of an all-day series; empty for a single event), `start` and `end` (instant, or date when `is_all_day`),
    `busy` (`busy`, `tentative`, `free`, `out_of_office` or `elsewhere`; something without length is free) and `title`;
    `busy`, the merged times that are not free. Cancelled things are left out, declined ones are free. Takes the
    sandbox's lock. Raises UnknownCalendarError.
    """
    with side.sandbox.lock:
        mailbox = side.world.mailbox(account.provider, account.key)
        calendar = mailbox.main if calendar_id is None else mailbox.calendar(calendar_id)
        if account.provider == "google":
            google = GoogleEvents(side.world, mailbox, calendar, account.email)
            found = list(_google(google, low, high))
        else:
            owner = {"name": account.name, "address": account.email}
            found = list(_graph(GraphEvents(side.world, mailbox, calendar, owner), low, high))
    blocks = merge([(max(start, low), min(end, high)) for row, start, end in found if row["busy"] not in _FREE])
    rows = sorted((row for row, _, _ in found), key=lambda row: (row["start"], row["series_id"], row["recurrence_id"]))
    busy = [{"start": _stamp(start), "end": _stamp(end)} for start, end in blocks]
    return {"calendar": calendar.calendar_id, "occurrences": rows, "busy": busy}


def _google(events: GoogleEvents, low: datetime, high: datetime) -> Iterator[tuple[Json, datetime, datetime]]:
    for body in google_occurrences(events, low, high):
        span = span_of(body, events.calendar)
        original = body.get("originalStartTime")
        series_id = body.get("recurringEventId")
        points = [_google_point(body[name], events) for name in ("start", "end")]
        yield (
            {
                "series_id": series_id or body["id"],
                "recurrence_id": _written(_google_point(original, events)) if series_id and original else "",
                "is_all_day": is_google_all_day(body["start"]),
                "start": str(points[0]),
                "end": str(points[1]),
                "busy": "free" if points[0] == points[1] else _google_busy(body),
                "title": body.get("summary", ""),
            },
            span.start,
            span.end,
        )


def _google_point(when: Json, events: GoogleEvents) -> date | datetime:
    return date.fromisoformat(when["date"]) if is_google_all_day(when) else moment_of(when, events.calendar)


def _google_busy(body: Json) -> str:
    own = next((a.get("responseStatus") for a in body.get("attendees", ()) if a.get("self")), None)
    if body.get("eventType") == "workingLocation":
        return "elsewhere"
    if body.get("transparency") == "transparent" or own == "declined":
        return "free"
    if body.get("eventType") == "outOfOffice":
        return "out_of_office"
    return "tentative" if "tentative" in (own, body.get("status")) else "busy"


def _graph(events: GraphEvents, low: datetime, high: datetime) -> Iterator[tuple[Json, datetime, datetime]]:
    for body in events.view(low, high):
        if body.get("isCancelled"):
            continue
        is_all_day = bool(body.get("isAllDay"))
        start, end = events.span(body)
        points = [naive(body[name]).date() if is_all_day else graph_moment(body[name]) for name in ("start", "end")]
        series_id = body.get("seriesMasterId")
        yield (
            {
                "series_id": shown(series_id or body["id"], is_immutable=True),
                "recurrence_id": _graph_recurrence_id(events, body) if series_id else "",
                "is_all_day": is_all_day,
                "start": str(points[0]),
                "end": str(points[1]),
                "busy": "free" if points[0] == points[1] else _graph_busy(body),
                "title": body.get("subject") or "",
            },
            start,
            end,
        )


def _graph_recurrence_id(events: GraphEvents, body: Json) -> str:
    parts = split_occurrence_id(body["id"])
    master = events.calendar.items.get(body["seriesMasterId"])
    if parts is not None and master is not None and master.body.get("isAllDay"):
        # The series decides the form, also of an occurrence that somebody gave a time of day.
        return _written(parts[1])
    return _written(graph_moment({"dateTime": body["originalStart"]}))


def _graph_busy(body: Json) -> str:
    shows = str(body.get("showAs", "busy"))
    busy = _GRAPH_BUSY.get(shows, shows)
    answer = (body.get("responseStatus") or {}).get("response")
    if answer == "declined":
        return "free"
    return "tentative" if answer == "tentativelyAccepted" and busy == "busy" else busy


def _written(point: date | datetime) -> str:
    return f"{point:%Y%m%dT%H%M%SZ}" if isinstance(point, datetime) else f"{point:%Y%m%d}"


def _stamp(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
