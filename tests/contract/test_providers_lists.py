"""Calendar lists and busy times as the adapters read them, and how many calls reach one mailbox at a time."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier, Lock

import pytest

from app.domain.calendars import Busy, Window
from app.domain.errors import CalendarGone, CursorExpired, ProviderRejected, ProviderThrottled, ProviderUnavailable
from app.domain.secret import AccountToken, Secret
from app.providers.call_slots import LocalCallSlots
from app.providers.google.calendar import GoogleCalendars
from app.providers.microsoft.calendar import MicrosoftCalendars
from tests.contract.scripted_pages import scripted_pages

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WINDOW = Window(datetime(2026, 1, 15, 8, tzinfo=UTC), datetime(2026, 12, 15, 8, tzinfo=UTC))
TOKEN = Secret("t")


class Clock:
    now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def scripted():
    with scripted_pages() as pages:
        yield pages


def entry(calendar_id, **members):
    return {"id": calendar_id, "summary": calendar_id, "accessRole": "owner", "timeZone": "Europe/Berlin", **members}


def test_a_list_is_read_by_its_token_for_an_hour_and_then_whole_again(scripted):
    http, answers = scripted
    clock, asked = Clock(), []
    google = GoogleCalendars(http, clock)

    def answer(_path, query):
        asked.append(query)
        if "syncToken" not in query:
            return {"items": [entry("a"), entry("b"), entry("c", hidden=True)], "nextSyncToken": "one"}
        items = [entry("a", summaryOverride="A"), entry("b", deleted=True), entry("d", accessRole="freeBusyReader")]
        return {"items": items, "nextSyncToken": "two"}

    answers(answer)
    whole = google.list_calendars(TOKEN)
    clock.now += timedelta(minutes=59)
    changed = google.list_calendars(TOKEN, whole.cursor)
    clock.now += timedelta(minutes=1)
    again = google.list_calendars(TOKEN, changed.cursor)

    assert ([c.name for c in whole.calendars], whole.removed, whole.is_full) == (["a", "b"], ("c",), True)
    assert [(c.name, c.access_role) for c in changed.calendars] == [("A", "owner"), ("d", "free_busy")]
    assert (changed.removed, changed.is_full) == (("b",), False)
    assert again.is_full
    assert [query.get("syncToken") for query in asked] == [None, ["one"], None]
    # What Google refuses beside a token is not sent at all, so that both calls differ by the token alone.
    assert {name for query in asked for name in query} == {"maxResults", "prettyPrint", "syncToken"}
    for unreadable in ("", "0:1:one", "1:one", "1:x:one", "1:1:"):
        with pytest.raises(CursorExpired):
            google.list_calendars(TOKEN, unreadable)


def busy(*hours, **members):
    spans = [{"start": f"2026-02-01T{a:02}:00:00Z", "end": f"2026-02-01T{b:02}:00:00+01:00"} for a, b in hours]
    return {"calendars": {"c": {"busy": spans, **members}}}


def read_busy_times(http, cursor=None):
    (page,) = GoogleCalendars(http).changes(TOKEN, "c", cursor, WINDOW, times_only=True)
    return page


def test_busy_times_are_asked_for_in_parts_that_leave_nothing_out(scripted):
    http, answers = scripted
    asked = []

    def answer(_path, body):
        asked.append((datetime.fromisoformat(body["timeMin"]), datetime.fromisoformat(body["timeMax"])))
        low, high = asked[-1]
        # One block over every border, as it looks when it is cut there.
        spans = [(low, low + timedelta(hours=1)), (high - timedelta(hours=1), high)]
        return {"calendars": {"c": {"busy": [{"start": a.isoformat(), "end": b.isoformat()} for a, b in spans]}}}

    answers(answer)
    page = read_busy_times(http)

    assert asked[0][0] <= WINDOW.start
    assert asked[-1][1] >= WINDOW.end
    assert [low for low, _ in asked[1:]] == [high for _, high in asked[:-1]]
    assert max(high - low for low, high in asked) <= timedelta(days=60)
    borders = [low for low, _ in asked[1:]]
    spans = {(event.start, event.end) for event in page.events}
    assert {(at - timedelta(hours=1), at + timedelta(hours=1)) for at in borders} < spans
    assert len(spans) == len(asked) + 1


def test_busy_times_are_events_of_their_own_that_stay_until_they_change(scripted):
    http, answers = scripted
    answers(lambda *_: busy((9, 11), (12, 14)))

    first = read_busy_times(http)
    same = read_busy_times(http, first.cursor)
    answers(lambda *_: busy((12, 14)))
    fewer = read_busy_times(http, first.cursor)

    assert [(e.provider_id, e.busy, e.privacy, e.summary) for e in first.events] == [
        ("busy-20260201T090000Z-20260201T100000Z", Busy.BUSY, "private", None),
        ("busy-20260201T120000Z-20260201T130000Z", Busy.BUSY, "private", None),
    ]
    assert (first.is_full, fewer.is_full) == (True, True)
    assert (same.events, same.is_full, same.cursor) == ((), False, first.cursor)
    assert fewer.events == first.events[1:]
    with pytest.raises(CursorExpired):
        read_busy_times(http, "2:of events")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (busy(errors=[{"domain": "global", "reason": "notFound"}]), CalendarGone),
        (busy((9, 11), errors=[{"domain": "global", "reason": "internalError"}]), ProviderUnavailable),
        (busy(errors=[{"reason": "tooManyCalendarsRequested"}]), ProviderRejected),
        (busy(errors=[{}]), ProviderUnavailable),
        (busy((12, 11)), ProviderUnavailable),
        ({"calendars": {}}, ProviderUnavailable),
        ({}, ProviderUnavailable),
    ],
)
def test_an_error_is_never_free_time(scripted, answer, error):
    http, answers = scripted
    answers(lambda *_: answer)

    with pytest.raises(error):
        read_busy_times(http)


def test_a_calendar_that_shows_no_details_is_not_read_as_if_it_did(scripted):
    http, answers = scripted
    answers(lambda *_: {"items": [{"id": "block"}], "accessRole": "freeBusyReader", "nextSyncToken": "s"})

    with pytest.raises(CalendarGone):
        list(GoogleCalendars(http).changes(TOKEN, "c", None, WINDOW))


def test_four_calls_at_a_time_reach_one_mailbox_and_others_are_not_in_its_way(scripted):
    http, answers = scripted
    lock, counts = Lock(), Counter()
    # Nobody is answered before all four places of the one mailbox are taken, and one of the other's.
    all_in = Barrier(5)

    def answer(_path, _query):
        with lock:
            counts["asked"] += 1
            counts["under way"] += 1
            counts["most"] = max(counts["most"], counts["under way"])
            is_early = counts["asked"] <= all_in.parties
        if is_early:
            all_in.wait(30)
        with lock:
            counts["under way"] -= 1
        return {"value": [{"id": "c"}]}

    answers(answer)
    adapter = MicrosoftCalendars(http)
    tokens = [AccountToken.of(Secret(f"token {n}"), "ada") for n in range(12)] + [AccountToken.of(TOKEN, "bruno")]
    with ThreadPoolExecutor(len(tokens)) as threads:
        lists = list(threads.map(adapter.list_calendars, tokens))

    assert len(lists) == 13
    assert counts["most"] == 5


def test_who_waits_in_vain_for_a_mailbox_is_told_when_to_come_again():
    slots = LocalCallSlots(1)

    with slots.hold("ada", 0), pytest.raises(ProviderThrottled) as caught, slots.hold("ada", 0.01):
        pass

    assert caught.value.retry_after_s == 5.0
    with slots.hold("ada", 0):
        pass
