"""A stored calendar that is not as the provider's is found out and mended; one that is rests."""

from datetime import timedelta

from tests.integration.sync.compare import query
from tests.integration.sync.desk import monday


def reports(desk):
    return query(desk.mailbox, "SELECT * FROM drift_reports WHERE calendar_id = %s", desk.calendar.id)


def state(desk):
    [row] = query(desk.mailbox, "SELECT * FROM sync_states WHERE calendar_id = %s", desk.calendar.id)
    return row


def fill(desk):
    for week in (1, 2, 3):
        desk.add(f"Single {week}", monday(week, 12))
    series = desk.add("Series", monday(), repeat="weekly", times=6)
    desk.change_instance(series, monday(2), "Moved", monday(2, 15))
    desk.cancel_instance(series, monday(3))
    desk.sync()


def test_an_equal_calendar_is_found_equal(desk):
    fill(desk)
    desk.remove(desk.add("Gone", monday()))
    desk.add("Long over", monday(-2))
    desk.sync()

    found = desk.mailbox.house.checks.check(desk.calendar.id)

    assert found.total == 0
    assert found.compared >= 5
    assert reports(desk) == []
    assert state(desk).cursor is not None
    assert state(desk).check_due_at > desk.mailbox.house.clock() + timedelta(hours=11)
    assert query(desk.mailbox, "SELECT 1 FROM staged_items") == []


def test_drift_is_reported_and_mended(desk):
    fill(desk)
    house, calendar = desk.mailbox.house, desk.calendar.id
    # As a mistake of ours or of the provider's would leave it.
    query(desk.mailbox, "DELETE FROM events WHERE calendar_id = %s AND summary = 'Single 1' RETURNING 1", calendar)
    query(
        desk.mailbox,
        "UPDATE events SET summary = 'Wrong', content_hash = 'x' WHERE calendar_id = %s AND summary = 'Single 2'"
        " RETURNING 1",
        calendar,
    )
    query(
        desk.mailbox,
        "UPDATE events SET provider_id = 'ghost' WHERE calendar_id = %s AND summary = 'Single 3' RETURNING 1",
        calendar,
    )
    house.forward(timedelta(days=2))

    assert house.checks.check_due() == 1

    [report] = reports(desk)
    assert (report.missing, report.surplus, report.different) == (2, 1, 1)
    assert report.samples["surplus"] == ["ghost"]
    assert state(desk).cursor is None
    assert state(desk).due_at <= house.clock()
    assert desk.titles(desk.sync()) == ["Moved", "Series", "Single 1", "Single 2", "Single 3"]


def test_occurrences_that_the_provider_expands_otherwise_are_drift(microsoft_desk):
    desk = microsoft_desk
    fill(desk)
    right = desk.sync()
    query(
        desk.mailbox,
        "UPDATE occurrences SET start_at = start_at - interval '1 hour' WHERE calendar_id = %s AND recurrence_id <> ''"
        " RETURNING 1",
        desk.calendar.id,
    )
    desk.mailbox.house.forward(timedelta(minutes=1))

    assert desk.mailbox.house.checks.check(desk.calendar.id).different == 1

    [report] = reports(desk)
    assert len(report.samples["occurrences"]) == 1
    assert desk.sync() == right


def test_what_changes_while_a_comparison_reads_is_no_drift(desk):
    fill(desk)
    house, lost = desk.mailbox.house, desk.add("Lost soon", monday())
    desk.sync()
    pages = []

    def edit(url):
        pages.append(url)
        # After the first sync, before or after the fresh reading.
        if len(pages) in {2, 3}:
            desk.add(f"Made meanwhile {len(pages)}", monday(1, 8))
        if len(pages) == 3:
            desk.remove(lost)

    house.http.before = edit

    assert house.checks.check(desk.calendar.id).total == 0


def test_a_paused_calendar_rests_and_comes_back(desk):
    house = desk.mailbox.house
    house.sync.pause(desk.calendar.id)
    desk.add("Meanwhile", monday())

    house.sync.request(desk.calendar.id)
    assert house.sync.sync(desk.calendar.id) is None
    assert desk.calendar.id not in house.due.syncs()
    house.sync.resume(desk.calendar.id)

    assert desk.titles(desk.sync()) == ["Meanwhile"]


def test_what_was_asked_for_and_shows_nothing_is_read_once_more(desk):
    house = desk.mailbox.house
    house.sync.request(desk.calendar.id)

    desk.sync()
    first = state(desk).due_at - house.clock()
    desk.sync()
    second = state(desk).due_at - house.clock()

    assert timedelta(seconds=5) < first <= timedelta(seconds=30)
    assert second > timedelta(minutes=1)
