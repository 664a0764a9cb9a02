"""Compare what is stored with what the provider itself would show: its own expansion, item by item.

The provider's side is read with a client of its own and translated here in a few lines that share nothing with the
product. Both sides are cut to a window two days narrower than the stored one: at its very edges the providers decide
by the owner's zone whether an all-day event is still inside, and the store keeps it in any case.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import psycopg
from psycopg.rows import namedtuple_row

from app.sandbox.calendar.judging import occurrences
from app.sandbox.calendar.state import side_of

EDGE = timedelta(days=2)
_STORED = """
    SELECT o.series_id, o.recurrence_id, o.all_day, o.start_at, o.end_at, o.start_date, o.end_date, o.busy, e.summary,
           e.status, e.provider_id
    FROM occurrences o LEFT JOIN events e ON e.calendar_id = o.calendar_id AND e.provider_id = o.source_id
    WHERE o.calendar_id = %s
"""
_LIVE = """
    SELECT provider_id FROM events
    WHERE calendar_id = %s AND status <> 'cancelled' AND problem IS NULL
"""
IMMUTABLE = 'outlook.timezone="UTC", IdType="ImmutableId"'


def assert_equal(mailbox, calendar=None):
    """Assert that occurrences here are the provider's, and that no stored event is gone there."""
    calendar = calendar or mailbox.main()
    low, high = window_of(mailbox, calendar)
    there = provider_occurrences(mailbox, calendar, low, high)
    here = stored_occurrences(mailbox, calendar, low, high)
    only_here, only_there = sorted(here - there), sorted(there - here)
    assert here == there, f"only here: {only_here[:5]}; only there: {only_there[:5]}"
    ghosts = stored_ids(mailbox, calendar) - provider_ids(mailbox, calendar, low, high)
    assert ghosts == set()
    return here


def window_of(mailbox, calendar):
    """Return the window of a calendar's stored occurrences, less its edges."""
    [row] = query(mailbox, "SELECT window_start, window_end FROM sync_states WHERE calendar_id = %s", calendar.id)
    return row.window_start + EDGE, row.window_end - EDGE


def stored_occurrences(mailbox, calendar, low, high):
    """Return (series, recurrence id, start, end, busy, title) of every stored occurrence in a window."""
    found = set()
    rows = query(mailbox, _STORED, calendar.id)
    for row in rows:
        assert row.provider_id is not None, f"an occurrence of {row.series_id} has no event"
        assert row.status != "cancelled", f"a cancelled event has an occurrence: {row}"
        start, end = (row.start_date, row.end_date) if row.all_day else (row.start_at, row.end_at)
        if inside(start, end, low, high):
            found.add((row.series_id, row.recurrence_id, str(start), str(end), row.busy, row.summary or ""))
    return found


def stored_ids(mailbox, calendar):
    """Return the ids of stored events that are not cancelled."""
    return {row.provider_id for row in query(mailbox, _LIVE, calendar.id)}


def provider_occurrences(mailbox, calendar, low, high):
    """Return what the provider shows in a window, in the form of `stored_occurrences`."""
    if mailbox.provider == "google":
        bounds = {"timeMin": stamp(low - EDGE), "timeMax": stamp(high + EDGE)}
        items = google_items(mailbox, calendar, singleEvents="true", **bounds)
        rows = [google_row(item) for item in items if item["status"] != "cancelled"]
    else:
        items = graph_view(mailbox, calendar, low - EDGE, high + EDGE)
        rows = [graph_row(mailbox, item) for item in items if not item.get("isCancelled")]
    return {
        (series, recurrence, str(start), str(end), "free" if start == end else busy, title)
        for series, recurrence, start, end, busy, title in rows
        if inside(start, end, low, high)
    }


def judged_occurrences(house, provider, account, provider_calendar_id, low, high):
    """Return what the sandbox's own expansion of its state shows in a window, in the form of `stored_occurrences`.

    Unlike `provider_occurrences` it reads past pages and faults, whatever the size of the calendar.
    """
    side = side_of(house.running.app)
    judged = occurrences(
        side, side.sandbox.accounts.by_key(provider, account), provider_calendar_id, low - EDGE, high + EDGE
    )
    rows = [(point(row["start"]), point(row["end"]), row) for row in judged["occurrences"]]
    return {
        (row["series_id"], row["recurrence_id"], row["start"], row["end"], row["busy"], row["title"])
        for start, end, row in rows
        if inside(start, end, low, high)
    }


def point(text):
    """Return the date or instant that a judged time names."""
    return datetime.fromisoformat(text) if " " in text else date.fromisoformat(text)


def provider_ids(mailbox, calendar, low, high):
    """Return the ids of everything that is alive at the provider."""
    if mailbox.provider == "google":
        return {item["id"] for item in google_items(mailbox, calendar) if item["status"] != "cancelled"}
    in_view = graph_view(mailbox, calendar, low - EDGE, high + EDGE)
    listed = graph_pages(mailbox, f"/v1.0/me/calendars/{calendar.provider_id}/events")
    return {item["id"] for item in (*in_view, *listed)}


def google_items(mailbox, calendar, **parameters):
    """Return a list of a Google calendar, all pages."""
    path = f"/calendar/v3/calendars/{calendar.provider_id.replace('#', '%23')}/events"
    return [item for page in mailbox.caller().pages(path, **parameters) for item in page["items"]]


def google_row(item):
    """Translate one expanded Google event."""
    start, end = google_point(item["start"]), google_point(item["end"])
    series = item.get("recurringEventId")
    original = written(google_point(item["originalStartTime"])) if series else ""
    own = [a for a in item.get("attendees", ()) if a.get("self")]
    answer = own[0]["responseStatus"] if own else None
    busy = "busy"
    if item.get("eventType") == "workingLocation":
        busy = "elsewhere"
    elif item.get("transparency") == "transparent" or answer == "declined":
        busy = "free"
    elif item.get("eventType") == "outOfOffice":
        busy = "out_of_office"
    elif answer == "tentative" or item["status"] == "tentative":
        busy = "tentative"
    return series or item["id"], original, start, end, busy, item.get("summary", "")


def google_point(value):
    """Return the date or instant of a Google time."""
    if "date" in value:
        return date.fromisoformat(value["date"])
    return datetime.fromisoformat(value["dateTime"]).astimezone(UTC)


def graph_view(mailbox, calendar, low, high):
    """Return a Graph calendar view, all pages."""
    path = f"/v1.0/me/calendars/{calendar.provider_id}/calendarView"
    return graph_pages(mailbox, path, startDateTime=stamp(low), endDateTime=stamp(high))


def graph_pages(mailbox, path, **parameters):
    """Read a whole Graph list as one page, whatever the page size a test has chosen for the product."""
    runtime = mailbox.house.running.state.runtime
    usual, runtime.graph_page_size = runtime.graph_page_size, 1000
    try:
        answer = mailbox.caller().get(path, params={**parameters, "$top": "1000"}, headers={"Prefer": IMMUTABLE})
    finally:
        runtime.graph_page_size = usual
    assert answer.status_code == 200, answer.text
    assert "@odata.nextLink" not in answer.json(), "more than a thousand items: give the test its own calendar"
    return answer.json()["value"]


def graph_row(mailbox, item):
    """Translate one Graph event of a view."""
    points = [datetime.fromisoformat(item[end]["dateTime"][:19]).replace(tzinfo=UTC) for end in ("start", "end")]
    start, end = [point.date() for point in points] if item["isAllDay"] else points
    series, original = item.get("seriesMasterId"), ""
    if series:
        moment = datetime.fromisoformat(item["originalStart"]).astimezone(UTC)
        # An all-day instance gives the midnight of the mailbox's zone, which is within half a day of the date.
        original = written((moment + timedelta(hours=12)).date() if item["isAllDay"] else moment)
    words = {"oof": "out_of_office", "workingElsewhere": "elsewhere"}
    busy = words.get(item["showAs"], item["showAs"])
    answer = (item.get("responseStatus") or {}).get("response")
    if answer == "declined":
        busy = "free"
    elif answer == "tentativelyAccepted" and busy == "busy":
        busy = "tentative"
    return series or item["id"], original, start, end, busy, item.get("subject") or ""


def inside(start, end, low, high):
    """Tell whether a span touches a window; dates count as days of UTC."""
    if not isinstance(start, datetime):
        return start < high.date() and end > low.date()
    return start < high and (end > low or start >= low)


def written(moment):
    """Return a recurrence id as the store writes it."""
    return moment.strftime("%Y%m%dT%H%M%SZ" if isinstance(moment, datetime) else "%Y%m%d")


def stamp(moment):
    """Return an instant as the providers take it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def query(mailbox, statement, *values):
    """Read from the database by a connection of the test's own."""
    url = mailbox.house.database_url.replace("postgresql+psycopg://", "postgresql://", 1)
    with psycopg.connect(url, autocommit=True, row_factory=namedtuple_row) as connection:
        named = values[0] if values and isinstance(values[0], dict) else values
        return connection.execute(statement, named).fetchall()
