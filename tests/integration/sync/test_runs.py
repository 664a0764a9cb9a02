"""A run is all or nothing, one at a time, and survives lost cursors, odd pages and its own death."""

from dataclasses import replace
from datetime import timedelta

import pytest
from psycopg.types.json import Jsonb

from app.domain.errors import CursorExpired, ProviderThrottled, ProviderUnavailable, StoreUnavailable
from app.sandbox.faults import FaultKind
from app.services.calendar_sync import SyncSettings
from tests.integration.sync.compare import query
from tests.integration.sync.desk import monday

OPERATIONS = {"google": "google.events", "microsoft": "graph.delta"}
SMALL_PAGES = [{"google_page_size": size, "graph_page_size": size} for size in (1, 2, 3)]


class Crash(BaseException):
    """A process that dies: nothing is cleaned up."""


def is_claimed(desk):
    """Tell whether the calendar is claimed, in its turn: of one account only two are at a time."""
    house = desk.mailbox.house
    found = set()
    for _ in desk.mailbox.calendars():
        found |= set(house.due.syncs())
        house.clock.offset += timedelta(seconds=6)
    return desk.calendar.id in found


def fill(desk):
    """Add singles, a series with exceptions, and something deleted before anybody saw it."""
    for week in range(1, 4):
        desk.add(f"Single {week}", monday(week, 12))
    for title in ("Gone", "Gone too", "Also gone"):
        desk.remove(desk.add(title, monday()))
    series = desk.add("Series", monday(), repeat="weekly", times=6)
    desk.change_instance(series, monday(2), "Moved", monday(2, 15))
    desk.cancel_instance(series, monday(3))
    return series


def state(desk):
    [row] = query(desk.mailbox, "SELECT * FROM sync_states WHERE calendar_id = %s", desk.calendar.id)
    return row


def counts(desk):
    """Return how many events and occurrences are stored."""
    statement = """
        SELECT (SELECT count(*) FROM events WHERE calendar_id = %(id)s) AS events,
               (SELECT count(*) FROM occurrences WHERE calendar_id = %(id)s) AS occurrences
    """
    return query(desk.mailbox, statement, {"id": desk.calendar.id})[0]


def jsonable(row):
    """Return a row's values as the driver writes them."""
    return {name: Jsonb(value) if isinstance(value, (dict, list)) and name != "rules" else value
            for name, value in row._asdict().items()}  # fmt: skip


def end_lease(desk):
    statement = "UPDATE sync_states SET lease_until = now() WHERE calendar_id = %s RETURNING 1"
    query(desk.mailbox, statement, desk.calendar.id)


def expire_cursors(desk):
    desk.mailbox.house.sandbox.control(
        "/expire_sync_tokens", provider=desk.mailbox.provider, account=desk.mailbox.account
    )


@pytest.mark.parametrize("house_settings", SMALL_PAGES, ids=lambda settings: str(settings["google_page_size"]))
def test_small_and_empty_pages(desk):
    series = fill(desk)
    assert len(desk.sync()) == 8

    expire_cursors(desk)
    desk.remove(series)
    with pytest.raises(CursorExpired):
        desk.mailbox.sync(desk.calendar)

    assert len(desk.sync()) == 3


def test_expired_cursor_is_followed_by_a_full_pass_that_sweeps(desk):
    fill(desk)
    desk.sync()
    before = state(desk)
    desk.add("New", monday(2, 8))
    gone = desk.mailbox.at_sandbox(desk.calendar)
    # Gone without a trace: only a sweep can find out.
    lost = next(key for key, item in gone.items.items() if "Single 1" in str(item.body))
    del gone.items[lost]
    expire_cursors(desk)

    with pytest.raises(CursorExpired):
        desk.mailbox.sync(desk.calendar)
    assert state(desk).cursor is None
    assert counts(desk)[1] == 8

    assert desk.titles(desk.sync()) == ["Moved", "New", "Series", "Single 2", "Single 3"]
    assert state(desk).generation == before.generation + 1


@pytest.mark.parametrize("house_settings", SMALL_PAGES[:1], ids=["1"])
def test_cursor_expires_between_two_pages(desk):
    fill(desk)
    desk.sync()
    desk.add("New", monday(2, 8))
    desk.add("Newer", monday(2, 9))
    desk.mailbox.house.fault(OPERATIONS[desk.mailbox.provider], FaultKind.GONE, after=1)

    with pytest.raises(CursorExpired):
        desk.mailbox.sync(desk.calendar)

    assert {"New", "Newer"} <= set(desk.titles(desk.sync()))


def test_readers_see_the_old_calendar_until_the_new_one_is_whole(desk):
    fill(desk)
    desk.sync()
    whole = counts(desk)
    expire_cursors(desk)
    with pytest.raises(CursorExpired):
        desk.mailbox.sync(desk.calendar)
    seen = []
    house = desk.mailbox.house
    house.http.before = lambda _url: seen.append(counts(desk))
    house.store.before_commit = lambda _tx: seen.append(counts(desk))

    desk.mailbox.sync(desk.calendar)

    assert len(seen) >= 4
    assert set(seen) == {whole}


@pytest.mark.parametrize("crash", [Crash, StoreUnavailable])
def test_crash_before_the_commit_leaves_everything_as_it_was(desk, crash):
    fill(desk)
    desk.sync()
    before, content = state(desk), counts(desk)
    desk.add("New", monday(2, 8))
    store, transactions = desk.mailbox.house.store, []

    def die(tx):
        transactions.append(tx)
        # A process that died commits nothing afterwards either.
        if len(transactions) == 2 or (len(transactions) > 2 and crash is Crash):
            raise crash

    store.before_commit = die
    with pytest.raises(crash):
        desk.mailbox.sync(desk.calendar)
    store.before_commit = lambda _tx: None

    assert counts(desk) == content
    assert (state(desk).cursor, state(desk).completed) == (before.cursor, before.completed)
    if crash is Crash:
        assert desk.mailbox.house.sync.sync(desk.calendar.id) is None
        end_lease(desk)
    assert "New" in desk.titles(desk.sync())


def test_a_bug_gives_the_lease_back_and_says_so(desk):
    fill(desk)
    desk.sync()
    house = desk.mailbox.house

    def stumble(_url):
        house.http.before = lambda _url: None
        raise KeyError("bug")

    house.http.before = stumble
    with pytest.raises(KeyError):
        desk.mailbox.sync(desk.calendar)

    assert state(desk).last_error == "error"
    assert house.sync.sync(desk.calendar.id) is not None
    assert state(desk).last_error is None


def test_failures_wait_ever_longer_and_a_good_run_forgets_them(desk):
    desk.sync()
    house, waits = desk.mailbox.house, []
    for _ in range(4):
        house.fault(OPERATIONS[desk.mailbox.provider], FaultKind.STATUS, status=503, count=1)
        with pytest.raises(ProviderUnavailable):
            desk.mailbox.sync(desk.calendar)
        waits.append((state(desk).due_at - house.clock()).total_seconds())

    desk.sync()

    assert waits == sorted(waits)
    assert waits[-1] > waits[0] * 3


def test_second_run_meanwhile_finds_the_lease_taken(desk):
    desk.add("One", monday())
    house, others = desk.mailbox.house, []

    def run_another(url):
        house.http.before = lambda _url: None
        others.append(house.sync.sync(desk.calendar.id))

    house.http.before = run_another

    assert len(desk.sync()) == 1
    assert others == [None]


def test_run_that_lost_its_lease_changes_nothing(desk):
    desk.add("One", monday())
    house = desk.mailbox.house

    def overtake(url):
        house.http.before = lambda _url: None
        end_lease(desk)
        assert house.sync.sync(desk.calendar.id) is not None
        desk.after = state(desk)

    house.http.before = overtake
    with pytest.raises(CursorExpired):
        house.sync.sync(desk.calendar.id)

    assert state(desk) == desk.after
    assert state(desk).cursor is not None
    assert len(desk.sync()) == 1


def test_request_during_a_run_asks_for_another_one(desk):
    house = desk.mailbox.house

    def request(url):
        house.http.before = lambda _url: None
        house.sync.request(desk.calendar.id)

    house.http.before = request
    outcome = desk.mailbox.sync(desk.calendar)

    assert outcome.again
    assert state(desk).due_at <= house.clock()
    assert is_claimed(desk)


def test_full_pass_that_lost_most_is_read_twice(google_desk):
    for number in range(25):
        google_desk.add(f"Event {number}", monday(1 + number % 5, 8))
    google_desk.sync()
    expire_cursors(google_desk)
    with pytest.raises(CursorExpired):
        google_desk.mailbox.sync(google_desk.calendar)
    calendar, house = google_desk.mailbox.at_sandbox(google_desk.calendar), google_desk.mailbox.house
    hidden, calendar.items = calendar.items, {}

    def show_again(url):
        if len(house.http.asked) == 2:
            calendar.items = hidden

    house.http.asked.clear()
    house.http.before = show_again
    assert len(google_desk.sync()) == 25

    house.http.before = lambda _url: None
    calendar.items = {}
    expire_cursors(google_desk)
    with pytest.raises(CursorExpired):
        google_desk.mailbox.sync(google_desk.calendar)
    assert google_desk.sync() == set()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": FaultKind.STATUS, "status": 429, "retry_after": "77"}, ProviderThrottled),
        ({"kind": FaultKind.STATUS, "status": 500}, ProviderUnavailable),
        ({"kind": FaultKind.GARBAGE}, ProviderUnavailable),
        ({"kind": FaultKind.TRUNCATE}, ProviderUnavailable),
        ({"kind": FaultKind.RESET}, ProviderUnavailable),
    ],
    ids=["429", "500", "garbage", "truncated", "reset"],
)
def test_failed_run_keeps_the_calendar_and_comes_back(desk, fault, error):
    fill(desk)
    desk.sync()
    desk.add("New", monday(2, 8))
    before, content, now = state(desk), counts(desk), desk.mailbox.house.clock()
    desk.mailbox.house.fault(OPERATIONS[desk.mailbox.provider], **fault)

    with pytest.raises(error):
        desk.mailbox.sync(desk.calendar)

    assert (state(desk).cursor, counts(desk)) == (before.cursor, content)
    assert state(desk).last_error is not None
    wait = state(desk).due_at - now
    assert timedelta(seconds=2) <= wait <= timedelta(seconds=90)
    assert (wait >= timedelta(seconds=77)) == (error is ProviderThrottled)
    assert "New" in desk.titles(desk.sync())
    assert state(desk).last_error is None


def test_calendar_is_polled_without_push(desk):
    house = desk.mailbox.house
    desk.add("Lately", monday())
    desk.sync()
    assert not is_claimed(desk)

    house.forward(timedelta(seconds=80))

    assert is_claimed(desk)


def test_google_window_rolls_with_the_time_and_nothing_is_read_anew(google_desk):
    desk = google_desk
    series = fill(desk)
    desk.change(series, recurrence=desk.rule(monday(), "weekly"))
    desk.add("Ahead", monday(59))
    assert "Ahead" not in desk.titles(desk.sync())
    first = state(desk)

    desk.mailbox.house.forward(timedelta(days=10))
    assert not desk.mailbox.sync(desk.calendar).full
    assert state(desk).window_start == first.window_start
    desk.mailbox.house.forward(timedelta(days=21))
    assert not desk.mailbox.sync(desk.calendar).full

    assert state(desk).window_start > first.window_start + timedelta(days=30)
    assert state(desk).generation == first.generation
    found = desk.sync()
    assert len(found) > 50
    assert "Ahead" in desk.titles(found)
    starts = query(desk.mailbox, "SELECT min(end_at) AS n FROM occurrences WHERE calendar_id = %s", desk.calendar.id)
    assert starts[0].n >= state(desk).window_start


def test_series_expanded_by_other_rules_or_zones_are_expanded_anew_without_reading_them_again(google_desk):
    desk = google_desk
    fill(desk)
    right = desk.sync()
    before = state(desk)
    query(desk.mailbox, "UPDATE occurrences SET start_at = start_at - interval '1 hour' RETURNING 1")
    assert desk.mailbox.sync(desk.calendar).occurrences == 0

    query(desk.mailbox, "UPDATE sync_states SET expander_version = 'of older zones' RETURNING 1")
    outcome = desk.mailbox.sync(desk.calendar)

    assert not outcome.full
    assert desk.sync() == right
    assert (state(desk).generation, state(desk).expander_version) == (before.generation, before.expander_version)


def test_a_series_that_became_a_single_event_outlives_the_next_window(google_desk):
    desk = google_desk
    series = desk.add("Series", monday(1), repeat="weekly", times=6)
    desk.cancel_instance(series, monday(3))
    desk.sync()
    cancelled = "SELECT * FROM events WHERE kind = 'exception' AND calendar_id = %s"
    [row] = query(desk.mailbox, cancelled, desk.calendar.id)
    desk.change(series, recurrence=None)
    assert len(desk.sync()) == 1
    assert query(desk.mailbox, cancelled, desk.calendar.id) == []

    # As a database has it whose provider never mentioned the instance again.
    names = ", ".join(row._fields)
    places = ", ".join(f"%({name})s" for name in row._fields)
    insert = f"INSERT INTO events ({names}) VALUES ({places}) RETURNING 1"  # noqa: S608 - names of columns
    query(desk.mailbox, insert, jsonable(row))
    query(desk.mailbox, "UPDATE sync_states SET expander_version = 'of older zones' RETURNING 1")

    assert len(desk.sync()) == 1


def test_what_was_over_before_the_window_is_not_told_as_removed_by_a_full_pass(desk):
    desk.add("Once", monday(1))
    desk.add("Series", monday(), repeat="weekly", times=3)
    desk.add("Ahead", monday(20))
    desk.sync()
    desk.mailbox.house.forward(timedelta(days=80))
    desk.mailbox.sync(desk.calendar)
    expire_cursors(desk)
    with pytest.raises(CursorExpired):
        desk.mailbox.sync(desk.calendar)
    assert desk.mailbox.sync(desk.calendar).full

    told = "SELECT 1 FROM changes WHERE is_removed AND calendar_id = %s"
    assert query(desk.mailbox, told, desk.calendar.id) == []
    assert desk.titles(desk.sync()) == ["Ahead"]
    assert desk.mailbox.house.checks.check(desk.calendar.id).total == 0


def test_graph_window_rolls_by_a_full_pass(microsoft_desk):
    desk = microsoft_desk
    series = fill(desk)
    desk.change(series, recurrence=desk.rule(monday(), "weekly"))
    desk.sync()
    first = state(desk)

    desk.mailbox.house.forward(timedelta(days=10))
    assert not desk.mailbox.sync(desk.calendar).full
    desk.mailbox.house.forward(timedelta(days=21))
    assert desk.mailbox.sync(desk.calendar).full

    assert state(desk).window_start > first.window_start + timedelta(days=30)
    assert state(desk).generation == first.generation + 1
    assert len(desk.sync()) > 50


def test_while_a_new_window_cannot_be_read_the_old_one_is_followed(microsoft_desk):
    desk, house = microsoft_desk, microsoft_desk.mailbox.house
    fill(desk)
    desk.sync()
    house.forward(timedelta(days=31))
    desk.add("Meanwhile", monday(8))

    house.fault("graph.delta", FaultKind.STATUS)
    with pytest.raises(ProviderUnavailable):
        desk.mailbox.sync(desk.calendar)
    followed = desk.mailbox.sync(desk.calendar)
    rolled = desk.mailbox.sync(desk.calendar)

    assert (followed.full, followed.events) == (False, 1)
    assert rolled.full
    assert "Meanwhile" in desk.titles(desk.sync())


def test_nobody_is_left_alone_for_as_long_as_a_garbled_header_says(desk):
    house = desk.mailbox.house
    desk.sync()
    house.fault(OPERATIONS[desk.mailbox.provider], FaultKind.STATUS, status=429, retry_after="999999999")
    with pytest.raises(ProviderThrottled):
        desk.mailbox.sync(desk.calendar)
    assert state(desk).due_at <= house.clock() + timedelta(hours=6)

    house.sync.pause(desk.calendar.id)
    house.sync.resume(desk.calendar.id)

    assert state(desk).due_at <= house.clock()


def test_changed_settings_bring_another_window(desk):
    desk.add("Past", monday(-10))
    desk.add("Far", monday(80))
    assert desk.sync() == set()
    house = desk.mailbox.house
    usual = house.sync

    house.sync = replace(usual, settings=SyncSettings(timedelta(days=100), timedelta(days=700)))
    assert desk.titles(desk.sync()) == ["Far", "Past"]

    house.sync = usual
    assert desk.sync() == set()
