"""Published payloads and recurrence cases through the whole chain: HTTP, adapters, expansion, database.

The sandbox serves the corpus named by LATCHKEY_CORPUS as calendars of two accounts, one calendar per file; both are
synced with a window of decades. Nothing served may vanish without a reason. Without the corpus these tests are skipped.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from app.domain.calendars import Window
from app.domain.secret import Secret
from app.providers.http import OutboundClient
from app.providers.microsoft.calendar import MicrosoftCalendars
from tests.contract.test_corpus import CONTESTED_OTHERWISE
from tests.integration.sync.compare import query
from tests.integration.sync.house import house as serve_house
from tests.integration.sync.house import keyring_text

DECADES = {"past": timedelta(days=15_000), "future": timedelta(days=5_000)}
FLAGS = {"google": {"floating_time"}, "microsoft": {"no_time"}}
"""Reasons not to represent an item: a time nobody can place, and examples of a reference that leave the times out."""


@pytest.fixture
def synced(corpus_dir, database_url, tmp_path, request):
    """Serve the corpus and sync every calendar of one account; yields the mailbox."""
    keyring_file = tmp_path / "keyring.json"
    keyring_file.touch(mode=0o600)
    keyring_file.write_text(keyring_text())
    pages = {"google_page_size": 2500, "graph_page_size": 1000}
    with serve_house(database_url, keyring_file, world_dir=corpus_dir, sync=DECADES, **pages) as house:
        mailbox = house.connect(request.param, "corpus")
        for calendar in mailbox.calendars():
            mailbox.sync(calendar)
        yield mailbox


def rows(mailbox, calendar):
    found = query(mailbox, "SELECT * FROM events WHERE calendar_id = %s", calendar.id)
    return {row.provider_id: row for row in found}


def sources(mailbox, calendar):
    found = query(mailbox, "SELECT DISTINCT source_id FROM occurrences WHERE calendar_id = %s", calendar.id)
    return {row.source_id for row in found}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("synced", ["google"], indirect=True)
def test_everything_google_serves_is_stored_or_explained(synced, corpus_dir):
    counts, flagged, lost = Counter(), {}, []

    for calendar in synced.calendars():
        stored, shown = rows(synced, calendar), sources(synced, calendar)
        for item in synced.at_sandbox(calendar).items.values():
            row, is_tombstone = stored.get(item.body["id"]), item.is_gone
            counts["served"] += 1
            if is_tombstone:
                counts["removed"] += 1
                assert row is None
            elif row is None:
                lost.append((calendar.name, item.body["id"]))
            else:
                counts["stored"] += 1
                counts["cancelled"] += row.status == "cancelled"
                if row.problem:
                    flagged[calendar.name] = row.problem
                elif row.status != "cancelled" and row.provider_id not in shown:
                    counts[explain_absence(row)] += 1

    report(synced, "google", counts, flagged)
    assert lost == []
    assert counts["stored"] + counts["removed"] == counts["served"] > 150
    assert set(flagged.values()) <= FLAGS["google"]
    assert counts["unexplained"] == 0
    check_cases(synced, corpus_dir, "google_events_list")


def explain_absence(row):
    """Return why a sound event has no occurrence."""
    low, high = datetime.now(UTC) - DECADES["past"], datetime.now(UTC) + DECADES["future"]
    end = row.end_at or datetime.combine(row.end_date, datetime.min.time(), UTC)
    start = row.start_at or datetime.combine(row.start_date, datetime.min.time(), UTC)
    if row.kind == "master" and any("UNTIL" in line or "EXDATE" in line for line in row.rules):
        # Ended before it began, or every instance taken out.
        return "series without instances"
    if row.kind != "master" and (end < low or start > high):
        return "outside the window"
    return "unexplained"


@pytest.mark.timeout(400)
@pytest.mark.parametrize("synced", ["microsoft"], indirect=True)
def test_everything_graph_serves_is_stored_or_explained(synced, corpus_dir):
    counts, flagged, lost = Counter(), {}, []

    for calendar in synced.calendars():
        stored, shown = rows(synced, calendar), sources(synced, calendar)
        for item in synced.at_sandbox(calendar).items.values():
            row = stored.get(item.body["id"])
            counts["served"] += 1
            if item.is_gone:
                counts["removed"] += 1
                assert row is None
            elif row is not None:
                counts["stored"] += 1
                if row.problem:
                    flagged[calendar.name] = row.problem
                elif row.status != "cancelled" and row.provider_id not in shown and row.kind != "master":
                    counts["unexplained"] += 1
            elif item.body.get("type") == "occurrence":
                counts["occurrence, not an event"] += 1
            elif "start" in item.body:
                lost.append((calendar.name, item.body["id"]))
            else:
                counts["without a time, in no view"] += 1

    report(synced, "microsoft", counts, flagged)
    assert lost == []
    assert counts["stored"] > 50
    assert set(flagged.values()) <= FLAGS["microsoft"]
    assert counts["unexplained"] == 0
    check_cases(synced, corpus_dir, "graph_events")


def report(mailbox, provider, counts, flagged):
    [found] = query(
        mailbox, "SELECT count(*) AS occurrences, count(DISTINCT calendar_id) AS calendars FROM occurrences"
    )
    print(provider, dict(counts), "flagged:", flagged, found, f"of {len(mailbox.calendars())} calendars")


def check_cases(synced, corpus_dir, member):
    """Assert that the recurrence cases have the occurrences they should."""
    by_name = {calendar.name: calendar for calendar in synced.calendars()}
    wrong, right, contested = [], 0, 0

    for path in sorted((corpus_dir / "recurrence" / "cases").glob("*.json")):
        case = json.loads(path.read_text())
        if member not in case:
            continue
        found = starts_and_ends(synced, by_name[f"recurrence/cases/{path.name}"], case["window"])
        if found == sorted((o["start"], o["end"]) for o in case["expected_occurrences"]):
            right += 1
        elif path.stem in CONTESTED_OTHERWISE:
            contested += 1
        else:
            wrong.append(path.stem)

    print(synced.provider, "right", right, "contested otherwise", contested, "wrong", wrong)
    assert wrong == []
    assert right > 50


def starts_and_ends(mailbox, calendar, window):
    """Return the stored occurrences that start in a case's window, as it writes them."""
    low, high = (date.fromisoformat(window[name]) for name in ("from", "to_exclusive"))
    found = []
    for row in query(mailbox, "SELECT * FROM occurrences WHERE calendar_id = %s", calendar.id):
        start, end = (row.start_date, row.end_date) if row.all_day else (row.start_at, row.end_at)
        day = start if row.all_day else start.date()
        if low <= day < high:
            found.append(tuple(p.isoformat() if row.all_day else f"{p:%Y-%m-%dT%H:%M:%SZ}" for p in (start, end)))
    return sorted(found)


@contextmanager
def graph_page(page):
    """Serve one page as the whole round of any calendar; nothing else is found. Yields the base address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            is_round = "delta" in self.path
            body = json.dumps(page if is_round else {"error": {"code": "ErrorItemNotFound"}}).encode()
            self.send_response(200 if is_round else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def test_graph_pages_as_they_stand_make_a_round(corpus_dir):
    window = Window(datetime(2000, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC))
    counts = Counter()

    for path in sorted((corpus_dir / "graph").glob("*events-page*.json")):
        page = json.loads(path.read_text())
        items = [item for item in page["value"] if "id" in item]
        link = "https://graph.microsoft.com/v1.0/me/calendarView/delta?$deltatoken=end"
        page = {"value": page["value"], "@odata.deltaLink": link}
        with graph_page(page) as address:
            http = OutboundClient({"https://graph.microsoft.com": address})
            try:
                pages = list(MicrosoftCalendars(http).changes(Secret("token"), "any", None, window))
            finally:
                http.close()
        known = {event.provider_id for one in pages for event in one.events} | {i for one in pages for i in one.removed}
        missing = [item["id"] for item in items if item["id"] not in known]
        counts += Counter(files=1, items=len(items), read=len(known), missing=len(missing))
        bare = {item["id"] for item in items if item.get("type") == "occurrence"}
        assert set(missing) <= bare, (path.name, missing)
        assert pages[-1].cursor == link

    print(dict(counts))
    assert counts["files"] >= 5
