"""List the events of a Google calendar page by page: full lists, filtered lists and deltas.

A page token names the last row that was seen and the number the calendar had when the first page was made; the sync
token on the last page carries that first number. Whatever changes while a client turns pages therefore comes again
with the next delta, and nothing is lost.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from app.sandbox.calendar.google_errors import GoogleError
from app.sandbox.calendar.google_events import GoogleEvents
from app.sandbox.calendar.google_query import EventQuery
from app.sandbox.calendar.google_sight import seen
from app.sandbox.calendar.google_times import in_zone, span_of
from app.sandbox.calendar.recurrence import BadRecurrenceError, is_endless, slots
from app.sandbox.calendar.token_life import stamp
from app.sandbox.calendar.tokens import pack
from app.sandbox.calendar.world import Item, Json, new_id

MOST_INSTANCES = 730
"""Instances given for one series when no end bounds the list; Google cuts endless series likewise."""
_FAR_PAST = datetime(1900, 1, 1, tzinfo=UTC)
_FAR_FUTURE = datetime(2200, 1, 1, tzinfo=UTC)
_TOMBSTONE = ("kind", "etag", "id", "status", "recurringEventId", "originalStartTime")
_TEXT_FIELDS = ("summary", "description", "location")


@dataclass(frozen=True)
class Row:
    """One place in a list."""

    key: list[int | str]
    """Sorts within the list and stays the same from page to page."""
    body: Json | None
    """None: the place is taken by something the client does not get, which is why pages can be short."""


def list_page(events: GoogleEvents, query: EventQuery, page_size: int) -> Json:
    """Return the members `items` and `nextPageToken` or `nextSyncToken` of one page."""
    calendar = events.calendar
    after = query.page["a"] if query.page else None
    first_sequence = query.page["s"] if query.page else calendar.sequence
    rows = (row for row in _rows(events, query) if after is None or row.key > after)
    chosen = list(islice(rows, page_size + 1))
    page, has_more = chosen[:page_size], len(chosen) > page_size
    answer: Json = {"items": [_render(row.body, events, query) for row in page if row.body is not None]}
    if has_more:
        answer["nextPageToken"] = pack(_page_token(events, query, page[-1].key, first_sequence))
    elif query.yields_sync_token:
        token = {"c": calendar.calendar_id, "s": first_sequence, **stamp(events.generation)}
        answer["nextSyncToken"] = pack(token | {"k": "google.syncToken", "b": query.sync_binding})
    return answer


def same_page_token(events: GoogleEvents, query: EventQuery) -> str:
    """Return a page token that leads to the page that is being answered, another one each time."""
    after = query.page["a"] if query.page else []
    sequence = query.page["s"] if query.page else events.calendar.sequence
    return pack(_page_token(events, query, after, sequence) | {"n": new_id(4)})


def _page_token(events: GoogleEvents, query: EventQuery, after: list[int | str], sequence: int) -> Json:
    bound = {"b": query.page_binding, "d": query.since}
    place = {"c": events.calendar.calendar_id, "s": sequence, "a": after, **stamp(events.generation)}
    return {"k": "google.pageToken", **place, **bound}


def _rows(events: GoogleEvents, query: EventQuery) -> Iterable[Row]:
    if query.since is not None:
        return _delta_rows(events, query, query.since)
    rows = _full_rows(events, query)
    return rows if query.order_by is None else _sorted(rows, events, query)


def _sorted(rows: Iterable[Row], events: GoogleEvents, query: EventQuery) -> list[Row]:
    real = [Row([_order(row.body, events, query), *row.key], row.body) for row in rows if row.body is not None]
    return sorted(real, key=lambda row: row.key)


def _order(body: Json, events: GoogleEvents, query: EventQuery) -> str:
    if query.order_by == "updated" or "start" not in body:
        return str(body.get("updated", ""))
    return span_of(body, events.calendar).start.isoformat()


def _delta_rows(events: GoogleEvents, query: EventQuery, since: int) -> Iterator[Row]:
    for item in list(events.calendar.items.values()):
        if item.sequence > since and not item.is_buried and _is_type(item.body, query):
            yield from _expanded(events, item, query)


def _full_rows(events: GoogleEvents, query: EventQuery) -> Iterator[Row]:
    for item in list(events.calendar.items.values()):
        if item.is_buried or (_is_cancelled(item) and not _shows_cancelled(item, query)):
            yield Row([item.ordinal, 0], None)
        elif _is_type(item.body, query) and _matches(item.body, query):
            yield from _windowed(events, item, query)


def _is_cancelled(item: Item) -> bool:
    return item.body.get("status") == "cancelled"


def _shows_cancelled(item: Item, query: EventQuery) -> bool:
    is_instance = "recurringEventId" in item.body
    if query.updated_min is not None:
        return True
    if query.single_events:
        return query.show_deleted and not item.body.get("recurrence")
    return query.show_deleted or is_instance


def _expanded(events: GoogleEvents, item: Item, query: EventQuery) -> Iterator[Row]:
    if not query.single_events or _is_cancelled(item) or not item.body.get("recurrence"):
        yield Row([item.ordinal, 0], item.body)
        return
    try:
        yield from _instances(events, item, query)
    except BadRecurrenceError:
        yield Row([item.ordinal, 0], item.body)


def _windowed(events: GoogleEvents, item: Item, query: EventQuery) -> Iterator[Row]:
    if _is_cancelled(item) and "start" not in item.body:
        yield Row([item.ordinal, 0], item.body)
    elif item.body.get("recurrence") and not query.single_events:
        if _series_touches(events, item.body, query):
            yield Row([item.ordinal, 0], item.body)
    elif item.body.get("recurrence"):
        yield from _expanded(events, item, query)
    elif _touches(events, item.body, query):
        yield Row([item.ordinal, 0], item.body)


def _instances(events: GoogleEvents, item: Item, query: EventQuery) -> Iterator[Row]:
    # Without a lower bound an old series starts a year back, so that the cut does not fall before today.
    low = query.time_min or events.world.clock.now() - timedelta(days=366)
    found = events.computed(item.body, low, query.time_max or _FAR_FUTURE, MOST_INSTANCES)
    for index, body in enumerate(found):
        yield Row([item.ordinal, index], body)


def _series_touches(events: GoogleEvents, master: Json, query: EventQuery) -> bool:
    series = events.series(master)
    if query.time_min is None and query.time_max is None:
        return True
    if query.time_max is None and is_endless(series):
        return True
    try:
        if slots(series, query.time_min or _FAR_PAST, query.time_max or _FAR_FUTURE, 1):
            return True
    except BadRecurrenceError:
        return _touches(events, master, query)
    return any(
        "start" in e.body and _touches(events, e.body, query) for e in events.calendar.exceptions_of(master["id"])
    )


def _touches(events: GoogleEvents, body: Json, query: EventQuery) -> bool:
    if query.time_min is None and query.time_max is None:
        return True
    try:
        span = span_of(body, events.calendar)
    except GoogleError:
        # Events read from files may lack times or carry absurd ones; those are in every window.
        return True
    is_late_enough = query.time_min is None or span.end > query.time_min
    return is_late_enough and (query.time_max is None or span.start < query.time_max)


def _is_type(body: Json, query: EventQuery) -> bool:
    return not query.event_types or body.get("eventType", "default") in query.event_types


def _matches(body: Json, query: EventQuery) -> bool:
    if query.ical_uid is not None and body.get("iCalUID") != query.ical_uid:
        return False
    if query.updated_min is not None and datetime.fromisoformat(body["updated"]) < query.updated_min:
        return False
    if query.text is None:
        return True
    people = (person.get(name, "") for person in body.get("attendees", ()) for name in ("email", "displayName"))
    haystack = " ".join([*(str(body.get(name, "")) for name in _TEXT_FIELDS), *people]).casefold()
    return all(word in haystack for word in query.text.casefold().split())


def _render(whole: Json, events: GoogleEvents, query: EventQuery) -> Json:
    body = seen(whole, events.calendar)
    if body.get("status") == "cancelled" and not query.show_deleted:
        body = {name: body[name] for name in _TOMBSTONE if name in body}
    body = dict(body)
    if query.zone is not None:
        times = (name for name in ("start", "end", "originalStartTime") if name in body)
        body |= {name: in_zone(body[name], query.zone, events.calendar) for name in times}
    attendees = body.get("attendees", [])
    if query.max_attendees is not None and len(attendees) > query.max_attendees:
        body |= {"attendees": [a for a in attendees if a.get("self")], "attendeesOmitted": True}
    return body
