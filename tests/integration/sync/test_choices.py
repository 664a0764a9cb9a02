"""What people do with their calendars: paused ones stay, left out ones go, and readers of changes learn of it."""

from __future__ import annotations

from uuid import uuid4

import psycopg
import pytest

from app.domain.errors import UnknownConnection
from app.services.calendar_choices import CalendarChoices, Choice
from tests.integration.sync.desk import Desk, monday


def rows(house, statement, *values):
    with psycopg.connect(house.database_url.replace("+psycopg", "", 1), autocommit=True) as connection:
        return connection.execute(statement, values).fetchall()


@pytest.fixture
def mailbox(house):
    mailbox = house.connect("google", "ada")
    mailbox.sync()
    return mailbox


@pytest.fixture
def choose(house, mailbox):
    calendar = mailbox.main()
    choices = CalendarChoices(house.store, house.nudge, house.clock)
    return lambda choice: choices.choose(calendar.person_id, mailbox.connection_id, {calendar.id: choice})


def held(house, calendar):
    """Return how many events and occurrences of a calendar are stored."""
    [[events]] = rows(house, "SELECT count(*) FROM events WHERE calendar_id = %s", calendar.id)
    [[occurrences]] = rows(house, "SELECT count(*) FROM occurrences WHERE calendar_id = %s", calendar.id)
    return events, occurrences


def test_left_out_nothing_is_kept_and_chosen_again_everything_is_back(house, mailbox, choose):
    calendar = mailbox.main()
    before = held(house, calendar)
    changes = "SELECT count(*) FILTER (WHERE is_removed), count(*) FROM changes WHERE calendar_id = %s"

    changed = choose(Choice.LEAVE_OUT)
    gone, told = held(house, calendar), rows(house, changes, calendar.id)
    again = choose(Choice.LEAVE_OUT)
    choose(Choice.SYNC)
    mailbox.sync()

    assert (changed, again) == (1, 0)
    assert gone == (0, 0)
    assert told[0][0] == told[0][1] > 0, "readers must learn that every event went"
    assert held(house, calendar) == before
    assert rows(house, changes, calendar.id)[0][0] == 0


def test_paused_it_stays_and_is_not_synced_until_it_is_resumed(house, mailbox, choose):
    calendar = mailbox.main()
    before = held(house, calendar)

    choose(Choice.PAUSE)
    Desk(mailbox, calendar).add("While paused", monday(1, 9))
    nothing = house.sync.sync(calendar.id)
    due, kept = house.due.syncs(), held(house, calendar)
    choose(Choice.SYNC)
    mailbox.sync()

    assert nothing is None
    assert calendar.id not in due
    assert kept == before
    assert rows(house, "SELECT 1 FROM events WHERE summary = 'While paused'") == [(1,)]
    chosen = "SELECT detail->>'choice' FROM audit_events WHERE kind = 'calendar_chosen' ORDER BY id"
    assert rows(house, chosen) == [("pause",), ("sync",)]


def test_nobody_chooses_for_somebody_else(house, mailbox):
    choices = CalendarChoices(house.store, house.nudge, house.clock)

    with pytest.raises(UnknownConnection):
        choices.choose(uuid4(), mailbox.connection_id, {mailbox.main().id: Choice.LEAVE_OUT})

    assert mailbox.main().is_selected
