"""The chaos world of the sandbox: the same seed makes the same edits, and readers of deltas can keep up with it."""

from datetime import UTC, datetime, timedelta

import pytest
import requests

from app.sandbox.application import create_sandbox
from app.sandbox.calendar.chaos import ALL_KINDS, Place, Rain, Weather
from app.sandbox.calendar.judging import occurrences
from app.sandbox.calendar.state import side_of
from app.sandbox.settings import SandboxSettings
from tests.contract.sandbox_calendars import calendars

IMMUTABLE = 'outlook.timezone="UTC", IdType="ImmutableId", odata.maxpagesize=50'
ACCOUNTS = {"google": "ada", "microsoft": "chiara"}
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
LOW, HIGH = TODAY - timedelta(days=31), TODAY + timedelta(days=200)


def stamped(moment):
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def rain_on(side, provider, seed=3, kinds=ALL_KINDS):
    """Return rain over the writable calendars of an account."""
    key = ACCOUNTS[provider]
    boxes = list(side.world.mailbox(provider, key).calendars)[:2]
    places = tuple(Place(provider, key, calendar_id) for calendar_id in boxes)
    return Rain(side.sandbox, side.world, Weather(places, 20, 60, seed, kinds))


def judged(side, place):
    """Return what the judge says a calendar shows."""
    account = side.sandbox.accounts.by_key(place.provider, place.account)
    return occurrences(side, account, place.calendar_id, LOW, HIGH)["occurrences"]


@pytest.mark.parametrize("provider", sorted(ACCOUNTS))
def test_same_seed_makes_the_same_edits_of_every_kind(provider):
    runs = []
    for seed in (3, 3, 4):
        side = side_of(create_sandbox(SandboxSettings(base_url="http://localhost")))
        rain = rain_on(side, provider, seed)
        kinds = [rain.step() for _ in range(300)]
        shown = [
            sorted((row["recurrence_id"], row["start"], row["end"], row["busy"], row["title"]) for row in rows)
            for rows in (judged(side, place) for place in rain.weather.places)
        ]
        runs.append((kinds, shown))

    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
    assert set(runs[0][0]) == set(ALL_KINDS)


def test_a_client_of_google_deltas_keeps_up_with_the_rain():
    with calendars(google_page_size=7) as served:
        side = side_of(served.running.app)
        rain, ada = rain_on(side, "google"), served.google("ada")
        stores = {place: ({}, {}) for place in rain.weather.places}

        for _ in range(8):
            for _ in range(40):
                with side.sandbox.lock:
                    rain.step()
            for place, (items, token) in stores.items():
                follow_google(ada, place, items, token)

        for place, (items, _) in stores.items():
            fresh = {}
            follow_google(ada, place, fresh, {})
            assert items == fresh
            assert expanded_google(ada, place) == shown_by(judged(side, place))


def follow_google(caller, place, items, token):
    """Apply one round of a list to `items`, etags by id, the way the guide says."""
    path = f"/calendar/v3/calendars/{place.calendar_id}/events"
    for page in caller.pages(path, **token):
        for item in page["items"]:
            if item["status"] == "cancelled" and "recurringEventId" not in item:
                gone = [name for name, (_, series) in items.items() if item["id"] in (name, series)]
                for name in gone:
                    del items[name]
            else:
                items[item["id"]] = item["etag"], item.get("recurringEventId")
    token["syncToken"] = page["nextSyncToken"]


def expanded_google(caller, place):
    path = f"/calendar/v3/calendars/{place.calendar_id}/events"
    bounds = {"timeMin": stamped(LOW), "timeMax": stamped(HIGH), "singleEvents": "true", "timeZone": "UTC"}
    pages = caller.pages(path, **bounds)
    items = [item for page in pages for item in page["items"]]
    return sorted((item["summary"], point(item["start"]), point(item["end"])) for item in items)


def point(when):
    return when.get("date") or str(datetime.fromisoformat(when["dateTime"]).astimezone(UTC))


def shown_by(rows):
    return sorted((row["title"], row["start"], row["end"]) for row in rows)


def test_a_client_of_graph_deltas_keeps_up_with_the_rain():
    with calendars() as served:
        side = side_of(served.running.app)
        rain, chiara = rain_on(side, "microsoft"), served.graph("chiara")
        query = f"calendarView/delta?startDateTime={stamped(LOW)}&endDateTime={stamped(HIGH)}"
        first = {place: f"/v1.0/me/calendars/{place.calendar_id}/{query}" for place in rain.weather.places}
        stores = {place: [{}, link] for place, link in first.items()}

        for _ in range(8):
            for _ in range(40):
                with side.sandbox.lock:
                    rain.step()
            for store in stores.values():
                store[1] = follow_graph(chiara, store[0], store[1])

        for place, (items, _) in stores.items():
            fresh = {}
            follow_graph(chiara, fresh, first[place])
            assert items == fresh
            view = [times for times, _, kind in items.values() if kind != "seriesMaster"]
            cancelled = [item for item in view if item[2]]
            assert len(view) - len(cancelled) == len(judged(side, place))


def follow_graph(caller, items, link):
    """Apply one round of a delta to `items` by id; a series that comes replaces what was known of it."""
    for page in caller.rounds(link, IMMUTABLE):
        for item in page["value"]:
            if "@removed" in item or item["type"] == "seriesMaster":
                for name in [n for n, (_, series, _) in items.items() if item["id"] in (n, series)]:
                    del items[name]
            if "@removed" not in item:
                times = item["start"]["dateTime"], item["end"]["dateTime"], bool(item.get("isCancelled"))
                items[item["id"]] = times, item.get("seriesMasterId"), item["type"]
    return page["@odata.deltaLink"]


def test_chaos_runs_by_itself_and_tells_what_it_did():
    with calendars() as served:
        crowd = [
            served.control("/mailboxes", provider=provider, accounts=[ACCOUNTS[provider]], calendars=4)
            for provider in ACCOUNTS
        ]
        places = [
            {"provider": provider, "account": key, "calendar": calendar_id}
            for provider, opened in zip(ACCOUNTS, crowd, strict=True)
            for key, ids in opened.items()
            for calendar_id in ids
        ]

        begun = served.control("/chaos", rate_per_s=400, seconds=0.25, seed=5, places=places)
        ended = served.control("/chaos?wait_s=30", "GET")
        bounds = f"from={stamped(LOW)}&to={stamped(HIGH)}"
        shown = served.control(f"/occurrences?provider=google&account=ada&{bounds}", "GET")

    assert [len(ids) for opened in crowd for ids in opened.values()] == [4, 4]
    assert begun["planned"] == ended["edits"] == sum(ended["counts"].values()) == 100
    assert ended["done"]
    assert not ended["running"]
    assert shown["occurrences"]
    assert shown["busy"]


def test_page_lets_it_rain_and_stops_it():
    with calendars() as served, requests.Session() as browser:
        browser.trust_env = False
        url = f"{served.base_url}/sandbox/chaos"

        begun = browser.post(url, data={"action": "start", "rate_per_s": "5", "seconds": "3600", "seed": "1"}).text
        again = browser.post(url, data={"action": "start", "rate_per_s": "5", "seconds": "3600", "seed": "1"})
        stopped = browser.post(url, data={"action": "stop"}).text
        state = served.control("/chaos", "GET")

    assert "It rains" in begun
    assert again.status_code == 400
    assert "It rains" not in stopped
    assert (state["running"], state["done"], state["planned"]) == (False, False, 18_000)
