"""What holds for a whole mailbox: how many calls reach it at a time, and that nothing in it stops a sync."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from app.domain.calendars import Window
from app.sandbox.faults import FaultKind
from tests.integration.sync.desk import google_time, monday


def test_all_calls_for_one_graph_mailbox_pass_four_at_a_time(house):
    mailbox = house.connect("microsoft", "chiara")
    graph = house.sync.providers.get("microsoft").calendars
    now = house.clock()
    window = Window(now - timedelta(days=31), now + timedelta(days=60))
    # A token that was renewed meanwhile is another token for the same mailbox.
    tokens = [house.sync.access_tokens.get(mailbox.connection_id).token]
    rejected = tokens[0].sha256()
    house.forward(timedelta(minutes=5))
    tokens.append(house.sync.access_tokens.get(mailbox.connection_id, rejected_sha256=rejected).token)
    house.fault("graph.delta", FaultKind.HANG, seconds=0.2, count=None)

    def read(number):
        return list(graph.changes(tokens[number % 2], mailbox.main().provider_id, None, window))

    with ThreadPoolExecutor(8) as threads:
        rounds = list(threads.map(read, range(8)))

    assert len({token.sha256() for token in tokens}) == 2
    assert all(pages[-1].cursor for pages in rounds)
    log = house.sandbox.control("/log", "GET")["counts"]
    (calls,) = (line for line in log if (line["operation"], line["subject"]) == ("graph.mailbox", mailbox.account))
    assert calls["calls"] >= 8
    assert calls["max_in_flight"] <= 4


def test_words_nobody_knows_are_stored_beside_what_they_were_taken_for(google_desk):
    start = monday()
    google_desk.plant(
        {
            "id": "odd",
            "status": "wavering",
            "visibility": "secret",
            "start": google_time(start),
            "end": google_time(start.replace(hour=start.hour + 1)),
        }
    )

    google_desk.mailbox.sync(google_desk.calendar)

    row = google_desk.stored("odd")
    assert (row.status, row.privacy, row.busy) == ("confirmed", "private", "busy")
    assert row.unknown_values == {"status": "wavering", "visibility": "secret"}
