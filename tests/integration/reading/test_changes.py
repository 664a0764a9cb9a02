"""`/v1/changes`: nothing is missed, nothing comes out of order, and the beginning can be read again and again."""

from __future__ import annotations

import random
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import text

from app.domain.calendars import EventStatus
from app.ports import Block
from app.web.api.page_cursors import feed_cursor, read_position
from tests.integration.reading.room import NOW, exception, master, single

HOUR = timedelta(hours=1)


class Copy:
    """What a reader keeps by following the feed as its description says."""

    def __init__(self, room, reader, **query):
        self.room, self.reader, self.query = room, reader, query
        self.cursor = None
        self.events = {}
        self.order = []

    def follow(self):
        """Read until nothing more is there; returns the number of changes that came."""
        came = 0
        while True:
            more = {"cursor": self.cursor} if self.cursor else {}
            answer = self.room.get("/v1/changes", self.reader, **self.query, **more)
            assert answer.status_code == 200, answer.json
            came += len(answer.json["changes"])
            for change in answer.json["changes"]:
                self._apply(change)
            self.cursor = answer.json["next_cursor"]
            if "calendars" in answer.json:
                seen = set(answer.json["calendars"])
                self.events = {key: one for key, one in self.events.items() if key[0] in seen}
            if not answer.json["has_more"]:
                return came

    def _apply(self, change):
        key = change["calendar_id"], change["event_id"]
        self.order.append((change["calendar_id"], change["seq"]))
        if change["removed"]:
            self.events.pop(key, None)
        else:
            self.events[key] = change

    def titles(self):
        return {key[1]: one["event"]["title"] for key, one in self.events.items()}


def replayed(room, reader, **query):
    copy = Copy(room, reader, **query)
    copy.follow()
    return copy


def test_an_event_comes_whole_and_a_removed_one_as_such(room):
    reader = room.service()
    _, _, work = room.calendar_of("ada")
    gone = exception("d_1", "daily", "20261124T080000Z", status=EventStatus.CANCELLED)
    room.put(work, master("daily", NOW.replace(hour=8), HOUR, "RRULE:FREQ=DAILY;COUNT=3"), gone)
    room.put(work, single("meeting"))
    copy = Copy(room, reader)

    assert copy.follow() == 2
    daily = copy.events[str(work), "daily"]
    assert [one["recurrence_id"] for one in daily["occurrences"]] == ["20261123T080000Z", "20261125T080000Z"]
    assert [one["status"] for one in daily["event"]["exceptions"]] == ["cancelled"]
    assert copy.follow() == 0

    room.remove(work, "meeting")
    again = room.get("/v1/changes", reader, cursor=copy.cursor).json

    assert [(one["event_id"], one["removed"]) for one in again["changes"]] == [("meeting", True)]
    assert again["changes"][0].keys() == {"calendar_id", "event_id", "seq", "changed_at", "removed"}
    # A replay tells of the removed one, too, and ends in the same set.
    assert room.get("/v1/changes", reader).json["changes"][-1]["removed"] is True
    assert copy.follow() == 1
    assert replayed(room, reader).events == copy.events


def test_a_commit_that_comes_late_is_not_missed(room):
    reader = room.service()
    _, connection, work = room.calendar_of("ada")
    slow = room.calendar(connection, "Slow")
    copy = Copy(room, reader)

    with room.engine.connect() as late:
        with late.begin():
            # Takes its number first and commits last, when a reader has long seen what came after it.
            room.put(slow, single("late"), using=late)
            room.put(work, single("early"))
            copy.follow()
            assert copy.titles() == {"early": "Event early"}
        copy.follow()

    assert set(copy.titles()) == {"early", "late"}


def test_pages_of_one_round_are_in_order_and_later_writes_wait_for_the_next(room):
    reader = room.service()
    _, connection, work = room.calendar_of("ada")
    other = room.calendar(connection, "Other")
    for number in range(6):
        room.put(work if number % 2 else other, single(f"e{number}"))
    first = room.get("/v1/changes", reader, limit=2).json
    # Rewritten while the round is under way: its first state is gone, its last one comes once.
    room.put(work, single("e1", summary="Rewritten"))
    room.put(other, single("e0", summary="Rewritten"))

    copy = Copy(room, reader, limit=2)
    copy.cursor = first["next_cursor"]
    copy.order = [(one["calendar_id"], one["seq"]) for one in first["changes"]]
    came = copy.follow()

    assert first["has_more"] is True
    assert "calendars" not in first
    # Two in the first page, and of the other four all but the one whose first state nobody can read any more.
    assert came == 3
    assert copy.order == sorted(copy.order)
    assert (copy.follow(), copy.follow()) == (2, 0)
    assert copy.titles().items() >= {("e0", "Rewritten"), ("e1", "Rewritten")}


def test_any_reader_ends_with_what_is_there(room):
    """Random writers, commits out of order, readers with pages of any size, calendars that come and go."""
    chance = random.Random(20)
    reader = room.service()
    _, connection, first = room.calendar_of("ada")
    grace, _, hers = room.calendar_of("grace")
    places = [first, hers, *(room.calendar(connection, f"C{number}") for number in range(3))]
    copies = [Copy(room, reader, limit=limit) for limit in (1, 3, 100)]
    block = Block(room.known().id, NOW, None)
    for step in range(40):
        place, name = chance.choice(places), f"e{chance.randrange(6)}"
        if chance.random() < 0.2:
            room.remove(place, name)
        else:
            room.put(place, single(name, summary=f"Step {step}"))
        if step % 10 in {4, 8}:
            with room.store.transaction() as tx:
                tx.policies.block(grace, block) if step % 10 == 4 else tx.policies.unblock(grace, block.service_id)
        if chance.random() < 0.3:
            _one_page(chance.choice(copies))

    for copy in copies:
        copy.follow()
        copy.follow()
    stored = room.run(
        text("SELECT calendar_id::text, provider_id, summary FROM events ORDER BY calendar_id, provider_id")
    ).all()

    for copy in (*copies, replayed(room, reader)):
        assert sorted((*key, one["event"]["title"]) for key, one in copy.events.items()) == sorted(map(tuple, stored))


def _one_page(copy):
    more = {"cursor": copy.cursor} if copy.cursor else {}
    answer = copy.room.get("/v1/changes", copy.reader, **copy.query, **more).json
    for change in answer["changes"]:
        copy._apply(change)
    if "calendars" in answer:
        copy.events = {key: one for key, one in copy.events.items() if key[0] in set(answer["calendars"])}
    copy.cursor = answer["next_cursor"]


def test_calendars_that_become_visible_later_come_from_their_beginning(room):
    reader = room.service(people=frozenset({"tenant:elsewhere.test"}))
    _, connection, work = room.calendar_of("ada")
    room.put(work, single("old"))
    copy = Copy(room, reader)
    copy.follow()
    assert copy.events == {}

    room.allow("reader")
    copy.follow()
    assert set(copy.titles()) == {"old"}

    room.change_connection(connection, paused_until=NOW + timedelta(days=36500))
    answer = room.get("/v1/changes", reader, cursor=copy.cursor).json
    assert answer["calendars"] == []
    assert [one["reason"] for one in answer["refused"]] == ["paused_by_user"]
    copy.follow()
    assert copy.events == {}

    room.change_connection(connection, paused_until=None)
    copy.follow()
    assert set(copy.titles()) == {"old"}


def test_a_cursor_serves_only_what_it_was_made_for(room):
    reader, other = room.service(), room.service("other")
    ada, _, work = room.calendar_of("ada")
    room.put(work, single("meeting"))
    cursor = room.get("/v1/changes", reader).json["next_cursor"]
    with room.app.app_context():
        position = read_position(cursor)
        elsewhere = feed_cursor(replace(position, database=b"12345678"))

    def refused(headers=reader, **query):
        answer = room.get("/v1/changes", headers, **query)
        return answer.status_code, answer.json["error"], answer.json["reason"]

    assert refused(cursor=elsewhere) == (410, "invalid_request", "cursor_expired")
    damaged = (400, "invalid_request", "cursor_damaged")
    assert refused(cursor=cursor[:-1]) == damaged
    assert refused(cursor=cursor.swapcase()) == damaged
    assert refused(cursor="%%%") == damaged
    assert refused(cursor=cursor, user=str(ada)) == damaged
    assert refused(cursor=cursor, purpose="another") == damaged
    assert refused(other, cursor=cursor) == damaged


def test_after_a_restore_into_another_cluster_everything_is_told_from_the_beginning_and_once(room):
    reader = room.service()
    _, _, work = room.calendar_of("ada")
    room.put(work, single("one"))
    room.put(work, single("two"))
    with room.engine.begin() as connection:
        # As the dump of a cluster that has counted further.
        connection.execute(text("UPDATE changes SET written_by = written_by + 1000000"))

    copy = Copy(room, reader)

    assert copy.follow() == 2
    assert copy.follow() == 0
    room.put(work, single("two", summary="Rewritten"))
    assert copy.follow() == 1


@contextmanager
def restored_changes(room):
    """Have the table made anew, as `pg_restore --clean` does; the old one is back afterwards."""
    with room.engine.begin() as connection:
        connection.execute(text("ALTER TABLE changes RENAME TO changes_before"))
        connection.execute(text("CREATE TABLE changes (LIKE changes_before INCLUDING ALL)"))
        connection.execute(text("INSERT INTO changes SELECT * FROM changes_before"))
    try:
        yield
    finally:
        with room.engine.begin() as connection:
            connection.execute(text("DROP TABLE changes"))
            connection.execute(text("ALTER TABLE changes_before RENAME TO changes"))


def test_cursors_end_with_a_restore_into_the_same_database(room):
    reader = room.service()
    _, _, work = room.calendar_of("ada")
    room.put(work, single("one"))
    copy = Copy(room, reader)
    copy.follow()
    with restored_changes(room):
        assert room.get("/v1/changes", reader, cursor=copy.cursor).status_code == 410
        assert replayed(room, reader).events.keys() == copy.events.keys()


def test_a_reader_may_follow_one_person(room):
    reader = room.service()
    (ada, _, work), (_, _, home) = room.calendar_of("ada"), room.calendar_of("grace")
    room.put(work, single("hers"))
    room.put(home, single("not-hers"))

    assert set(replayed(room, reader, user=str(ada)).titles()) == {"hers"}
