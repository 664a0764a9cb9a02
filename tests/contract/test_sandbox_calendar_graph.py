"""The sandbox's Graph interface: calendar views, deltas, series, writes, preferences, errors."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.contract.sandbox_calendars import GRAPH_ORIGIN, calendars

WINDOW = "startDateTime=2031-03-01T00:00:00Z&endDateTime=2031-05-01T00:00:00Z"
DELTA = f"/v1.0/me/calendarView/delta?{WINDOW}"
ROME = "W. Europe Standard Time"


@pytest.fixture
def served():
    with calendars() as running:
        yield running


@pytest.fixture
def chiara(served):
    return served.graph("chiara")


def at(day, hour, zone="UTC"):
    return {"dateTime": f"2031-{day}T{hour}:00:00", "timeZone": zone}


def single(subject="Single", day="03-05", **members):
    return {"subject": subject, "start": at(day, "10"), "end": at(day, "11"), **members}


def weekly(subject="Weekly", **members):
    pattern = {"type": "weekly", "interval": 1, "daysOfWeek": ["monday"], "firstDayOfWeek": "monday"}
    limits = {"type": "numbered", "startDate": "2031-03-10", "numberOfOccurrences": 5}
    times = {"start": at("03-10", "09", ROME), "end": at("03-10", "10", ROME)}
    return {"subject": subject, **times, "recurrence": {"pattern": pattern, "range": limits}, **members}


def create(caller, body, path="/v1.0/me/events"):
    answer = caller.post(path, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def whole_round(caller, path=DELTA, prefer='outlook.timezone="UTC"'):
    """Return all items of a round and the delta link."""
    pages = list(caller.rounds(path, prefer))
    return [item for page in pages for item in page["value"]], pages[-1]["@odata.deltaLink"]


def of_series(items, series_id):
    return [item for item in items if series_id in (item["id"], item.get("seriesMasterId"))]


def code(answer):
    return answer.status_code, answer.json()["error"]["code"]


def test_first_round_sends_masters_with_first_times_and_bare_occurrences(chiara):
    series = create(chiara, weekly())

    items, _ = whole_round(chiara, DELTA.replace("2031-03-01", "2031-03-20"))
    master, *rest = of_series(items, series["id"])

    assert (master["type"], master["start"]["dateTime"]) == ("seriesMaster", "2031-03-10T08:00:00.0000000")
    assert [item["start"]["dateTime"][:16] for item in rest] == [
        "2031-03-24T08:00",
        "2031-03-31T07:00",
        "2031-04-07T07:00",
    ]
    assert {name for item in rest for name in item} == {
        "@odata.type",
        "@odata.etag",
        "id",
        "seriesMasterId",
        "type",
        "start",
        "end",
    }


def test_delta_tells_of_created_changed_and_deleted_single_events(chiara):
    _, link = whole_round(chiara)
    made = create(chiara, single())

    created, link = whole_round(chiara, link)
    chiara.patch(f"/v1.0/me/events/{made['id']}", json={"subject": "Renamed"})
    changed, link = whole_round(chiara, link)
    assert chiara.delete(f"/v1.0/me/events/{made['id']}").status_code == 204
    deleted, link = whole_round(chiara, link)
    nothing, _ = whole_round(chiara, link)

    assert [item["subject"] for item in created] == ["Single"]
    assert [item["subject"] for item in changed] == ["Renamed"]
    assert deleted == [{"@odata.type": "#microsoft.graph.event", "id": made["id"], "@removed": {"reason": "deleted"}}]
    assert nothing == []


def test_deleted_occurrence_leaves_no_tombstone_but_its_series_comes_again(chiara):
    series = create(chiara, weekly())
    items, link = whole_round(chiara)
    occurrence = of_series(items, series["id"])[2]

    assert chiara.delete(f"/v1.0/me/events/{occurrence['id']}").status_code == 204
    delta, _ = whole_round(chiara, link)
    asked = chiara.get(f"/v1.0/me/events/{series['id']}?$select=subject,cancelledOccurrences").json()

    assert [item["type"] for item in delta] == ["seriesMaster"] + ["occurrence"] * 4
    assert not any("@removed" in item for item in delta)
    assert occurrence["id"] not in {item["id"] for item in delta}
    assert asked["cancelledOccurrences"] == [f"OID.{series['id']}.2031-03-17"]
    assert "cancelledOccurrences" not in chiara.get(f"/v1.0/me/events/{series['id']}").json()
    assert code(chiara.get(f"/v1.0/me/events/{occurrence['id']}")) == (404, "ErrorItemNotFound")


def test_changed_occurrence_becomes_a_full_exception_with_the_same_id(chiara):
    series = create(chiara, weekly())
    items, link = whole_round(chiara)
    occurrence = of_series(items, series["id"])[1]
    times = {"start": at("03-11", "15"), "end": at("03-11", "16")}

    chiara.patch(f"/v1.0/me/events/{occurrence['id']}", json={"subject": "Moved", **times})
    delta, _ = whole_round(chiara, link)

    exception = next(item for item in delta if item["type"] == "exception")
    assert exception["id"] == occurrence["id"]
    assert (exception["subject"], exception["originalStart"]) == ("Moved", "2031-03-10T08:00:00Z")
    assert len(delta) == 6


def test_moving_a_series_gives_its_occurrences_new_ids_without_tombstones(chiara):
    series = create(chiara, weekly())
    items, link = whole_round(chiara)
    before = {item["id"] for item in of_series(items, series["id"])[1:]}
    pattern = series["recurrence"]["pattern"] | {"daysOfWeek": ["tuesday"]}
    limits = series["recurrence"]["range"] | {"startDate": "2031-03-11"}
    times = {"start": at("03-11", "09", ROME), "end": at("03-11", "10", ROME)}

    moved = {**times, "recurrence": {"pattern": pattern, "range": limits}}
    assert chiara.patch(f"/v1.0/me/events/{series['id']}", json=moved).status_code == 200
    delta, _ = whole_round(chiara, link)

    after = {item["id"] for item in delta if item["type"] == "occurrence"}
    assert len(after) == 5
    assert not before & after
    assert not any("@removed" in item for item in delta)


def test_event_moved_out_of_the_window_comes_as_removed_and_back_as_an_event(chiara):
    made = create(chiara, single())
    _, link = whole_round(chiara)

    chiara.patch(f"/v1.0/me/events/{made['id']}", json={"start": at("08-05", "10"), "end": at("08-05", "11")})
    out, link = whole_round(chiara, link)
    chiara.patch(f"/v1.0/me/events/{made['id']}", json={"start": at("04-05", "10"), "end": at("04-05", "11")})
    back, _ = whole_round(chiara, link)

    assert [(item["id"], "@removed" in item) for item in out] == [(made["id"], True)]
    assert [item["start"]["dateTime"][:10] for item in back] == ["2031-04-05"]


def test_event_made_outside_the_window_comes_as_removed(chiara):
    _, link = whole_round(chiara)
    made = create(chiara, single(day="09-09"))

    delta, _ = whole_round(chiara, link)

    assert [(item["id"], "@removed" in item) for item in delta] == [(made["id"], True)]


def test_deleted_series_comes_as_removed_master_and_exceptions(chiara):
    series = create(chiara, weekly())
    items, _ = whole_round(chiara)
    exception = of_series(items, series["id"])[3]["id"]
    chiara.patch(f"/v1.0/me/events/{exception}", json={"subject": "Other"})
    _, link = whole_round(chiara)

    chiara.delete(f"/v1.0/me/events/{series['id']}")
    delta, _ = whole_round(chiara, link)

    assert {item["id"] for item in delta} == {series["id"], exception}
    assert all("@removed" in item for item in delta)


def test_series_is_not_split_over_pages(chiara):
    create(chiara, single())
    series = create(chiara, weekly())
    create(chiara, single("Later"))

    pages = list(chiara.rounds(DELTA, "odata.maxpagesize=2"))

    holding = [page for page in pages if of_series(page["value"], series["id"])]
    assert len(pages) > 1
    assert len(holding) == 1
    assert len(of_series(holding[0]["value"], series["id"])) == 6


def test_pages_can_be_empty_and_still_have_a_next_link(chiara):
    made = [create(chiara, single(f"Gone {n}")) for n in range(5)]
    for event in made:
        chiara.delete(f"/v1.0/me/events/{event['id']}")
    create(chiara, single("Stays"))

    pages = list(chiara.rounds(DELTA, "odata.maxpagesize=2"))

    assert any(not page["value"] and "@odata.nextLink" in page for page in pages)
    assert [item["subject"] for page in pages for item in page["value"] if item.get("subject") == "Stays"] == ["Stays"]


def test_changes_made_while_paging_come_with_the_next_round(chiara):
    early = create(chiara, single("Early"))
    for number in range(4):
        create(chiara, single(f"Event {number}"))
    first, *_ = chiara.rounds(DELTA, "odata.maxpagesize=2")
    chiara.patch(f"/v1.0/me/events/{early['id']}", json={"subject": "Renamed between the pages"})
    _, link = whole_round(chiara, first["@odata.nextLink"], "odata.maxpagesize=2")

    delta, _ = whole_round(chiara, link)

    assert [item["subject"] for item in delta] == ["Renamed between the pages"]


def test_links_are_absolute_and_carry_only_a_token(chiara):
    _, link = whole_round(chiara)

    parts = urlsplit(link)
    assert f"{parts.scheme}://{parts.netloc}" == GRAPH_ORIGIN
    assert parse_qs(parts.query).keys() == {"$deltatoken"}


@pytest.mark.parametrize("extra", ["$select=subject", "$filter=isAllDay", "$expand=x", "$orderby=start", "$search=x"])
def test_delta_refuses_query_options(chiara, extra):
    assert chiara.get(f"{DELTA}&{extra}").status_code == 400


@pytest.mark.parametrize("query", ["", "startDateTime=2031-03-01", "endDateTime=2031-03-01", "$deltatoken=made-up"])
def test_delta_refuses_missing_windows_and_foreign_tokens(chiara, query):
    assert chiara.get(f"/v1.0/me/calendarView/delta?{query}").status_code == 400


def test_query_names_are_read_in_any_case(chiara):
    assert chiara.get(f"/v1.0/me/calendarView/delta?{WINDOW.replace('DateTime', 'datetime')}").status_code == 200


def test_expired_delta_token_answers_410(served, chiara):
    _, link = whole_round(chiara)
    served.control("/expire_sync_tokens", provider="microsoft", account="chiara")

    assert code(chiara.get(link)) == (410, "SyncStateNotFound")
    assert whole_round(chiara)[1]


def test_every_calendar_has_its_own_delta(chiara):
    own, family = (c["id"] for c in chiara.get("/v1.0/me/calendars").json()["value"])
    _, link = whole_round(chiara, f"/v1.0/me/calendars/{family}/calendarView/delta?{WINDOW}")
    create(chiara, single("Own"), f"/v1.0/me/calendars/{own}/events")
    create(chiara, single("Family"), f"/v1.0/me/calendars/{family}/events")

    delta, _ = whole_round(chiara, link)

    assert [item["subject"] for item in delta] == ["Family"]
    assert chiara.get(link.replace(family, own)).status_code == 400


def test_calendar_view_gives_full_occurrences_and_no_masters(chiara):
    series = create(chiara, weekly())

    found = chiara.get(f"/v1.0/me/calendarView?{WINDOW}&$top=50").json()["value"]
    mine = of_series(found, series["id"])

    assert len(mine) == 5
    assert {item["type"] for item in found} <= {"singleInstance", "occurrence", "exception"}
    assert all(item["subject"] == "Weekly" for item in mine)


def test_calendar_view_pages_by_top(chiara):
    create(chiara, weekly())
    found, path = [], f"/v1.0/me/calendarView?{WINDOW}&$top=3"
    while path:
        page = chiara.get(path).json()
        assert len(page["value"]) <= 3
        found += page["value"]
        path = page.get("@odata.nextLink")

    assert len({item["id"] for item in found}) == len(found) > 5
    assert [item["start"]["dateTime"] for item in found] == sorted(item["start"]["dateTime"] for item in found)


def test_instances_lists_what_is_left_of_a_series(chiara):
    series = create(chiara, weekly())
    path = f"/v1.0/me/events/{series['id']}/instances?{WINDOW}"
    occurrence = chiara.get(path).json()["value"][1]
    chiara.delete(f"/v1.0/me/events/{occurrence['id']}")

    left = [item["start"]["dateTime"][:10] for item in chiara.get(path).json()["value"]]

    assert left == ["2031-03-10", "2031-03-24", "2031-03-31", "2031-04-07"]


def test_preferences_are_applied_and_named(chiara):
    made = create(chiara, single())
    prefer = 'outlook.timezone="Tokyo Standard Time", IdType="ImmutableId", odata.maxpagesize=5'

    answer = chiara.get(f"/v1.0/me/events/{made['id']}", headers={"Prefer": prefer})
    shown = answer.json()
    again = chiara.get(f"/v1.0/me/events/{shown['id']}").json()

    assert shown["start"] == {"dateTime": "2031-03-05T19:00:00.0000000", "timeZone": "Tokyo Standard Time"}
    assert shown["id"] != made["id"] == again["id"]
    assert answer.headers["Preference-Applied"] == (
        'outlook.timezone="Tokyo Standard Time", odata.maxpagesize=5, IdType="ImmutableId"'
    )
    assert "Preference-Applied" not in chiara.get("/v1.0/me").headers


def test_all_day_events_stay_at_midnight_in_every_zone(chiara):
    day = {"start": at("03-05", "00"), "end": at("03-06", "00"), "isAllDay": True, "subject": "Whole day"}
    made = create(chiara, day)

    shown = chiara.get(f"/v1.0/me/events/{made['id']}", headers={"Prefer": 'outlook.timezone="Tokyo Standard Time"'})

    assert shown.json()["start"]["dateTime"] == "2031-03-05T00:00:00.0000000"
    assert chiara.post("/v1.0/me/events", json={**day, "start": at("03-05", "08")}).status_code == 400


def test_transaction_id_makes_create_safe_to_repeat(chiara):
    first = create(chiara, single(transactionId="once"))

    second = create(chiara, single("Repeated", transactionId="once"))

    assert (second["id"], second["subject"]) == (first["id"], "Single")


def test_writes_honour_etags(chiara):
    made = create(chiara, single())
    path = f"/v1.0/me/events/{made['id']}"
    chiara.patch(path, json={"subject": "Second"}, headers={"If-Match": made["@odata.etag"]})

    stale = chiara.patch(path, json={"subject": "Third"}, headers={"If-Match": made["@odata.etag"]})

    assert code(stale) == (412, "ErrorIrresolvableConflict")
    assert chiara.get(path).json()["subject"] == "Second"


def test_ids_are_case_sensitive(chiara):
    made = create(chiara, single())

    assert chiara.get(f"/v1.0/me/events/{made['id'].swapcase()}").status_code == 404


def test_month_end_series_takes_the_last_day_of_short_months(chiara):
    pattern = {"type": "absoluteMonthly", "interval": 1, "dayOfMonth": 31}
    limits = {"type": "endDate", "startDate": "2031-01-31", "endDate": "2031-04-30"}
    times = {"start": at("01-31", "09"), "end": at("01-31", "10")}
    series = create(chiara, {"subject": "Month end", **times, "recurrence": {"pattern": pattern, "range": limits}})

    path = f"/v1.0/me/events/{series['id']}/instances?startDateTime=2031-01-01&endDateTime=2032-01-01"
    days = [item["start"]["dateTime"][:10] for item in chiara.get(path).json()["value"]]

    assert days == ["2031-01-31", "2031-02-28", "2031-03-31", "2031-04-30"]


def test_scopes_decide_per_method(served):
    basic = served.graph("devon", "Calendars.ReadBasic")
    events = basic.get(f"/v1.0/me/calendarView?{WINDOW}&$top=1").json()["value"]

    assert "body" not in events[0]
    assert code(basic.post("/v1.0/me/events", json=single())) == (403, "ErrorAccessDenied")
    assert code(basic.get("/v1.0/me/mailboxSettings")) == (403, "ErrorAccessDenied")
    assert code(basic.get("/v1.0/me")) == (403, "ErrorAccessDenied")


def test_dead_tokens_answer_401_with_a_challenge(served, chiara):
    served.control("/grants/revoke", provider="microsoft", account="chiara")

    answer = chiara.get("/v1.0/me")

    assert code(answer) == (401, "InvalidAuthenticationToken")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


def test_other_mailboxes_are_closed_and_the_own_one_opens_by_address(chiara):
    assert chiara.get("/v1.0/users/chiara@alder.example.org/calendars").status_code == 200
    assert code(chiara.get("/v1.0/users/devon@alder.example.org/calendars")) == (403, "ErrorAccessDenied")


def test_mailbox_settings_speak_windows_zones(chiara):
    settings = chiara.get("/v1.0/me/mailboxSettings").json()

    assert settings["timeZone"] == ROME
    assert chiara.get("/v1.0/me/mailboxSettings/timeZone").json()["value"] == ROME


def test_schedule_answers_colleagues_and_refuses_personal_accounts(served, chiara):
    devon = served.graph("devon")
    create(devon, single("Secret title", day="03-08", showAs="oof"))
    asked = {
        "schedules": ["devon@alder.example.org", "nobody@alder.example.org"],
        "startTime": at("03-08", "09"),
        "endTime": at("03-08", "12"),
        "availabilityViewInterval": 60,
    }

    known, unknown = chiara.post("/v1.0/me/calendar/getSchedule", json=asked).json()["value"]
    refused = served.graph("ada-personal").post("/v1.0/me/calendar/getSchedule", json=asked)

    assert known["availabilityView"] == "030"
    assert [item["status"] for item in known["scheduleItems"]] == ["oof"]
    assert "subject" not in known["scheduleItems"][0]
    assert unknown["error"]["responseCode"] == "ErrorMailRecipientNotFound"
    assert refused.status_code == 403


def test_window_limits_and_series_around_now_are_seeded(chiara):
    now = datetime.now(UTC)
    low, high = (f"{now + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}" for days in (-14, 28))

    items, _ = whole_round(chiara, f"/v1.0/me/calendarView/delta?startDateTime={low}&endDateTime={high}")

    kinds = [item["type"] for item in items]
    shows = {item.get("showAs") for item in items}
    assert {"singleInstance", "occurrence", "seriesMaster", "exception"} == set(kinds)
    assert {"busy", "free", "tentative", "oof"} <= shows
    assert any(item.get("isCancelled") for item in items)
    assert any(item["type"] == "seriesMaster" and item["start"]["dateTime"] < f"{now.year - 4}" for item in items)


def test_event_put_into_another_calendar_keeps_its_immutable_id_only(served, chiara):
    immutable = 'IdType="ImmutableId"'
    own, family = (c["id"] for c in chiara.get("/v1.0/me/calendars").json()["value"])
    made = create(chiara, weekly())
    stable = chiara.get(f"/v1.0/me/events/{made['id']}", headers={"Prefer": immutable}).json()["id"]
    view = f"/v1.0/me/calendars/{own}/calendarView/delta?{WINDOW}"
    _, link = whole_round(chiara, view, immutable)
    to_family = {"provider": "microsoft", "account": "chiara", "action": "move", "event_id": made["id"], "to": family}

    served.control("/events", **to_family)
    left, _ = whole_round(chiara, link, immutable)
    there, _ = whole_round(chiara, view.replace(own, family), immutable)
    renamed = chiara.get(f"/v1.0/me/events/{stable}").json()

    assert [(item["id"], "@removed" in item) for item in left] == [(stable, True)]
    assert len(of_series(there, stable)) == 6
    assert renamed["id"] not in (made["id"], stable)
    page = chiara.get(f"/v1.0/me/events/{renamed['id']}/instances?{WINDOW}&$top=3").json()
    assert len(chiara.get(page["@odata.nextLink"]).json()["value"]) == 2
    assert code(chiara.get(f"/v1.0/me/events/{made['id']}")) == (404, "ErrorItemNotFound")


def test_split_series_are_two_that_nothing_links(served, chiara):
    series = create(chiara, weekly())
    _, link = whole_round(chiara)
    who = {"provider": "microsoft", "account": "chiara", "action": "split", "series_id": series["id"]}

    part = served.control("/events", **who, day="2031-03-24", body={"subject": "New half"})
    delta, _ = whole_round(chiara, link)

    assert part["iCalUId"] != series["iCalUId"]
    assert [item["start"]["dateTime"][:10] for item in of_series(delta, series["id"])[1:]] == [
        "2031-03-10",
        "2031-03-17",
    ]
    rest = [item["start"]["dateTime"][:13] for item in of_series(delta, part["id"])[1:]]
    assert rest == ["2031-03-24T08", "2031-03-31T07", "2031-04-07T07"]


def test_invitations_are_answered_and_own_meetings_are_not(served, chiara):
    made = create(chiara, single())
    path = f"/v1.0/me/events/{made['id']}"
    who = {"provider": "microsoft", "account": "chiara", "action": "respond", "event_id": made["id"]}

    own = chiara.post(f"{path}/decline", json={})
    served.control("/events", **who, response="accepted")
    declined = chiara.post(f"{path}/decline", json={"sendResponse": True})

    assert (own.status_code, declined.status_code) == (400, 202)
    assert chiara.get(path).json()["responseStatus"]["response"] == "declined"
