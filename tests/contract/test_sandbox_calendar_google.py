"""The sandbox's Google Calendar interface: lists, deltas, series, writes, errors."""

import pytest

from tests.contract.sandbox_calendars import CALENDAR, calendars

TIMED = {
    "start": {"dateTime": "2031-03-03T10:00:00", "timeZone": "Europe/Stockholm"},
    "end": {"dateTime": "2031-03-03T11:00:00", "timeZone": "Europe/Stockholm"},
}
WEEKLY = {"summary": "Weekly", "recurrence": ["RRULE:FREQ=WEEKLY;COUNT=5"], **TIMED}


@pytest.fixture
def served():
    with calendars() as running:
        yield running


@pytest.fixture
def ada(served):
    return served.google("ada")


def read(caller, **params):
    """Return all items and the last page."""
    pages = list(caller.pages(CALENDAR, **params))
    return [item for page in pages for item in page["items"]], pages[-1]


def reason(answer):
    return answer.status_code, answer.json()["error"]["errors"][0]["reason"]


def insert(caller, **body):
    answer = caller.post(CALENDAR, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_sync_token_comes_on_the_last_page_only(ada):
    pages = list(ada.pages(CALENDAR, maxResults="9"))

    assert len(pages) > 1
    assert all(("nextSyncToken" in page) != ("nextPageToken" in page) for page in pages)
    assert "nextSyncToken" in pages[-1]


def test_runtime_page_size_caps_what_the_client_asks_for(served, ada):
    served.control("/settings", google_page_size=4)

    assert len(ada.get(CALENDAR, params={"maxResults": "2500"}).json()["items"]) == 4


def test_deleted_events_leave_short_and_empty_pages(ada):
    made = [insert(ada, summary=f"Gone {n}", **TIMED) for n in range(6)]
    for event in made[:-1]:
        assert ada.delete(f"{CALENDAR}/{event['id']}").status_code == 204

    pages = list(ada.pages(CALENDAR, maxResults="2"))

    assert any(not page["items"] and "nextPageToken" in page for page in pages)
    assert made[-1]["id"] in {item["id"] for page in pages for item in page["items"]}


def test_changes_made_while_paging_come_with_the_next_delta(ada):
    first = ada.get(CALENDAR, params={"maxResults": "5"}).json()
    changed = insert(ada, summary="Between the pages", **TIMED)
    early = first["items"][0]["id"]
    ada.patch(f"{CALENDAR}/{early}", json={"summary": "Renamed between the pages"})
    *_, last = ada.pages(CALENDAR, maxResults="5", pageToken=first["nextPageToken"])

    delta, _ = read(ada, syncToken=last["nextSyncToken"])

    assert {changed["id"], early} <= {item["id"] for item in delta}


@pytest.mark.parametrize(
    "extra",
    [
        {"timeMin": "2026-01-01T00:00:00Z"},
        {"q": "x"},
        {"orderBy": "updated"},
        {"iCalUID": "x"},
        {"showDeleted": "false"},
    ],
)
def test_sync_token_refuses_other_restrictions(ada, extra):
    _, last = read(ada)

    answer = ada.get(CALENDAR, params={"syncToken": last["nextSyncToken"], **extra})

    assert reason(answer) == (400, "badRequest")


def test_tokens_are_bound_to_their_query_and_calendar(ada):
    _, last = read(ada, singleEvents="false")
    page = ada.get(CALENDAR, params={"maxResults": "3"}).json()["nextPageToken"]
    other = ada.get("/calendar/v3/users/me/calendarList").json()["items"][1]["id"]

    assert ada.get(CALENDAR, params={"syncToken": last["nextSyncToken"], "singleEvents": "true"}).status_code == 400
    assert ada.get(CALENDAR, params={"pageToken": page, "q": "meeting"}).status_code == 400
    assert ada.get(f"/calendar/v3/calendars/{other}/events", params={"pageToken": page}).status_code == 400
    assert ada.get(CALENDAR, params={"syncToken": "made up"}).status_code == 400


@pytest.mark.parametrize("params", [{"orderBy": "startTime", "singleEvents": "true"}, {"q": "meeting"}])
def test_ordered_and_searched_lists_yield_no_sync_token(ada, params):
    items, last = read(ada, **params)

    assert items
    assert "nextSyncToken" not in last


def test_expired_tokens_answer_410_on_any_page(served, ada):
    page = ada.get(CALENDAR, params={"maxResults": "3"}).json()["nextPageToken"]
    _, last = read(ada)
    served.control("/expire_sync_tokens", provider="google", account="ada")

    assert reason(ada.get(CALENDAR, params={"syncToken": last["nextSyncToken"]})) == (410, "fullSyncRequired")
    assert reason(ada.get(CALENDAR, params={"pageToken": page, "maxResults": "3"})) == (410, "fullSyncRequired")
    assert read(ada)[1]["nextSyncToken"]


def test_deleted_series_is_one_bare_tombstone(ada):
    series = insert(ada, **WEEKLY)
    ada.patch(f"{CALENDAR}/{series['id']}_20310310T090000Z", json={"summary": "Another title"})
    _, last = read(ada)

    ada.delete(f"{CALENDAR}/{series['id']}")
    delta, _ = read(ada, syncToken=last["nextSyncToken"])

    assert [item["id"] for item in delta] == [series["id"]]
    assert set(delta[0]) == {"kind", "etag", "id", "status"}


def test_cancelled_instance_keeps_what_is_guaranteed_and_stays_in_full_lists(ada):
    series = insert(ada, **WEEKLY)
    instance = f"{series['id']}_20310310T090000Z"
    _, last = read(ada)

    assert ada.delete(f"{CALENDAR}/{instance}").status_code == 204
    (tombstone,), _ = read(ada, syncToken=last["nextSyncToken"])
    full, _ = read(ada)

    assert tombstone["status"] == "cancelled"
    assert tombstone["recurringEventId"] == series["id"]
    assert tombstone["originalStartTime"]["dateTime"] == "2031-03-10T10:00:00+01:00"
    assert "start" not in tombstone
    assert tombstone["id"] in {item["id"] for item in full}
    assert reason(ada.delete(f"{CALENDAR}/{instance}")) == (410, "deleted")


def test_instances_keep_their_wall_clock_across_the_clock_change(ada):
    series = insert(ada, **WEEKLY)

    found = ada.get(f"{CALENDAR}/{series['id']}/instances").json()["items"]

    assert [item["start"]["dateTime"] for item in found] == [
        "2031-03-03T10:00:00+01:00",
        "2031-03-10T10:00:00+01:00",
        "2031-03-17T10:00:00+01:00",
        "2031-03-24T10:00:00+01:00",
        "2031-03-31T10:00:00+02:00",
    ]


def test_single_events_expand_with_exceptions_in_their_places(ada):
    series = insert(ada, **WEEKLY)
    moved = f"{series['id']}_20310310T090000Z"
    times = {name: {"dateTime": TIMED[name]["dateTime"].replace("03-03", "03-12")} for name in ("start", "end")}
    assert ada.patch(f"{CALENDAR}/{moved}", json=times).status_code == 200
    ada.delete(f"{CALENDAR}/{series['id']}_20310317T090000Z")
    window = {"timeMin": "2031-03-01T00:00:00Z", "timeMax": "2031-04-01T00:00:00Z"}

    items, _ = read(ada, singleEvents="true", q="Weekly", orderBy="startTime", **window)

    days = [item["start"]["dateTime"][:10] for item in items]
    assert days == ["2031-03-03", "2031-03-12", "2031-03-24", "2031-03-31"]
    assert all(item["recurringEventId"] == series["id"] and "recurrence" not in item for item in items)


def test_touched_series_sends_every_instance_in_an_expanded_delta(ada):
    series = insert(ada, **WEEKLY)
    window = {"timeMin": "2031-03-01T00:00:00Z", "timeMax": "2031-03-08T00:00:00Z"}
    items, last = read(ada, singleEvents="true", **window)
    mine = [item for item in items if item.get("recurringEventId") == series["id"]]
    ada.patch(f"{CALENDAR}/{series['id']}", json={"summary": "Renamed"})

    delta, _ = read(ada, singleEvents="true", syncToken=last["nextSyncToken"])

    assert len(mine) == 1
    assert [item["summary"] for item in delta] == ["Renamed"] * 5


def test_shortened_series_reports_lost_exceptions_as_bare_tombstones(ada):
    series = insert(ada, **WEEKLY)
    lost = f"{series['id']}_20310331T080000Z"
    assert ada.patch(f"{CALENDAR}/{lost}", json={"summary": "Last one"}).status_code == 200
    _, last = read(ada)

    ada.patch(f"{CALENDAR}/{series['id']}", json={"recurrence": ["RRULE:FREQ=WEEKLY;COUNT=2"]})
    delta, _ = read(ada, syncToken=last["nextSyncToken"])

    by_id = {item["id"]: item for item in delta}
    assert by_id.keys() == {series["id"], lost}
    assert by_id[lost]["status"] == "cancelled"
    assert "recurringEventId" not in by_id[lost]


def test_client_chosen_id_makes_insert_safe_to_repeat(ada):
    made = insert(ada, id="abc123def456", summary="Once", **TIMED)

    again = ada.post(CALENDAR, json={"id": "abc123def456", "summary": "Twice", **TIMED})
    ada.delete(f"{CALENDAR}/{made['id']}")

    assert reason(again) == (409, "duplicate")
    assert reason(ada.post(CALENDAR, json={"id": "abc123def456", **TIMED})) == (409, "duplicate")
    assert ada.post(CALENDAR, json={"id": "UPPER_case", **TIMED}).status_code == 400


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"summary": "No times"}, "required"),
        ({"start": TIMED["end"], "end": TIMED["start"]}, "timeRangeEmpty"),
        ({"start": {"dateTime": "2031-03-03T10:00:00", "timeZone": "Mars/Base"}, "end": TIMED["end"]}, "invalid"),
        ({**TIMED, "recurrence": ["RRULE:FREQ=SOMETIMES"]}, "invalid"),
    ],
)
def test_insert_refuses_what_cannot_be(ada, body, expected):
    assert reason(ada.post(CALENDAR, json=body)) == (400, expected)


def test_writes_and_reads_honour_etags(ada):
    made = insert(ada, summary="Versioned", **TIMED)
    path = f"{CALENDAR}/{made['id']}"
    changed = ada.patch(path, json={"summary": "Second"}, headers={"If-Match": made["etag"]}).json()

    stale = ada.patch(path, json={"summary": "Third"}, headers={"If-Match": made["etag"]})
    unchanged = ada.get(path, headers={"If-None-Match": changed["etag"]})

    assert reason(stale) == (412, "conditionNotMet")
    assert unchanged.status_code == 304
    assert ada.get(path).json()["summary"] == "Second"


def test_patch_merges_and_update_clears(ada):
    made = insert(ada, summary="Whole", location="Here", description="Text", **TIMED)
    path = f"{CALENDAR}/{made['id']}"

    patched = ada.patch(path, json={"location": None, "summary": "Part"}).json()
    updated = ada.put(path, json={"summary": "New", **TIMED}).json()

    assert (patched["summary"], patched["description"], "location" in patched) == ("Part", "Text", False)
    assert (updated["summary"], "description" in updated) == ("New", False)
    assert updated["iCalUID"] == made["iCalUID"]


def test_fields_select_parts_of_the_answer(ada):
    answer = ada.get(
        CALENDAR, params={"fields": "nextSyncToken,items(id,start/date,organizer/email)", "q": "Conference"}
    )

    (item,) = answer.json()["items"]
    assert item.keys() == {"id", "start", "organizer"}
    assert item["organizer"] == {"email": "ada@example.com"}
    assert reason(ada.get(CALENDAR, params={"fields": "items(id"})) == (400, "invalidParameter")


def test_time_window_keeps_running_series_and_drops_past_events(ada):
    items, last = read(ada, timeMin="2040-01-01T00:00:00Z")

    titles = {item.get("summary") for item in items}
    assert "Swimming" in titles
    assert "Budget review" not in titles
    assert last["nextSyncToken"]


def test_scopes_decide_per_method(served):
    reader = served.google("bruno", "calendar.events.readonly")
    busy = served.google("ada-home", "calendar.freebusy")

    assert reader.get(CALENDAR).status_code == 200
    assert reason(reader.post(CALENDAR, json=TIMED)) == (403, "insufficientPermissions")
    assert reason(reader.get("/calendar/v3/users/me/calendarList")) == (403, "insufficientPermissions")
    assert reason(reader.post("/calendar/v3/freeBusy", json={})) == (403, "insufficientPermissions")
    assert reason(busy.get(CALENDAR)) == (403, "insufficientPermissions")


def test_expired_and_unknown_tokens_answer_401(served, ada):
    served.control("/grants/expire", provider="google", account="ada")

    assert reason(ada.get(CALENDAR)) == (401, "authError")
    assert reason(ada.get(CALENDAR, headers={"Authorization": "Bearer nonsense"})) == (401, "authError")


def test_calendars_of_others_and_read_only_calendars_are_guarded(ada):
    assert reason(ada.get("/calendar/v3/calendars/bruno@example.com/events")) == (404, "notFound")
    holidays = "/calendar/v3/calendars/en.sandbox%23holiday@group.v.calendar.google.com/events"
    assert ada.get(holidays).status_code == 200
    assert reason(ada.post(holidays, json=TIMED)) == (403, "requiredAccessLevel")


def test_calendar_list_delta_is_empty_until_something_changes(ada):
    listed = ada.get("/calendar/v3/users/me/calendarList").json()

    again = ada.get("/calendar/v3/users/me/calendarList", params={"syncToken": listed["nextSyncToken"]}).json()

    assert len(listed["items"]) == 3
    assert again["items"] == []


def test_working_hours_come_for_workspace_users_only(served, ada):
    home = served.google("ada-home")

    assert ada.get("/calendar/v3/calendars/primary").json()["workingHours"]["workingHoursEnabled"] is True
    assert "workingHours" not in home.get("/calendar/v3/calendars/primary").json()
    assert "workingHours" not in ada.get("/calendar/v3/users/me/calendarList").json()["items"][0]


def test_settings_are_strings(ada):
    listed = ada.get("/calendar/v3/users/me/settings").json()["items"]

    assert {item["id"]: item["value"] for item in listed}["timezone"] == "Europe/Stockholm"
    assert ada.get("/calendar/v3/users/me/settings/weekStart").json()["value"] == "1"


def test_free_busy_merges_and_leaves_free_declined_and_cancelled_out(served):
    bruno = served.google("bruno")
    day = {"timeMin": "2031-03-03T00:00:00Z", "timeMax": "2031-03-04T00:00:00Z"}
    before = busy_of(bruno, day)
    declined = [{"email": "bruno@example.com", "self": True, "responseStatus": "declined"}]
    at = {"start": {"dateTime": "2031-03-03T20:00:00Z"}, "end": {"dateTime": "2031-03-03T21:00:00Z"}}
    insert(bruno, start={"dateTime": "2031-03-03T21:00:00Z"}, end={"dateTime": "2031-03-03T22:00:00Z"})
    insert(bruno, **at)
    insert(bruno, start=at["start"], end={"dateTime": "2031-03-03T23:30:00Z"}, transparency="transparent")
    insert(bruno, start=at["start"], end={"dateTime": "2031-03-03T23:30:00Z"}, attendees=declined)

    after = busy_of(bruno, day)

    assert [block for block in after if block not in before] == [
        {"start": "2031-03-03T20:00:00Z", "end": "2031-03-03T22:00:00Z"}
    ]


def busy_of(caller, window):
    asked = {**window, "items": [{"id": "primary"}, {"id": "nobody@example.com"}]}
    answer = caller.post("/calendar/v3/freeBusy", json=asked).json()["calendars"]
    assert answer["nobody@example.com"]["errors"] == [{"domain": "global", "reason": "notFound"}]
    return answer["primary"]["busy"]


def test_free_busy_refuses_ranges_that_are_too_long(ada):
    asked = {"timeMin": "2031-01-01T00:00:00Z", "timeMax": "2031-06-01T00:00:00Z", "items": [{"id": "primary"}]}

    assert reason(ada.post("/calendar/v3/freeBusy", json=asked)) == (400, "timeRangeTooLong")


def test_scripted_faults_meet_calendar_calls(served, ada):
    served.control("/faults", operation="google.events", kind="gone_410")
    served.control("/faults", operation="google.events", kind="status", status=429, retry_after="7")

    gone, throttled, fine = (ada.get(CALENDAR) for _ in range(3))

    assert (gone.status_code, throttled.status_code, fine.status_code) == (410, 429, 200)
    assert throttled.headers["Retry-After"] == "7"


def test_lost_answer_has_done_the_work(served, ada):
    served.control("/faults", operation="google.events.write", kind="lose_answer")

    with pytest.raises(OSError, match=r"abort|closed|reset"):
        ada.post(CALENDAR, json={"id": "unheard01", **TIMED})

    assert reason(ada.post(CALENDAR, json={"id": "unheard01", **TIMED})) == (409, "duplicate")


def test_calendar_list_delta_tells_of_new_renamed_and_removed_calendars(served, ada):
    path = "/calendar/v3/users/me/calendarList"
    who = {"provider": "google", "account": "ada"}
    made = served.control("/calendars", **who, action="add", name="Garden")
    token = ada.get(path).json()["nextSyncToken"]

    served.control("/calendars", **who, action="rename", calendar=made["id"], name="Allotment")
    renamed = ada.get(path, params={"syncToken": token}).json()
    served.control("/calendars", **who, action="remove", calendar=made["id"])
    removed = ada.get(path, params={"syncToken": renamed["nextSyncToken"]}).json()["items"]

    assert [(item["id"], item["summary"]) for item in renamed["items"]] == [(made["id"], "Allotment")]
    assert [(item["id"], item["deleted"]) for item in removed] == [(made["id"], True)]
    assert made["id"] not in {item["id"] for item in ada.get(path).json()["items"]}
    assert ada.get(f"/calendar/v3/calendars/{made['id']}/events").status_code == 404


def test_calendar_list_delta_tells_of_hidden_calendars_but_not_of_rights(served, ada):
    path = "/calendar/v3/users/me/calendarList"
    who = {"provider": "google", "account": "ada"}
    made = served.control("/calendars", **who, action="add", name="Shared")
    events = f"/calendar/v3/calendars/{made['id']}/events"
    *_, last = ada.pages(events)
    token = {"syncToken": ada.get(path).json()["nextSyncToken"]}

    served.control("/calendars", **who, action="role", calendar=made["id"], role="reader")
    silent = ada.get(path, params=token).json()["items"]
    expired = ada.get(events, params={"syncToken": last["nextSyncToken"]})
    least = ada.get(path, params={"minAccessRole": "writer"}).json()["items"]
    served.control("/calendars", **who, action="role", calendar=made["id"], role="freeBusyReader", told=True)
    served.control("/calendars", **who, action="hide", calendar=made["id"])
    told = ada.get(path, params=token).json()["items"]

    assert silent == []
    assert reason(expired) == (410, "fullSyncRequired")
    assert made["id"] not in {item["id"] for item in least}
    assert [(item["id"], item["accessRole"], item["hidden"]) for item in told] == [(made["id"], "freeBusyReader", True)]
    assert made["id"] not in {item["id"] for item in ada.get(path).json()["items"]}
    assert made["id"] in {item["id"] for item in ada.get(path, params={"showHidden": "true"}).json()["items"]}


def test_calendar_changed_while_the_list_is_paged_comes_with_the_next_delta(served, ada):
    path = "/calendar/v3/users/me/calendarList"
    first = ada.get(path, params={"maxResults": "1"}).json()
    own = first["items"][0]["id"]

    served.control("/calendars", provider="google", account="ada", action="rename", calendar=own, name="Between")
    *_, last = ada.pages(path, maxResults="1", pageToken=first["nextPageToken"])
    delta = ada.get(path, params={"syncToken": last["nextSyncToken"]}).json()["items"]

    assert [item["summary"] for item in delta] == ["Between"]


def test_people_with_less_than_full_rights_see_less(served, ada):
    who = {"provider": "google", "account": "ada"}
    own = ada.get("/calendar/v3/users/me/calendarList").json()["items"][0]["id"]
    insert(ada, **WEEKLY)
    insert(ada, summary="Secret", visibility="private", **TIMED)
    window = {"timeMin": "2031-03-01T00:00:00Z", "timeMax": "2031-03-12T00:00:00Z"}

    served.control("/calendars", **who, action="role", calendar=own, role="reader")
    as_reader, _ = read(ada, **window)
    served.control("/calendars", **who, action="role", calendar=own, role="freeBusyReader")
    blocks, last = read(ada, **window)
    busy = busy_of(ada, window)

    private = [item for item in as_reader if item.get("visibility") == "private"]
    assert private
    assert not any("summary" in item for item in private)
    assert "Weekly" in {item.get("summary") for item in as_reader}
    assert not any({"summary", "recurrence", "iCalUID"} & item.keys() for item in blocks)
    starts = [item["start"].get("dateTime") for item in blocks]
    assert {"2031-03-03T10:00:00+01:00", "2031-03-10T10:00:00+01:00"} <= set(starts)
    assert last["accessRole"] == "freeBusyReader"
    assert busy


def test_this_and_following_splits_a_series_into_two_with_one_family_of_ids(served, ada):
    series = insert(ada, **WEEKLY)
    later = f"{series['id']}_20310324T090000Z"
    assert ada.patch(f"{CALENDAR}/{later}", json={"summary": "Odd one"}).status_code == 200
    _, last = read(ada)
    split = {"provider": "google", "account": "ada", "action": "split", "series_id": series["id"]}

    part = served.control("/events", **split, day="2031-03-17", body={"summary": "New half"})
    delta, _ = read(ada, syncToken=last["nextSyncToken"])
    old, tombstone, new = sorted(delta, key=lambda item: len(item["id"]))[:3]
    instances = ada.get(f"{CALENDAR}/{part['id']}/instances").json()["items"]

    assert old["recurrence"] == ["RRULE:FREQ=WEEKLY;UNTIL=20310316T225959Z"]
    assert (new["id"], new["iCalUID"]) == (f"{series['id']}_R20310317T090000", f"{part['id']}@google.com")
    assert new["recurrence"] == ["RRULE:FREQ=WEEKLY;COUNT=3"]
    assert (tombstone["id"], tombstone["status"]) == (later, "cancelled")
    assert "recurringEventId" not in tombstone
    # Instances of the new part carry the id of the first series; one of them is the tombstone's.
    assert [item["id"] for item in instances][1] == later
    assert {item["recurringEventId"] for item in instances} == {part["id"]}
    assert ada.get(f"{CALENDAR}/{later}").json()["summary"] == "New half"


def test_event_moved_to_another_calendar_keeps_its_id_and_leaves_a_tombstone(ada):
    series = insert(ada, **WEEKLY)
    ada.patch(f"{CALENDAR}/{series['id']}_20310310T090000Z", json={"summary": "Odd one"})
    other = ada.get("/calendar/v3/users/me/calendarList").json()["items"][1]["id"]
    _, last = read(ada)

    moved = ada.post(f"{CALENDAR}/{series['id']}/move", params={"destination": other}).json()
    (tombstone,), _ = read(ada, syncToken=last["nextSyncToken"])
    there = ada.get(f"/calendar/v3/calendars/{other}/events", params={"q": "Odd one"}).json()["items"]

    assert (moved["id"], moved["organizer"]["email"]) == (series["id"], other)
    assert (tombstone["id"], tombstone["status"]) == (series["id"], "cancelled")
    assert [item["recurringEventId"] for item in there] == [series["id"]]


def test_planted_orphan_is_an_event_of_its_own(served, ada):
    orphan = {
        "id": "foreign_20310303T090000Z",
        "status": "confirmed",
        "summary": "One of a foreign series",
        "recurringEventId": "foreign",
        "originalStartTime": TIMED["start"],
        "start": {"dateTime": "2031-03-03T10:00:00+01:00"},
        "end": {"dateTime": "2031-03-03T11:00:00+01:00"},
    }
    _, last = read(ada)

    served.control("/events", provider="google", account="ada", action="plant", body=orphan)
    delta, _ = read(ada, syncToken=last["nextSyncToken"])

    assert delta == [orphan]
    assert reason(ada.get(f"{CALENDAR}/foreign")) == (404, "notFound")
