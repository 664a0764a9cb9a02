"""Push is a hint: channels are made, renewed and stopped; what arrives changes nothing but timing."""

import json
from contextlib import contextmanager
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import event

from app.domain.channels import ABANDONED_AFTER, LIFECYCLE_APART, MOST_STOPS, OVERLAP, SETTLE
from app.domain.errors import ProviderError
from app.sandbox.faults import FaultKind
from app.services.notifications import GraphNotification
from tests.contract.sandbox_calendars import receiver
from tests.integration.sync.compare import query
from tests.integration.sync.desk import Desk, monday


@pytest.fixture
def hooks():
    """Listen where the notifications go."""
    with receiver() as served:
        yield served


@pytest.fixture
def house_settings(hooks):
    return {"public_url": hooks.url}


def open_due(mailbox):
    """Do what the worker does with calendars whose channel is due."""
    claimed = mailbox.house.due.channels()
    for calendar_id in claimed:
        mailbox.house.channels.open(calendar_id)
    return claimed


def channels_of(mailbox):
    return query(mailbox, "SELECT * FROM channels ORDER BY created_at")


def sandbox_channels(mailbox):
    record = mailbox.house.sandbox.control("/push", method="GET")
    return {one["id"] for one in record["channels"] + record["subscriptions"]}


def deliver(mailbox, hooks, *, since=0):
    """Hand what has arrived to the use case, as the hooks do; return how many notifications were genuine."""
    mailbox.house.sandbox.control("/push?wait_s=10", method="GET")
    return sum(take(mailbox.house.notifications, message) for message in hooks.received[since:])


def take(notifications, message):
    if message.path == "/hooks/google":
        h = {name.lower(): value for name, value in message.headers.items()}
        return notifications.google(
            h["x-goog-channel-id"], h["x-goog-channel-token"], h["x-goog-resource-id"],
            int(h["x-goog-message-number"]), h["x-goog-resource-state"],
        )  # fmt: skip
    return notifications.graph([
        GraphNotification(item["subscriptionId"], item["clientState"], item.get("lifecycleEvent"))
        for item in json.loads(message.body)["value"]
    ])  # fmt: skip


def sync_all(mailbox):
    """Sync everything, and let it rest: what comes now is due at once."""
    for calendar in mailbox.calendars():
        mailbox.sync(calendar)
    mailbox.house.forward(SETTLE)
    mailbox.house.nudge.sent.clear()


def plain(mailbox):
    return mailbox.house.database_url.replace("postgresql+psycopg://", "postgresql://", 1)


def change(mailbox, statement, *values):
    with psycopg.connect(plain(mailbox), autocommit=True) as connection:
        connection.execute(statement, values)


@contextmanager
def statements(mailbox):
    """Collect the first word of every statement of the store, checks of connections apart."""
    seen = []

    def note(_connection, _cursor, statement, *_):
        seen.append(statement.split()[0])

    engines = (mailbox.house.store._reads, mailbox.house.store._writes)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


def watched(mailbox):
    """Watch the own calendar and sync it; return its channel and a way to send a notification of it."""
    house, calendar = mailbox.house, mailbox.main()
    house.channels.open(calendar.id)
    sync_all(mailbox)
    [row] = query(mailbox, "SELECT * FROM channels WHERE calendar_id = %s", calendar.id)
    token = house.channels.tokens.issue(row.id).reveal()

    def send(number=5, token=token):
        if mailbox.provider == "google":
            return house.notifications.google(str(row.id), token, row.resource_id, number, "exists")
        return house.notifications.graph([GraphNotification(row.provider_channel_id, token, None)]) == 1

    return row, send


def state_of(mailbox):
    [row] = query(mailbox, "SELECT * FROM sync_states WHERE calendar_id = %s", mailbox.main().id)
    return row


def test_every_calendar_gets_a_channel_but_those_that_cannot_be_watched(mailbox):
    opened = open_due(mailbox)

    watched = {row.calendar_id for row in channels_of(mailbox)}
    assert set(opened) == {calendar.id for calendar in mailbox.calendars()}
    assert {calendar.name for calendar in mailbox.calendars() if calendar.id not in watched} <= {"Holidays"}
    assert mailbox.main().id in watched
    assert {row.state for row in channels_of(mailbox)} == {"active"}
    assert {row.provider_channel_id for row in channels_of(mailbox)} == sandbox_channels(mailbox)
    assert open_due(mailbox) == ()


def test_holidays_are_polled(google):
    open_due(google)
    holidays = next(calendar for calendar in google.calendars() if calendar.name == "Holidays")
    google.sync(holidays)

    google.house.forward(timedelta(minutes=7))

    assert holidays.id not in google.house.due.channels()
    [state] = query(google, "SELECT * FROM sync_states WHERE calendar_id = %s", holidays.id)
    assert state.due_at <= google.house.clock()


def test_a_change_makes_its_calendar_due_at_once(mailbox, hooks):
    open_due(mailbox)
    sync_all(mailbox)
    deliver(mailbox, hooks)
    sync_all(mailbox)
    assert mailbox.house.due.syncs() == ()
    since = len(hooks.received)

    desk = Desk(mailbox, mailbox.main())
    desk.add("Pushed", monday())

    assert deliver(mailbox, hooks, since=since) >= 1
    # Graph tells of the whole mailbox, so the others are due as well; not all of them are claimed at a time.
    assert mailbox.house.due.syncs() != ()
    assert state_of(mailbox).due_at <= mailbox.house.clock()
    assert "Pushed" in desk.titles(desk.sync())


def test_doubled_notifications_cost_one_run(mailbox, hooks):
    open_due(mailbox)
    sync_all(mailbox)
    operation = {"google": "push.google", "microsoft": "push.graph"}[mailbox.provider]
    mailbox.house.fault(operation, FaultKind.DUPLICATE)
    since = len(hooks.received)
    desk = Desk(mailbox, mailbox.main())
    desk.add("Pushed twice", monday())

    assert deliver(mailbox, hooks, since=since) >= 2
    desk.sync()

    assert state_of(mailbox).requested == state_of(mailbox).completed
    assert mailbox.main().id not in mailbox.house.due.syncs()


def test_forged_and_unknown_notifications_change_nothing(mailbox, hooks):
    open_due(mailbox)
    sync_all(mailbox)
    since, before = len(hooks.received), state_of(mailbox)
    operation = {"google": "push.google", "microsoft": "push.graph"}[mailbox.provider]
    mailbox.house.fault(operation, FaultKind.FORGE, count=None)
    Desk(mailbox, mailbox.main()).add("Announced by a stranger", monday())

    assert deliver(mailbox, hooks, since=since) == 0
    notifications = mailbox.house.notifications
    known = channels_of(mailbox)[0]
    assert not notifications.google("no-uuid", "x", "y", 1, "exists")
    assert not notifications.google(str(known.calendar_id), "x", "y", 1, "exists")
    assert not notifications.google(str(known.id), "", "", None, "exists")
    assert notifications.graph([GraphNotification(known.provider_channel_id, "guess", "subscriptionRemoved")]) == 0

    assert state_of(mailbox) == before
    assert known in channels_of(mailbox)


def test_google_channel_is_replaced_before_it_ends_and_both_serve_for_a_while(google):
    house = google.house
    row, send = watched(google)
    house.forward((row.expires_at - house.clock()) * 0.8)

    assert google.main().id in open_due(google)
    [new] = query(google, "SELECT * FROM channels WHERE calendar_id = %s AND state = 'active'", google.main().id)
    assert new.id != row.id
    assert new.expires_at > row.expires_at
    assert house.channels.tend() == 0
    assert {row.provider_channel_id, new.provider_channel_id} <= sandbox_channels(google)
    assert send()

    house.forward(OVERLAP)

    assert house.channels.tend() == 1
    assert row.provider_channel_id not in sandbox_channels(google)
    assert new.provider_channel_id in sandbox_channels(google)
    assert not send()


def test_graph_subscription_is_prolonged_at_half_its_life(microsoft):
    house = microsoft.house
    row, _ = watched(microsoft)
    house.forward((row.expires_at - house.clock()) * 0.39)
    assert microsoft.main().id not in house.due.channels()
    house.forward((row.expires_at - house.clock()) * 0.2)

    assert microsoft.main().id in open_due(microsoft)

    [prolonged] = query(microsoft, "SELECT * FROM channels WHERE calendar_id = %s", microsoft.main().id)
    assert (prolonged.id, prolonged.state) == (row.id, "active")
    assert prolonged.expires_at > row.expires_at
    assert house.channels.tend() == 0


def test_renewal_that_fails_keeps_the_subscription_and_is_tried_again(microsoft):
    house = microsoft.house
    row, _ = watched(microsoft)
    house.forward((row.expires_at - house.clock()) * 0.55)
    house.fault("graph.subscriptions", FaultKind.STATUS, status=503, count=2)

    waits = []
    for _ in range(2):
        with pytest.raises(ProviderError):
            house.channels.open(microsoft.main().id)
        waits.append(state_of(microsoft).channel_due_at - house.clock())
    assert waits[1] > waits[0] * 1.5
    assert [one.id for one in channels_of(microsoft)] == [row.id]

    house.forward(waits[1])
    assert microsoft.main().id in open_due(microsoft)
    assert sandbox_channels(microsoft) == {one.provider_channel_id for one in channels_of(microsoft)}
    assert state_of(microsoft).channel_failures == 0


def test_all_channels_are_stopped_together(mailbox):
    open_due(mailbox)
    assert sandbox_channels(mailbox)

    mailbox.house.channels.stop_all(mailbox.connection_id)

    assert sandbox_channels(mailbox) == set()
    assert channels_of(mailbox) == []


def test_channel_that_could_not_be_made_is_tried_again(mailbox):
    operation = {"google": "google.watch", "microsoft": "graph.subscriptions"}[mailbox.provider]
    mailbox.house.fault(operation, FaultKind.STATUS, status=500)
    with pytest.raises(ProviderError):
        mailbox.house.channels.open(mailbox.main().id)
    assert channels_of(mailbox) == []

    mailbox.house.forward(timedelta(minutes=9))

    assert mailbox.main().id in open_due(mailbox)
    assert channels_of(mailbox)


def test_calendar_that_leaves_the_list_has_its_channel_stopped(mailbox):
    extra = mailbox.new_calendar()
    open_due(mailbox)
    count = len(sandbox_channels(mailbox))

    mailbox.list_edit("remove", calendar=extra.provider_id)
    mailbox.read_list()
    mailbox.house.channels.tend()

    assert len(sandbox_channels(mailbox)) == count - 1
    assert extra.id not in {row.calendar_id for row in channels_of(mailbox)}


def test_channel_that_cannot_be_stopped_is_tried_again_a_few_times_and_left_to_run_out(mailbox):
    house = mailbox.house
    row, _ = watched(mailbox)
    operation = {"google": "google.channels.stop", "microsoft": "graph.subscriptions"}[mailbox.provider]
    house.fault(operation, FaultKind.STATUS, status=500, count=None)
    change(mailbox, "UPDATE channels SET state = 'stopping' WHERE id = %s", row.id)

    tried = [house.channels.tend()]
    assert house.channels.tend() == 0, "it must rest before the next attempt"
    while channels_of(mailbox) and len(tried) < 20:
        house.forward(timedelta(minutes=20))
        tried.append(house.channels.tend())

    assert tried == [1] * MOST_STOPS
    assert channels_of(mailbox) == []
    assert row.provider_channel_id in sandbox_channels(mailbox)


def test_channel_of_a_paused_calendar_is_stopped_and_made_again_when_it_goes_on(mailbox):
    house, calendar = mailbox.house, mailbox.main()
    row, send = watched(mailbox)

    change(mailbox, "UPDATE calendars SET paused_at = now() WHERE id = %s", calendar.id)
    assert send()
    assert house.nudge.sent == []
    assert house.channels.tend() == 1

    assert row.provider_channel_id not in sandbox_channels(mailbox)
    assert calendar.id not in house.due.channels()
    house.channels.open(calendar.id)
    assert channels_of(mailbox) == []

    change(mailbox, "UPDATE calendars SET paused_at = NULL WHERE id = %s", calendar.id)
    assert calendar.id in open_due(mailbox)
    assert [one.state for one in channels_of(mailbox) if one.calendar_id == calendar.id] == ["active"]


def test_channel_that_was_never_made_goes_and_opens_no_door(microsoft):
    house, calendar = microsoft.house, microsoft.main()
    with house.store.transaction() as tx:
        tx.channels.add(uuid4(), calendar.id, house.clock())
    assert house.notifications.expects_validation()
    house.forward(ABANDONED_AFTER)
    assert not house.notifications.expects_validation()
    house.forward(SETTLE)

    house.channels.tend()

    assert channels_of(microsoft) == []


def test_channel_that_ran_out_is_dropped_and_replaced(mailbox):
    house, calendar = mailbox.house, mailbox.main()
    row, send = watched(mailbox)
    change(mailbox, "UPDATE sync_states SET channel_due_at = %s", row.expires_at + timedelta(days=30))
    house.forward(row.expires_at - house.clock())

    assert not send(), "it has ended"
    house.channels.tend()
    assert channels_of(mailbox) == []

    assert calendar.id in open_due(mailbox)
    assert [one.id for one in channels_of(mailbox)] != [row.id]


def test_channel_whose_calendar_was_given_up_meanwhile_is_stopped_at_once(mailbox):
    house, calendar = mailbox.house, mailbox.main()

    def give_up(url):
        if "watch" in url or "subscriptions" in url:
            house.http.before = lambda _url: None
            change(mailbox, "DELETE FROM channels")

    house.http.before = give_up
    house.channels.open(calendar.id)

    assert channels_of(mailbox) == []
    assert sandbox_channels(mailbox) == set()


def test_channel_is_believed_in_when_notifications_have_proved_to_arrive(mailbox, hooks):
    house, calendar = mailbox.house, mailbox.main()

    def is_believed():
        with house.store.transaction() as tx:
            run = tx.calendars.lease(calendar.id, "reader", 0)
        return run.has_channel

    assert not is_believed()
    house.channels.open(calendar.id)
    # Graph has called us to validate the address; Google's first message is on its way.
    assert is_believed() == (mailbox.provider == "microsoft")
    deliver(mailbox, hooks)
    assert is_believed()
    change(mailbox, "UPDATE channels SET state = 'stopping'")
    assert not is_believed()


def test_notification_while_a_run_is_going_leads_to_one_more_run(mailbox):
    house, calendar = mailbox.house, mailbox.main()
    _, send = watched(mailbox)

    def notify(_url):
        house.http.before = lambda _url: None
        assert all(send(number) for number in (7, 8, 9))

    house.http.before = notify
    assert house.sync.sync(calendar.id).again
    assert house.nudge.sent == [], "the run itself hints when it ends"

    assert calendar.id in house.due.syncs()
    assert not house.sync.sync(calendar.id, only_due=True).again
    assert house.sync.sync(calendar.id, only_due=True) is None
    assert state_of(mailbox).requested == state_of(mailbox).completed


def test_calendar_rests_between_two_runs_that_notifications_ask_for(mailbox):
    house, calendar = mailbox.house, mailbox.main()
    _, send = watched(mailbox)
    mailbox.sync()
    last = state_of(mailbox).last_success_at

    send()
    house.due.syncs()

    assert state_of(mailbox).due_at == last + SETTLE
    house.forward(SETTLE)
    assert calendar.id in house.due.syncs()


def test_w01_only_the_open_channels_own_token_and_resource_count(google):
    house, calendar = google.house, google.main()
    other = google.new_calendar()
    house.channels.open(other.id)
    [stranger] = channels_of(google)
    row, _ = watched(google)
    own, theirs = house.channels.tokens.issue(row.id).reveal(), house.channels.tokens.issue(stranger.id).reveal()
    before = state_of(google)

    def notify(channel_id=row.id, token=own, resource=row.resource_id):
        return house.notifications.google(str(channel_id), token, resource, 5, "exists")

    assert not any((
        notify(token=""), notify(token=own[:-1]), notify(token=theirs), notify(token=own.upper() + "x"),
        notify(channel_id=uuid4()), notify(channel_id="no-uuid"), notify(channel_id=stranger.id),
        notify(resource=stranger.resource_id), notify(resource=""),
    ))  # fmt: skip
    assert house.nudge.sent == []
    assert calendar.id not in house.due.syncs()
    assert state_of(google) == before
    assert row in channels_of(google)

    assert notify()
    house.channels.stop_all(google.connection_id)
    assert not notify()


def test_w02_replayed_and_reordered_numbers_make_a_calendar_dirty_and_nothing_else(google):
    house, calendar = google.house, google.main()
    row, send = watched(google)
    token = house.channels.tokens.issue(row.id).reveal()

    assert all(send(number) for number in (9, 9, 3, 10, 2))
    assert all(house.notifications.google(str(row.id), token, row.resource_id, 1, "sync") for _ in range(3))

    assert house.nudge.sent == [("sync", calendar.id)]
    [kept] = query(google, "SELECT * FROM channels WHERE id = %s", row.id)
    assert kept.message_number == 9, "what adds nothing is not written"
    requested = state_of(google).requested
    assert calendar.id in house.due.syncs()
    assert state_of(google).requested == requested + 1


def test_w04_a_notification_costs_one_read_and_one_write_and_waits_for_no_run(mailbox):
    house, calendar = mailbox.house, mailbox.main()
    _, send = watched(mailbox)

    with psycopg.connect(plain(mailbox)) as run:
        # As long as a large round is being applied.
        run.execute("SELECT 1 FROM sync_states WHERE calendar_id = %s FOR UPDATE", (calendar.id,))
        with statements(mailbox) as seen:
            assert send()
        assert house.due.syncs() == ()
        run.rollback()

    assert seen == ["SELECT", "UPDATE"]
    assert calendar.id in house.due.syncs()


def test_w05_a_wrong_client_state_spoils_its_own_element_alone(microsoft):
    house = microsoft.house
    other = microsoft.new_calendar()
    house.channels.open(other.id)
    [second] = channels_of(microsoft)
    row, _ = watched(microsoft)
    first_token, second_token = (house.channels.tokens.issue(one.id).reveal() for one in (row, second))

    taken = house.notifications.graph([
        GraphNotification(second.provider_channel_id, first_token, None),
        GraphNotification(second.provider_channel_id, "", None),
        GraphNotification(str(uuid4()), first_token, None),
        GraphNotification(row.provider_channel_id, first_token, None),
        GraphNotification(row.provider_channel_id, second_token, None),
    ])  # fmt: skip

    assert taken == 1
    assert house.nudge.sent == [("sync", microsoft.main().id)]
    assert house.due.syncs() == (microsoft.main().id,)


@pytest.mark.parametrize("lifecycle", ["missed", "reauthorizationRequired", "subscriptionRemoved"])
def test_w08_a_lifecycle_event_that_comes_three_times_has_one_effect(microsoft, hooks, lifecycle):
    house, calendar = microsoft.house, microsoft.main()
    row, _ = watched(microsoft)
    house.forward(LIFECYCLE_APART * 2)
    change(
        microsoft, "UPDATE sync_states SET check_due_at = now() + interval '1 day', due_at = now() + interval '1 day'"
    )
    asked, since = len(house.http.asked), len(hooks.received)
    for _ in range(3):
        house.sandbox.control("/lifecycle", account=microsoft.account, event=lifecycle)
    deliver(microsoft, hooks, since=since)

    assert house.nudge.sent.count(("sync", calendar.id)) + house.nudge.sent.count(("channel", calendar.id)) >= 1
    assert calendar.id in house.due.syncs()
    assert (state_of(microsoft).check_due_at <= house.clock()) == (lifecycle == "missed")
    for _ in range(3):
        # A hint for each of the three may be under way.
        house.channels.open(calendar.id, only_due=True)
    again = [GraphNotification(row.provider_channel_id, house.channels.tokens.issue(row.id).reveal(), lifecycle)]
    house.notifications.graph(again)
    house.channels.open(calendar.id, only_due=True)

    calls = sum("subscriptions" in url for url in house.http.asked[asked:])
    # A new subscription is asked for twice: first for the one calendar, which not every mailbox can do.
    assert calls == {"missed": 0, "reauthorizationRequired": 1, "subscriptionRemoved": 2}[lifecycle]
    house.channels.tend()
    [kept] = [one for one in channels_of(microsoft) if one.calendar_id == calendar.id]
    assert (kept.id == row.id) == (lifecycle != "subscriptionRemoved")
    assert {kept.provider_channel_id} <= sandbox_channels(microsoft)
    assert house.sync.sync(calendar.id, only_due=True) is not None
    assert house.sync.sync(calendar.id, only_due=True) is None


def test_w08_unknown_lifecycle_events_are_left_alone(microsoft, caplog):
    house = microsoft.house
    row, _ = watched(microsoft)
    before = state_of(microsoft)
    token = house.channels.tokens.issue(row.id).reveal()
    caplog.set_level("INFO")

    assert house.notifications.graph([GraphNotification(row.provider_channel_id, token, "somethingNew")]) == 1

    assert "somethingNew" in caplog.text
    assert house.nudge.sent == []
    assert house.due.syncs() == ()
    assert state_of(microsoft) == before


def test_w09_a_flood_writes_one_row_and_sends_one_hint_for_every_run(mailbox):
    house, calendar = mailbox.house, mailbox.main()
    _, send = watched(mailbox)
    requested = state_of(mailbox).requested

    with statements(mailbox) as seen:
        assert sum(send(number) for number in range(200)) == 200
        assert sum(send(number, token="guessed") for number in range(200)) == 0

    assert seen.count("UPDATE") == 1
    assert len(seen) == 201, "forged ones ask nobody"
    assert house.nudge.sent == [("sync", calendar.id)]
    assert house.due.syncs() == (calendar.id,)
    assert state_of(mailbox).requested == requested + 1
    assert house.sync.sync(calendar.id, only_due=True) is not None
    assert house.sync.sync(calendar.id, only_due=True) is None
