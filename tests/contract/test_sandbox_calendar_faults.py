"""What the sandbox's calendars do to clients that trust too much: odd pages, limits, refusals with every reason."""

from contextlib import ExitStack

import pytest

from tests.contract.sandbox_calendars import CALENDAR, calendars

DELTA = "/v1.0/me/calendarView/delta?startDateTime=2031-03-01T00:00:00Z&endDateTime=2031-05-01T00:00:00Z"
LIST = "/calendar/v3/users/me/calendarList"


@pytest.fixture
def served():
    with calendars() as running:
        yield running


def fault(served, operation, kind, **members):
    served.control("/faults", operation=operation, kind=kind, **members)


def graph_error(answer):
    return answer.status_code, answer.json()["error"]["code"]


def test_fifth_call_at_once_for_a_mailbox_is_throttled_and_the_log_counts(served):
    chiara = served.graph()
    state = served.running.state
    grant = state.grants.allow("microsoft", "chiara", "client-one", {"Calendars.ReadWrite"}, state.clock.now())

    with ExitStack() as under_way:
        for _ in range(4):
            held = state.throttle.admitted("graph.view", grant, state.runtime, state.clock.now())
            assert under_way.enter_context(held) is None
        refused = chiara.get(DELTA)
        other_client = served.graph(client_id="client-two").get("/v1.0/me/calendar")
        other_mailbox = served.graph("devon").get("/v1.0/me/calendar")
        no_mailbox = chiara.get("/v1.0/subscriptions")

    assert graph_error(refused) == (429, "ApplicationThrottled")
    assert "MailboxConcurrency" in refused.json()["error"]["message"]
    assert refused.headers["Retry-After"] == "1"
    assert [a.status_code for a in (other_client, other_mailbox, no_mailbox)] == [200, 200, 200]
    assert chiara.get(DELTA).status_code == 200
    counts = {(c["operation"], c["subject"]): c for c in served.control("/log", "GET")["counts"]}
    # The call of the other client is one for the same mailbox, the one for subscriptions is none.
    assert counts["graph.mailbox", "chiara"]["calls"] == 3
    assert counts["graph.mailbox", "chiara"]["max_in_flight"] == 1


def test_quotas_are_sliding_and_refuse_in_each_providers_forms(served):
    served.control("/settings", google_quota_per_min=2, graph_quota_per_10_min=2)
    ada, chiara = served.google(), served.graph()

    google = [ada.get(CALENDAR) for _ in range(4)]
    graph = [chiara.get("/v1.0/me/calendar") for _ in range(3)]
    served.control("/clock", advance_s=61)
    after = ada.get(CALENDAR).status_code

    assert [answer.status_code for answer in google] == [200, 200, 403, 429]
    reasons = [answer.json()["error"]["errors"][0]["reason"] for answer in google[2:]]
    assert reasons == ["userRateLimitExceeded", "rateLimitExceeded"]
    assert [answer.status_code for answer in graph] == [200, 200, 429]
    assert after == 200


@pytest.mark.parametrize("path", [CALENDAR, LIST])
def test_endless_google_list_gives_the_same_page_under_ever_new_tokens(served, path):
    ada = served.google()
    operation = "google.events" if path == CALENDAR else "google.calendarlist"
    fault(served, operation, "endless", count=3)

    first = ada.get(path).json()
    second = ada.get(path, params={"pageToken": first["nextPageToken"]}).json()
    third = ada.get(path, params={"pageToken": second["nextPageToken"]}).json()
    end = ada.get(path, params={"pageToken": third["nextPageToken"]}).json()

    assert first["items"] == second["items"] == third["items"] == end["items"] != []
    assert len({page["nextPageToken"] for page in (first, second, third)}) == 3
    assert "nextSyncToken" in end


def test_endless_graph_round_gives_the_same_page_under_ever_new_links(served):
    chiara = served.graph()
    fault(served, "graph.delta", "endless", count=3)

    pages = list(chiara.rounds(DELTA, "odata.maxpagesize=3"))

    assert pages[0]["value"] == pages[1]["value"] == pages[2]["value"] == pages[3]["value"] != []
    assert len({page["@odata.nextLink"] for page in pages[:3]}) == 3
    assert "@odata.deltaLink" in pages[-1]


def test_items_come_twice_or_in_reverse_order_on_request(served):
    chiara, ada = served.graph(), served.google()
    plain = [item["id"] for item in chiara.get(DELTA).json()["value"]]
    listed = [item["id"] for item in ada.get(CALENDAR).json()["items"]]
    for operation in ("graph.delta", "google.events"):
        fault(served, operation, "duplicate")
        fault(served, operation, "shuffle")

    graph = [[item["id"] for item in chiara.get(DELTA).json()["value"]] for _ in range(2)]
    google = [[item["id"] for item in ada.get(CALENDAR).json()["items"]] for _ in range(2)]

    assert graph == [plain * 2, plain[::-1]]
    assert google == [listed * 2, listed[::-1]]


def test_refusals_carry_the_reason_they_were_given(served):
    ada, chiara = served.google(), served.graph()
    fault(served, "google.events", "status", status=403, reason="quotaExceeded")
    fault(served, "google.events", "gone_410", reason="updatedMinTooLongAgo")
    fault(served, "google.events", "gone_410", reason="")
    fault(served, "graph.delta", "gone_410", reason="resyncRequired")
    fault(served, "graph.delta", "foreign_link")

    quota, too_long, bare = (ada.get(CALENDAR) for _ in range(3))
    resync = chiara.get(DELTA)
    foreign = chiara.get(DELTA).json()
    long_ago = ada.get(CALENDAR, params={"updatedMin": "2020-01-01T00:00:00Z"})

    assert quota.json()["error"]["errors"][0]["domain"] == "usageLimits"
    assert too_long.json()["error"]["errors"][0]["reason"] == "updatedMinTooLongAgo"
    assert (bare.status_code, "errors" in bare.json()["error"]) == (410, False)
    assert graph_error(resync) == (410, "resyncRequired")
    assert resync.headers["Location"].endswith("$deltatoken=")
    links = [value for name, value in foreign.items() if name.endswith("Link")]
    assert all(link.startswith("https://graph.microsoft.example.net/") for link in links)
    assert (long_ago.status_code, long_ago.json()["error"]["errors"][0]["reason"]) == (410, "updatedMinTooLongAgo")


def test_every_nth_call_meets_a_fault_and_the_others_the_next_one(served):
    ada = served.google()
    fault(served, "google.events", "status", status=500, every=3, count=None)
    fault(served, "google.events", "status", status=429, every=2, count=None)

    statuses = [ada.get(CALENDAR, params={"maxResults": "1"}).status_code for _ in range(6)]

    assert statuses == [200, 429, 500, 200, 429, 500]
