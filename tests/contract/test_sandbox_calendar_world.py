"""The sandbox's event pages, control interface, files of payloads, and restarts."""

import json
import re

import pytest
import requests

from app.sandbox.calendar.zones import find_zone, windows_name, windows_zones
from tests.contract.sandbox_calendars import CALENDAR, calendars

SERIES = {
    "id": "master0001",
    "status": "confirmed",
    "summary": "From a file",
    "start": {"dateTime": "2025-10-13T09:00:00-04:00", "timeZone": "America/New_York"},
    "end": {"dateTime": "2025-10-13T10:00:00-04:00", "timeZone": "America/New_York"},
    "recurrence": ["RRULE:FREQ=WEEKLY;COUNT=8;BYDAY=MO", "EXDATE:20251020T130000Z"],
}
GRAPH_SERIES = {
    "id": "AAMkFile=",
    "type": "seriesMaster",
    "subject": "From a file",
    "start": {"dateTime": "2025-10-13T13:00:00.0000000", "timeZone": "UTC"},
    "end": {"dateTime": "2025-10-13T14:00:00.0000000", "timeZone": "UTC"},
    "recurrence": {
        "pattern": {"type": "weekly", "interval": 1, "daysOfWeek": ["monday"], "firstDayOfWeek": "monday"},
        "range": {
            "type": "numbered",
            "startDate": "2025-10-13",
            "numberOfOccurrences": 8,
            "recurrenceTimeZone": "Eastern Standard Time",
        },
    },
    "cancelledOccurrences": ["OID.AAMkFile=.2025-10-20"],
}


@pytest.fixture
def served():
    with calendars() as running:
        yield running


@pytest.fixture
def browser():
    with requests.Session() as session:
        session.trust_env = False
        yield session


def shown(browser, url, **query):
    """Return a page with its no-break spaces made plain."""
    return browser.get(url, params=query).text.replace("\N{NO-BREAK SPACE}", " ")


def form_of(page, legend_id):
    """Return the hidden and visible fields of the form in a section."""
    section = page.partition(f'id="{legend_id}"')[2].partition("</form>")[0]
    return dict(re.findall(r'name="(\w+)"[^>]*value="([^"]*)"', section))


@pytest.mark.parametrize(("provider", "key"), [("google", "ada"), ("microsoft", "chiara")])
def test_event_page_adds_moves_and_deletes(served, browser, provider, key):
    url = f"{served.base_url}/people/{provider}/{key}/events"
    times = {"start": "2031-03-03T10:00", "end": "2031-03-03T11:00"}

    browser.post(url, data={"action": "add", "title": "From the page", "repeat": "", **times})
    page = shown(browser, url, start="2031-03-02")
    link = re.search(r'href="([^"]*event=[^"]*)#edit"', page)[1].replace("&amp;", "&")
    fields = form_of(browser.get(served.base_url + link).text, "edit")
    moved = {"action": "change", "event": fields["event"], "title": "Moved", **times, "end": "2031-03-03T12:30"}
    browser.post(url, data=moved)
    after_move = shown(browser, url, start="2031-03-02")
    browser.post(url, data={"action": "delete", "event": fields["event"]})
    after_delete = shown(browser, url, start="2031-03-02")

    assert "From the page" in page
    assert "Mon 03 Mar 10:00 to 12:30" in after_move
    assert "Moved" in after_move
    assert "Moved" not in after_delete


@pytest.mark.parametrize(("provider", "key"), [("google", "bruno"), ("microsoft", "devon")])
def test_event_page_cancels_one_instance_and_renames_a_series(served, browser, provider, key):
    url = f"{served.base_url}/people/{provider}/{key}/events"
    times = {"start": "2031-03-03T10:00", "end": "2031-03-03T11:00"}
    browser.post(url, data={"action": "add", "title": "Each week", "repeat": "weekly", **times})
    page = shown(browser, url, start="2031-03-02")
    row = next(part for part in page.split("<tr>") if "Mon 10 Mar" in part and "Each week" in part)
    link = re.search(r'href="([^"]*event=[^"]*)#edit"', row)[1].replace("&amp;", "&")
    edit = browser.get(served.base_url + link).text
    event = form_of(edit, "edit")["event"]
    series = re.search(r'name="series" value="([^"]*)"', edit)[1]

    browser.post(url, data={"action": "delete", "event": event})
    browser.post(url, data={"action": "rename_series", "series": series, "title": "Every week"})
    rows = [row for row in shown(browser, url, start="2031-03-02").split("<tr>") if "Every week" in row]

    assert re.findall(r"Mon \d\d Mar", " ".join(row.partition("to")[0] for row in rows)) == ["Mon 03 Mar", "Mon 17 Mar"]


def test_edits_on_the_page_reach_the_sync(served, browser):
    ada = served.google("ada")
    *_, last = ada.pages(CALENDAR)
    times = {"start": "2031-03-03T10:00", "end": "2031-03-03T11:00"}

    browser.post(f"{served.base_url}/people/google/ada/events", data={"action": "add", "title": "By hand", **times})

    (item,) = ada.get(CALENDAR, params={"syncToken": last["nextSyncToken"]}).json()["items"]
    assert (item["summary"], item["start"]["dateTime"]) == ("By hand", "2031-03-03T10:00:00+01:00")


def test_titles_are_escaped_and_foreign_sites_cannot_post(served, browser):
    url = f"{served.base_url}/people/google/ada/events"
    times = {"start": "2031-03-03T10:00", "end": "2031-03-03T11:00"}
    browser.post(url, data={"action": "add", "title": "<script>alert(1)</script>", **times})

    page = shown(browser, url, start="2031-03-02")
    foreign = browser.post(url, data={"action": "add", **times}, headers={"Origin": "https://evil.example"})

    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert foreign.status_code == 403


def test_page_of_nobody_is_not_found_and_bad_forms_are_refused(served, browser):
    assert browser.get(f"{served.base_url}/people/google/nobody/events").status_code == 404
    assert browser.get(f"{served.base_url}/people/oidc/ada/events").status_code == 404
    bad = {"action": "add", "title": "x", "start": "yesterday", "end": "2031-03-03T11:00"}
    assert browser.post(f"{served.base_url}/people/google/ada/events", data=bad).status_code == 400


@pytest.mark.parametrize(("provider", "key"), [("google", "ada"), ("microsoft", "chiara")])
def test_control_edits_events_and_instances(served, provider, key):
    who = {"provider": provider, "account": key}
    times = {"start": "2031-03-03T10:00:00", "end": "2031-03-03T11:00:00"}
    made = served.control("/events", **who, action="add", title="Series", repeat="daily", **times)
    place = {"series_id": made["id"], "day": "2031-03-05"}
    moved_times = {"start": "2031-03-05T15:00:00", "end": "2031-03-05T16:00:00"}

    moved = served.control("/events", **who, action="move_instance", **place, **moved_times)
    gone = served.control("/events", **who, action="delete_instance", series_id=made["id"], day="2031-03-06")
    served.control("/events", **who, action="delete", event_id=made["id"])

    assert made["id"] in (moved.get("recurringEventId"), moved.get("seriesMasterId"))
    assert gone["deleted"] is True


def test_control_refuses_what_it_does_not_understand(served, browser):
    url = f"{served.base_url}/_control/events"

    answers = [
        browser.post(url, json=body).status_code
        for body in (
            {"provider": "google", "account": "ada", "action": "explode", "event_id": "x"},
            {"provider": "google", "account": "nobody", "action": "add"},
            {"provider": "google", "account": "ada", "action": "delete"},
        )
    ]

    assert answers == [400, 400, 400]


@pytest.mark.parametrize(("provider", "key"), [("google", "ada"), ("microsoft", "chiara")])
def test_bulk_adds_ten_thousand_events(served, provider, key):
    answer = served.control("/bulk", provider=provider, account=key, count=10_000)

    boxes = served.control("/world", "GET")["mailboxes"]
    own = next(box for box in boxes if (box["provider"], box["account"]) == (provider, key))["calendars"][0]
    assert answer["added"] == 10_000
    assert own["items"] > 10_000


def files(tmp_path):
    payloads = {
        "google/list.json": {"kind": "calendar#events", "timeZone": "America/New_York", "items": [SERIES]},
        "google/one.json": {"id": "master0001", "start": {"date": "2025-01-01"}, "end": {"date": "2025-01-02"}},
        "google/entry.json": {"id": "primary", "summary": "Listed", "accessRole": "reader", "timeZone": "UTC"},
        "google/bad-rule.json": {"items": [SERIES | {"recurrence": ["RRULE:FREQ=SOMETIMES"]}]},
        "graph/page.json": {"value": [GRAPH_SERIES]},
        "graph/one.json": GRAPH_SERIES | {"recurrence": None, "type": "singleInstance"},
        "both.json": {"google_events_list": {"items": [SERIES]}, "graph_events": {"value": [GRAPH_SERIES]}},
        "request.json": {"summary": "No id", "start": {"date": "2025-01-01"}},
        "error.json": {"error": {"code": 403}},
    }
    for name, payload in payloads.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(payload), encoding="utf-8")
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    return tmp_path


def test_files_are_served_as_they_stand(tmp_path):
    with calendars(world_dir=files(tmp_path)) as served:
        report = served.control("/world", "GET")["files"]
        corpus = served.google("corpus")
        listed = corpus.get("/calendar/v3/users/me/calendarList").json()["items"]
        events = corpus.get("/calendar/v3/calendars/file-google-list.json/events").json()["items"]

    assert report["read"] == 7
    assert report["skipped"].keys() == {"request.json", "error.json", "broken.json"}
    assert report["served"] == {"google": 4, "microsoft": 3}
    assert report["unexpandable"].keys() == {"google/bad-rule.json#master0001"}
    assert events == [SERIES]
    assert any(entry["summary"] == "Listed" and entry["id"] != "primary" for entry in listed)


def test_series_of_files_are_expanded_in_either_interface(tmp_path):
    window = {"timeMin": "2025-10-01T00:00:00Z", "timeMax": "2026-01-01T00:00:00Z", "timeZone": "Etc/UTC"}
    with calendars(world_dir=files(tmp_path)) as served:
        path = "/calendar/v3/calendars/file-both.json/events"
        google = served.google("corpus").get(path, params={"singleEvents": "true", **window}).json()["items"]
        delta = "/v1.0/me/calendars/file-both.json/calendarView/delta?startDateTime=2025-10-01&endDateTime=2026-01-01"
        graph = [item for page in served.graph("corpus").rounds(delta) for item in page["value"]]

    starts = [item["start"]["dateTime"][:16] for item in google]
    assert starts == [item["start"]["dateTime"][:16] for item in graph if item["type"] == "occurrence"]
    assert starts[:3] == ["2025-10-13T13:00", "2025-10-27T13:00", "2025-11-03T14:00"]
    assert len(starts) == 7
    assert "cancelledOccurrences" not in graph[0]


def test_edits_and_tokens_survive_a_restart(tmp_path):
    state_file = tmp_path / "state.json"
    timed = {"start": {"dateTime": "2031-03-03T10:00:00Z"}, "end": {"dateTime": "2031-03-03T11:00:00Z"}}
    with calendars(state_file=state_file) as served:
        ada = served.google("ada")
        *_, last = ada.pages(CALENDAR)
        made = ada.post(CALENDAR, json={"summary": "Kept", **timed}).json()

    with calendars(state_file=state_file) as served:
        answer = served.google("ada").get(CALENDAR, params={"syncToken": last["nextSyncToken"]}).json()

    assert [(item["id"], item["summary"]) for item in answer["items"]] == [(made["id"], "Kept")]


def test_zone_names_translate_both_ways():
    assert windows_name("Europe/Rome") == "W. Europe Standard Time"
    assert windows_name("Eastern Standard Time") == "Eastern Standard Time"
    assert find_zone("Eastern Standard Time").key == "America/New_York"
    assert find_zone("Customized Time Zone") is None
    assert all(find_zone(name) is not None for name in windows_zones())
