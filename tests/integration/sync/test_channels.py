"""Push is a hint: channels are made, renewed and stopped; what arrives changes nothing but timing."""

import json
from datetime import timedelta

import pytest

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
    for calendar in mailbox.calendars():
        mailbox.sync(calendar)


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
    assert holidays.id in google.house.due.syncs()


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
    assert mailbox.main().id in mailbox.house.due.syncs()
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


def test_channel_is_renewed_before_it_ends_and_the_replaced_one_is_stopped(mailbox):
    open_due(mailbox)
    before = {row.calendar_id: row for row in channels_of(mailbox)}
    ends_at = min(row.expires_at for row in before.values())
    mailbox.house.forward((ends_at - mailbox.house.clock()) * 0.8)

    assert set(open_due(mailbox)) == set(before)
    active = {row.calendar_id: row for row in channels_of(mailbox) if row.state == "active"}
    assert set(active) == set(before)
    assert all(active[key].expires_at > row.expires_at for key, row in before.items())
    is_same = mailbox.provider == "microsoft"
    assert all((active[key].id == row.id) == is_same for key, row in before.items())

    assert mailbox.house.channels.stop_pending() == (0 if is_same else len(before))
    assert sandbox_channels(mailbox) == {row.provider_channel_id for row in active.values()}
    assert [row.state for row in channels_of(mailbox)] == ["active"] * len(before)


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

    mailbox.house.forward(timedelta(minutes=6))

    assert mailbox.main().id in open_due(mailbox)
    assert channels_of(mailbox)


@pytest.mark.parametrize("event", ["missed", "reauthorizationRequired", "subscriptionRemoved"])
def test_lifecycle_events_of_graph(microsoft, hooks, event):
    open_due(microsoft)
    sync_all(microsoft)
    before, since = sandbox_channels(microsoft), len(hooks.received)

    microsoft.house.sandbox.control("/lifecycle", account=microsoft.account, event=event)
    assert deliver(microsoft, hooks, since=since) == len(before)

    assert microsoft.main().id in microsoft.house.due.syncs()
    reopened = open_due(microsoft)
    assert bool(reopened) == (event != "missed")
    after = sandbox_channels(microsoft)
    assert {row.provider_channel_id for row in channels_of(microsoft)} == after
    assert len(after) == len(before)
    assert (after == before) == (event != "subscriptionRemoved")


def test_calendar_that_leaves_the_list_has_its_channel_stopped(mailbox):
    extra = mailbox.new_calendar()
    open_due(mailbox)
    count = len(sandbox_channels(mailbox))

    mailbox.list_edit("remove", calendar=extra.provider_id)
    mailbox.read_list()
    mailbox.house.channels.stop_pending()

    assert len(sandbox_channels(mailbox)) == count - 1
    assert extra.id not in {row.calendar_id for row in channels_of(mailbox)}
