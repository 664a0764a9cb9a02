"""The calendar adapters against the sandbox: what they copy is what the provider shows."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from app.domain.calendars import EventKind, Series, Window
from app.domain.errors import (
    AccessTokenRejected,
    CalendarGone,
    CursorExpired,
    ProviderRejected,
    ProviderThrottled,
    ProviderUnavailable,
    PushNotSupported,
    ScopesMissing,
)
from app.domain.recurrence import expand, single_occurrence, standalone
from app.domain.secret import Secret
from app.providers.google.calendar import GoogleCalendars
from app.providers.http import OutboundClient
from app.providers.microsoft.calendar import MicrosoftCalendars
from app.sandbox.server import serve
from app.sandbox.settings import SandboxSettings
from tests.contract.sandbox_walk import REAL_ORIGINS, Walker, clients
from tests.contract.scripted_pages import scripted_pages

SCOPES = {
    "google": " ".join(
        f"https://www.googleapis.com/auth/{name}"
        for name in ("calendar.events.readonly", "calendar.calendarlist.readonly")
    ),
    "microsoft": "offline_access User.Read Calendars.Read",
}
PEOPLE = {"google": "ada", "microsoft": "chiara"}
FEW = {"google_page_size": 7, "graph_page_size": 7}


class Side:
    """One person's account at one provider, with the adapter under test."""

    def __init__(self, provider, running):
        self.provider = provider
        self.walker = Walker(running.base_url)
        self.http = OutboundClient(dict.fromkeys(REAL_ORIGINS, running.base_url))
        self.adapter = {"google": GoogleCalendars, "microsoft": MicrosoftCalendars}[provider](self.http)
        self.token = Secret(self.connect(f"openid email {SCOPES[provider]}"))
        now = datetime.now(UTC).replace(microsecond=0)
        self.window = Window(now - timedelta(days=31), now + timedelta(days=120))
        self.calendar = next(c for c in self.adapter.list_calendars(self.token).calendars if c.is_primary)

    def connect(self, scope, **extra):
        return self.walker.connect(self.provider, PEOPLE[self.provider], scope, **extra)["access_token"]

    def close(self):
        self.walker.http.close()
        self.http.close()

    def pages(self, cursor=None, token=None):
        return list(self.adapter.changes(token or self.token, self.calendar.provider_id, cursor, self.window))

    def control(self, path, **body):
        answer = self.walker.control(path, {"provider": self.provider, "account": PEOPLE[self.provider], **body})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def fault(self, operation, **fault):
        answer = self.walker.control("faults", {"operation": f"{self.provider_prefix}.{operation}", **fault})
        assert answer.status_code < 300, answer.text

    @property
    def provider_prefix(self):
        return {"google": "google", "microsoft": "graph"}[self.provider]

    @property
    def events_operation(self):
        return {"google": "events", "microsoft": "delta"}[self.provider]

    def add(self, title, start, **more):
        end = more.pop("end", start + timedelta(hours=1))
        return self.control(
            "events",
            action="add",
            title=title,
            start=start.replace(tzinfo=None).isoformat(),
            end=end.replace(tzinfo=None).isoformat(),
            **more,
        )["id"]

    def edit(self, action, **more):
        for name in ("start", "end"):
            if name in more:
                more[name] = more[name].replace(tzinfo=None).isoformat()
        return self.control("events", action=action, **more)

    def shown(self):
        """Return what the provider itself shows in the window: starts and ends, counted."""
        return _google_view(self) if self.provider == "google" else _graph_view(self)


def _google_view(side):
    parameters = {
        "singleEvents": "true",
        "timeMin": side.window.start.isoformat(),
        "timeMax": side.window.end.isoformat(),
        "maxResults": "2500",
    }
    path = f"/calendar/v3/calendars/{side.calendar.provider_id}/events"
    items = _all(side, path, parameters, "items", "nextPageToken")
    return Counter((_moment(item["start"]), _moment(item["end"])) for item in items)


def _graph_view(side):
    stamp = "%Y-%m-%dT%H:%M:%SZ"
    parameters = {
        "startDateTime": side.window.start.strftime(stamp),
        "endDateTime": side.window.end.strftime(stamp),
        "$top": "1000",
    }
    path = f"/v1.0/me/calendars/{side.calendar.provider_id}/calendarView"
    items = [item for item in _all(side, path, parameters, "value", "@odata.nextLink") if not item["isCancelled"]]
    return Counter((_graph_moment(item, "start"), _graph_moment(item, "end")) for item in items)


def _all(side, path, parameters, member, following):
    headers = {"Authorization": f"Bearer {side.token.reveal()}", "Prefer": 'outlook.timezone="UTC"'}
    found = []
    while True:
        answer = side.walker.http.get(f"{side.walker.base_url}{path}", params=parameters, headers=headers, timeout=20)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page[member]
        if following not in page:
            return found
        if following == "nextPageToken":
            parameters["pageToken"] = page[following]
        else:
            link = urlsplit(page[following])
            path, parameters = link.path, {name: values[-1] for name, values in parse_qs(link.query).items()}


def _moment(point):
    if "date" in point:
        return date.fromisoformat(point["date"])
    return datetime.fromisoformat(point["dateTime"]).astimezone(UTC)


def _graph_moment(item, name):
    moment = datetime.fromisoformat(item[name]["dateTime"]).replace(tzinfo=UTC)
    return moment.date() if item["isAllDay"] else moment


class Copy:
    """A copy of a calendar, kept by applying pages the way a store does."""

    def __init__(self, window):
        self.window = window
        self.events = {}
        self.series = {}
        self.cursor = None

    def apply(self, pages):
        for page in pages:
            for gone in page.removed:
                self.events = {k: e for k, e in self.events.items() if gone not in (k, e.series_id)}
                self.series.pop(gone, None)
            self.events.update({event.provider_id: event for event in page.events})
            self.series.update({found.series_id: found.occurrences for found in page.series})
        assert [page.cursor is not None for page in pages] == [False] * (len(pages) - 1) + [True]
        self.cursor = pages[-1].cursor
        return self

    def occurrences(self, *, expands):
        events = list(self.events.values())
        found = [o for e in events if e.kind is EventKind.SINGLE for o in single_occurrence(e, self.window)]
        if expands:
            return found + [o for occurrences in self.series.values() for o in occurrences]
        for event in events:
            own = tuple(e for e in events if e.series_id == event.provider_id)
            if event.kind is EventKind.MASTER:
                found += expand(Series(event, own), self.window)
            elif event.kind is EventKind.EXCEPTION and event.series_id not in self.events:
                found += standalone(event, self.window)
        return found


def spans(copy, side):
    """Return starts and ends in the window, counted; dates only when the window surely holds them."""
    found = copy.occurrences(expands=side.adapter.expands_series)
    return Counter((o.start, o.end) for o in found)


def inside(counted, window):
    """Leave out what touches an edge of the window, where dates begin and end at different instants."""
    low, high = (window.start + timedelta(days=2)).date(), (window.end - timedelta(days=2)).date()
    return {pair: times for pair, times in counted.items() if low <= _day(pair[0]) < high and low <= _day(pair[1])}


def _day(moment):
    return moment.date() if isinstance(moment, datetime) else moment


@pytest.fixture(scope="module")
def running():
    with serve(SandboxSettings(base_url="", clients=clients())) as served:
        yield served


@pytest.fixture(params=["google", "microsoft"])
def side(request, running):
    running.state.faults.clear()
    side = Side(request.param, running)
    side.walker.control("settings", {"google_page_size": 250, "graph_page_size": 50})
    yield side
    side.close()


@pytest.fixture
def google(running):
    running.state.faults.clear()
    side = Side("google", running)
    yield side
    side.close()


@pytest.fixture
def microsoft(running):
    running.state.faults.clear()
    side = Side("microsoft", running)
    yield side
    side.walker.control("links", {"public": True})
    side.close()


def soon(days, hour=10):
    return (datetime.now(UTC) + timedelta(days=days)).replace(hour=hour, minute=0, second=0, microsecond=0)


def test_a_first_round_is_what_the_provider_shows(side):
    copy = Copy(side.window).apply(side.pages())

    assert inside(spans(copy, side), side.window) == inside(side.shown(), side.window)
    assert len(spans(copy, side)) > 50
    assert [event.problem for event in copy.events.values() if event.problem] == []


def test_the_copy_follows_every_kind_of_change(side):
    copy = Copy(side.window).apply(side.pages())
    day = soon(8).date()

    single = side.add("Single", soon(3))
    weekly = side.add("Weekly", soon(1), repeat="weekly")
    side.add("All day", soon(6, 0), end=soon(7, 0), all_day=True)
    copy.apply(side.pages(copy.cursor))
    assert inside(spans(copy, side), side.window) == inside(side.shown(), side.window)

    side.edit("patch", event_id=single, title="Moved", start=soon(4), end=soon(4, 12))
    side.edit("delete_instance", series_id=weekly, day=day.isoformat())
    following = (day + timedelta(days=7)).isoformat()
    side.edit("move_instance", series_id=weekly, day=following, start=soon(17, 8), end=soon(17, 9))
    copy.apply(side.pages(copy.cursor))
    assert inside(spans(copy, side), side.window) == inside(side.shown(), side.window)
    assert any(event.summary == "Moved" for event in copy.events.values())

    side.edit("delete", event_id=single)
    side.edit("delete", event_id=weekly)
    copy.apply(side.pages(copy.cursor))
    assert inside(spans(copy, side), side.window) == inside(side.shown(), side.window)
    assert single not in copy.events
    assert not any(weekly in (event.provider_id, event.series_id) for event in copy.events.values())


def test_the_copy_follows_changes_of_whole_series_and_moves_across_the_edge(side):
    copy = Copy(side.window).apply(side.pages())

    def follows():
        copy.apply(side.pages(copy.cursor))
        return inside(spans(copy, side), side.window) == inside(side.shown(), side.window)

    weekly = side.add("Weekly", soon(1), repeat="weekly")
    yearly = side.add("All day", soon(5, 0), end=soon(6, 0), all_day=True, repeat="daily")
    away = side.add("Away", soon(5), repeat="monthly")
    assert follows()

    side.edit("move_instance", series_id=weekly, day=soon(8).date().isoformat(), start=soon(400), end=soon(400, 11))
    side.edit("delete_instance", series_id=yearly, day=soon(9).date().isoformat())
    assert follows()

    side.edit("patch", event_id=weekly, title="Weekly, later", start=soon(1, 15), end=soon(1, 16))
    side.edit("patch", event_id=away, start=soon(300), end=soon(300, 12))
    assert follows()

    side.edit("delete", event_id=yearly)
    assert follows()
    side.edit("delete", event_id=weekly)
    side.edit("delete", event_id=away)
    assert follows()
    fresh = Copy(side.window).apply(side.pages())
    assert spans(fresh, side) == spans(copy, side)


def test_an_unchanged_calendar_brings_nothing_but_a_cursor(side):
    cursor = side.pages()[-1].cursor

    (page,) = side.pages(cursor)

    assert (page.events, page.removed, page.series) == ((), (), ())
    assert page.cursor is not None


def test_many_small_pages_bring_the_same_as_one(side):
    whole = spans(Copy(side.window).apply(side.pages()), side)
    side.walker.control("settings", FEW)

    pages = side.pages()

    assert len(pages) > 2
    assert spans(Copy(side.window).apply(pages), side) == whole


def test_an_expired_cursor_says_so(side):
    cursor = side.pages()[-1].cursor
    side.control("expire_sync_tokens")

    with pytest.raises(CursorExpired):
        side.pages(cursor)


def test_a_cursor_nobody_can_read_counts_as_expired(side):
    cursor = side.pages()[-1].cursor

    with pytest.raises(CursorExpired):
        side.pages(cursor[:-20] + "A" * 20)


def test_an_api_that_is_switched_off_costs_no_cursor(side):
    cursor = side.pages()[-1].cursor
    reason = {"google": "accessNotConfigured", "microsoft": "MailboxNotEnabledForRESTAPI"}[side.provider]
    side.fault(side.events_operation, kind="status", status=403, reason=reason)

    with pytest.raises(ProviderRejected):
        side.pages(cursor)

    assert side.pages(cursor)


def test_a_cursor_of_an_older_form_counts_as_expired(google):
    with pytest.raises(CursorExpired):
        google.pages("0:" + google.pages()[-1].cursor.partition(":")[2])


def test_a_rejected_token_is_told_apart(side):
    with pytest.raises(AccessTokenRejected):
        side.pages(token=Secret("not-a-token"))
    with pytest.raises(AccessTokenRejected):
        side.adapter.list_calendars(Secret("not-a-token"))


def test_a_missing_scope_is_named(side):
    with pytest.raises(ScopesMissing) as caught:
        # Without the scopes that were given before: each consent of the sandbox's Entra adds up.
        side.adapter.list_calendars(Secret(_token_without_calendars(side)))

    assert caught.value.missing


def _token_without_calendars(side):
    other = {"google": "bruno", "microsoft": "devon"}[side.provider]
    return side.walker.connect(side.provider, other, "openid email")["access_token"]


def test_an_unknown_calendar_is_gone(side):
    with pytest.raises(CalendarGone):
        list(side.adapter.changes(side.token, "no-such-calendar", None, side.window))


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "status", "status": 429, "retry_after": "17"}, ProviderThrottled),
        ({"kind": "status", "status": 503}, ProviderUnavailable),
        ({"kind": "status", "status": 503, "retry_after": "17"}, ProviderThrottled),
        ({"kind": "status", "status": 502, "body": "html"}, ProviderUnavailable),
        ({"kind": "status", "status": 307, "body": "empty"}, ProviderUnavailable),
        ({"kind": "garbage"}, ProviderUnavailable),
        ({"kind": "truncate"}, ProviderUnavailable),
        ({"kind": "reset"}, ProviderUnavailable),
        ({"kind": "gone_410"}, CursorExpired),
    ],
)
def test_trouble_has_one_name_each(side, fault, error):
    side.fault(side.events_operation, **fault)

    with pytest.raises(error) as caught:
        side.pages()

    if "retry_after" in fault:
        assert caught.value.retry_after_s == 17
    assert side.pages()


def test_pages_that_come_again_and_again_under_other_links_are_left(side):
    side.fault(side.events_operation, kind="endless", count=None)
    if side.provider == "google":
        side.fault("calendarlist", kind="endless", count=None)
        with pytest.raises(ProviderUnavailable, match="endless_paging"):
            side.adapter.list_calendars(side.token)

    with pytest.raises(ProviderUnavailable, match="endless_paging"):
        side.pages()


@pytest.mark.parametrize("kind", ["duplicate", "shuffle"])
def test_items_in_any_order_and_number_bring_the_same(side, kind):
    whole = spans(Copy(side.window).apply(side.pages()), side)
    side.fault(side.events_operation, kind=kind, count=None)

    assert spans(Copy(side.window).apply(side.pages()), side) == whole


def test_google_slows_down_with_a_403_too(google):
    google.fault("events", kind="status", status=403)

    with pytest.raises(ProviderThrottled):
        google.pages()


def test_graph_asks_for_claims_with_a_401(microsoft):
    microsoft.fault("delta", kind="claims_challenge")

    with pytest.raises(AccessTokenRejected):
        microsoft.pages()


def test_links_to_another_host_are_not_followed(microsoft):
    microsoft.walker.control("settings", FEW)
    microsoft.walker.control("links", {"public": False})

    with pytest.raises(ProviderUnavailable, match="foreign_link"):
        microsoft.pages()


def test_a_calendar_list_has_roles_zones_and_one_primary(google, microsoft):
    ours = google.adapter.list_calendars(google.token).calendars
    theirs = microsoft.adapter.list_calendars(microsoft.token).calendars

    assert [c.is_primary for c in ours].count(True) == [c.is_primary for c in theirs].count(True) == 1
    assert {c.access_role for c in ours} >= {"owner", "reader"}
    assert all(c.time_zone for c in ours)


def test_google_channels_are_opened_and_closed(google):
    channel = google.adapter.watch(
        google.token, google.calendar.provider_id, "channel-1", Secret("secret"), "http://127.0.0.1:9/hooks/google"
    )

    assert channel.provider_channel_id == "channel-1"
    assert channel.resource_id
    assert timedelta(days=6) < channel.expires_at - datetime.now(UTC) <= timedelta(days=7, minutes=1)
    assert google.adapter.renew(google.token, channel) is None
    google.adapter.stop(google.token, channel)
    google.adapter.stop(google.token, channel)


def test_a_holiday_calendar_cannot_be_watched(google):
    holidays = next(c for c in google.adapter.list_calendars(google.token).calendars if "holiday" in c.provider_id)

    with pytest.raises(PushNotSupported):
        google.adapter.watch(
            google.token, holidays.provider_id, "channel-2", Secret("secret"), "http://127.0.0.1:9/hooks/google"
        )


class _Validating(BaseHTTPRequestHandler):
    """Answer Graph's validation of a notification address."""

    def do_POST(self):
        body = parse_qs(urlsplit(self.path).query).get("validationToken", [""])[0].encode()
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def hook():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Validating)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hooks/microsoft"
    server.shutdown()
    thread.join()
    server.server_close()


def test_graph_subscriptions_are_made_prolonged_and_ended(microsoft, hook):
    calendar_id = microsoft.calendar.provider_id

    channel = microsoft.adapter.watch(microsoft.token, calendar_id, "unused", Secret("state"), hook)
    renewed = microsoft.adapter.renew(microsoft.token, channel)
    microsoft.adapter.stop(microsoft.token, channel)
    microsoft.adapter.stop(microsoft.token, channel)

    assert renewed is not None
    assert renewed.provider_channel_id == channel.provider_channel_id
    assert renewed.expires_at >= channel.expires_at > datetime.now(UTC) + timedelta(days=6)
    assert microsoft.adapter.renew(microsoft.token, channel) is None


@pytest.fixture
def scripted():
    with scripted_pages() as pages:
        yield pages


WINDOW = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))


def test_google_pages_that_never_end_are_left(scripted):
    http, answers = scripted
    answers(lambda _path, _query: {"items": [], "nextPageToken": "again"})

    with pytest.raises(ProviderUnavailable, match="endless_paging"):
        list(GoogleCalendars(http).changes(Secret("t"), "c", None, WINDOW))


def test_a_google_round_without_a_cursor_is_no_round(scripted):
    http, answers = scripted
    answers(lambda _path, _query: {"items": []})

    with pytest.raises(ProviderUnavailable, match="no_cursor"):
        list(GoogleCalendars(http).changes(Secret("t"), "c", None, WINDOW))


def test_google_gets_the_same_parameters_all_the_time_and_no_window(scripted):
    http, answers = scripted
    queries = []

    def answer(_path, query):
        queries.append(query)
        return {"items": [], **({"nextSyncToken": "s"} if "pageToken" in query else {"nextPageToken": "p"})}

    answers(answer)
    first = list(GoogleCalendars(http).changes(Secret("t"), "c", None, WINDOW))
    list(GoogleCalendars(http).changes(Secret("t"), "c", first[-1].cursor, WINDOW))

    full, full_next, delta, delta_next = queries
    # A lower bound would hide an exception moved before it, and its series would show the instance where it was.
    assert "timeMin" not in {**full, **full_next, **delta}
    assert delta["syncToken"] == delta_next["syncToken"] == ["s"]
    varying = {"syncToken", "pageToken"}
    kept = [{name: value for name, value in query.items() if name not in varying} for query in queries]
    assert kept.count(kept[0]) == 4
    assert "showDeleted" not in full


def test_graph_pages_that_repeat_are_left(scripted):
    http, answers = scripted
    calls = []

    def answer(_path, _query):
        calls.append(1)
        link = f"https://graph.microsoft.com/v1.0/me/calendarView/delta?$skiptoken={len(calls)}"
        return {"value": [{"id": "e", "type": "singleInstance"}], "@odata.nextLink": link}

    answers(answer)
    with pytest.raises(ProviderUnavailable, match="endless_paging"):
        list(MicrosoftCalendars(http).changes(Secret("t"), "c", None, WINDOW))
    assert len(calls) < 10


@pytest.mark.parametrize("link", ["same", "another each time"])
def test_graph_pages_that_stay_empty_are_left(scripted, link):
    http, answers = scripted
    calls = []

    def answer(_path, _query):
        calls.append(1)
        token = len(calls) if link != "same" else 0
        return {
            "value": [],
            "@odata.nextLink": f"https://graph.microsoft.com/v1.0/me/calendarView/delta?$skiptoken={token}",
        }

    answers(answer)
    with pytest.raises(ProviderUnavailable, match="endless_paging"):
        list(MicrosoftCalendars(http).changes(Secret("t"), "c", None, WINDOW))
    assert len(calls) <= 101


def _graph_time(text):
    return {"dateTime": f"{text}.0000000", "timeZone": "UTC"}


MASTER = {
    "id": "m",
    "type": "seriesMaster",
    "subject": "Series",
    "isAllDay": False,
    "showAs": "oof",
    "start": _graph_time("2020-01-06T09:00:00"),
    "end": _graph_time("2020-01-06T10:00:00"),
    "originalStartTimeZone": "UTC",
}
BARE = {
    "id": "o",
    "type": "occurrence",
    "seriesMasterId": "m",
    "start": _graph_time("2026-01-05T09:00:00"),
    "end": _graph_time("2026-01-05T10:00:00"),
}
DELTA = "https://graph.microsoft.com/v1.0/me/calendars/c/calendarView/delta?$deltatoken=d"


def test_a_bare_occurrence_without_its_master_fetches_it(scripted):
    http, answers = scripted
    answers(lambda path, _: MASTER if path.endswith("/events/m") else {"value": [BARE], "@odata.deltaLink": DELTA})

    *_, page = MicrosoftCalendars(http).changes(Secret("t"), "c", None, WINDOW)

    assert [(event.provider_id, event.kind) for event in page.events] == [("m", EventKind.MASTER)]
    (series,) = page.series
    (occurrence,) = series.occurrences
    assert (occurrence.series_id, occurrence.source_id, occurrence.busy) == ("m", "m", "out_of_office")
    assert occurrence.recurrence_id == "20260105T090000Z"


def test_a_later_round_reads_the_whole_series_again(scripted):
    http, answers = scripted
    moved = {
        **MASTER,
        "id": "x",
        "type": "exception",
        "seriesMasterId": "m",
        "originalStart": "2026-01-12T09:00:00Z",
        "start": _graph_time("2026-01-13T09:00:00"),
        "end": _graph_time("2026-01-13T10:00:00"),
    }

    def answer(path, _query):
        if path.endswith("/instances"):
            return {"value": [BARE, moved]}
        if path.endswith("/events/m"):
            return MASTER
        return {"value": [moved], "@odata.deltaLink": DELTA}

    answers(answer)
    *_, page = MicrosoftCalendars(http).changes(Secret("t"), "c", DELTA, WINDOW)

    assert sorted(event.provider_id for event in page.events) == ["m", "x"]
    (series,) = page.series
    assert [(o.recurrence_id, o.source_id) for o in series.occurrences] == [
        ("20260105T090000Z", "m"),
        ("20260112T090000Z", "x"),
    ]


def test_a_series_whose_master_is_gone_is_removed(running):
    side = Side("microsoft", running)
    cursor = side.pages()[-1].cursor
    weekly = side.add("Short-lived", soon(2), repeat="weekly")
    side.edit("delete", event_id=weekly)

    copy = Copy(side.window).apply(side.pages(cursor))
    side.close()

    assert weekly not in copy.events
    assert weekly not in copy.series


def test_the_token_travels_in_the_header_alone(scripted):
    http, answers = scripted
    seen = []
    answers(lambda path, query: seen.append((path, query)) or {"items": [], "nextSyncToken": "s"})

    list(GoogleCalendars(http).changes(Secret("planted-token"), "a#b@c", None, WINDOW))

    assert "planted-token" not in repr(seen)
    assert seen[0][0].endswith("/calendars/a%23b%40c/events")
    assert requests.utils.unquote(seen[0][0]).endswith("/calendars/a#b@c/events")
