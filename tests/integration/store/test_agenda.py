"""A person's time line."""

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from app.domain.calendars import Busy, Window
from tests.integration.store.rows import NOW, TODAY, all_day, changes, exception, master, occurrence, single

HOUR = timedelta(hours=1)


def ids(rows, person_id, start, end, limit=100):
    return [item.occurrence.source_id for item in rows.occurrences(person_id, Window(start, end), limit)]


@pytest.mark.parametrize(
    ("start", "length", "is_in"),
    [
        (-2 * HOUR, HOUR, False),
        (-HOUR, HOUR, False),
        (-HOUR, HOUR + timedelta(microseconds=1), True),
        (timedelta(), HOUR, True),
        (timedelta(), timedelta(), True),
        (23 * HOUR, 5 * HOUR, True),
        (-HOUR, 30 * HOUR, True),
        (24 * HOUR, HOUR, False),
        (24 * HOUR, timedelta(), False),
        (timedelta(days=-20), timedelta(days=21), True),
        (timedelta(days=-400), timedelta(days=800), True),
        (timedelta(days=-400), timedelta(days=300), False),
        (timedelta(days=-31), timedelta(days=31, hours=1), True),
        (timedelta(days=-31), timedelta(days=31), False),
    ],
)
def test_what_overlaps_the_window_is_in_it(store, rows, start, length, is_in):
    calendar = rows.synced([single("e-1", NOW + start, length)])

    assert ids(rows, calendar.person_id, NOW, NOW + timedelta(days=1)) == (["e-1"] if is_in else [])


def test_items_come_in_order_of_time_and_no_more_than_asked_for(store, rows):
    events = [single(f"e-{n}", NOW + n * HOUR) for n in (3, 1, 2, 0)] + [
        single("long", NOW - timedelta(days=40), timedelta(days=80))
    ]
    calendar = rows.synced([*events, all_day("day", TODAY + timedelta(days=1))])

    assert ids(rows, calendar.person_id, NOW, NOW + timedelta(days=2)) == ["long", "e-0", "e-1", "e-2", "e-3", "day"]
    assert ids(rows, calendar.person_id, NOW, NOW + timedelta(days=2), limit=2) == ["long", "e-0"]


def test_an_all_day_item_comes_before_the_timed_ones_of_its_day(store, rows):
    midnight = datetime(2026, 11, 24, tzinfo=UTC)
    calendar = rows.synced([single("timed", midnight), all_day("day", date(2026, 11, 24))])

    assert ids(rows, calendar.person_id, midnight, midnight + timedelta(days=1)) == ["day", "timed"]


@pytest.mark.parametrize(
    ("zone", "start_hour_utc", "expected"),
    [("UTC", 0, ["24"]), ("Europe/Berlin", 23 - 24, ["24"]), ("America/Los_Angeles", 8, ["24"])],
)
def test_all_day_items_count_by_the_persons_dates(store, rows, zone, start_hour_utc, expected):
    days = [all_day(str(day), date(2026, 11, day)) for day in (23, 24, 25)]
    calendar = rows.synced(days)
    with store.transaction() as tx:
        tx.people.set_time_zone(calendar.person_id, zone)
    local_midnight = datetime(2026, 11, 24, tzinfo=UTC) + start_hour_utc * HOUR

    assert ids(rows, calendar.person_id, local_midnight, local_midnight + timedelta(days=1)) == expected


def test_a_zone_nobody_knows_does_not_stop_the_page(store, rows, peek):
    calendar = rows.synced([all_day("day", TODAY)])
    peek("UPDATE people SET time_zone = 'Moon/Crater'")

    assert ids(rows, calendar.person_id, NOW, NOW + HOUR) == ["day"]


def test_an_all_day_item_of_several_days_is_in_each_of_them(store, rows):
    calendar = rows.synced([all_day("trip", TODAY, days=3)])

    for day in range(3):
        assert ids(rows, calendar.person_id, NOW + timedelta(days=day), NOW + timedelta(days=day, hours=1)) == ["trip"]
    assert ids(rows, calendar.person_id, NOW + timedelta(days=3), NOW + timedelta(days=4)) == []


def test_an_item_says_whose_and_what_it_is(store, rows):
    event = single(
        "e-1", summary="Review", location="Room 1", privacy="private", html_link="https://x.test", busy=Busy.TENTATIVE
    )
    calendar = rows.synced([event])

    (item,) = rows.occurrences(calendar.person_id)

    assert (item.summary, item.location, item.privacy, item.html_link) == (
        "Review",
        "Room 1",
        "private",
        "https://x.test",
    )
    assert (item.calendar_name, item.provider, item.account_email) == ("Work", "google", "ada@example.test")
    assert (item.status, item.is_recurring, item.occurrence) == ("confirmed", False, occurrence(event))


def test_an_instance_shows_the_content_of_its_exception(store, rows):
    series, changed = master("m-1", summary="Daily"), exception("x-1", "m-1", summary="Special")
    found = (
        occurrence(series, "20261123T120000Z"),
        occurrence(changed, "20261124T120000Z", series_id="m-1", start=NOW + HOUR, end=NOW + 2 * HOUR),
    )
    calendar = rows.synced([series, changed], series=[("m-1", found)])

    items = rows.occurrences(calendar.person_id)

    assert [(item.summary, item.is_recurring) for item in items] == [("Daily", True), ("Special", True)]


def test_time_is_taken_even_if_its_event_is_not_stored(store, rows):
    lost = single("m-9")
    calendar = rows.synced([], series=[("m-9", (occurrence(lost, "20261123T120000Z"),))])

    (item,) = rows.occurrences(calendar.person_id)

    assert (item.summary, item.status, item.privacy) == (None, "confirmed", "default")


def test_a_person_sees_all_own_accounts_and_no_others(store, rows):
    person = rows.person("me")
    one = rows.synced([single("one")], rows.calendar(rows.connection("a", person=person)))
    rows.synced([single("two", NOW + HOUR)], rows.calendar(rows.connection("b", person=person)))
    rows.synced([single("other")], rows.calendar(rows.connection("c")))

    assert ids(rows, one.person_id, NOW, NOW + timedelta(days=1)) == ["one", "two"]


def test_an_empty_window_of_a_stranger_is_empty(store, rows):
    calendar = rows.synced([])

    assert ids(rows, calendar.id, NOW, NOW + HOUR) == []


def test_the_look_goes_through_the_index_made_for_it(store, rows, database_url):
    many = [single(f"e-{n}", NOW + timedelta(minutes=30 * n)) for n in range(-9000, 9000)]
    calendar = rows.synced([])
    rows.apply(calendar, changes(many))
    engine = create_engine(database_url, poolclass=NullPool)
    query = (
        "EXPLAIN SELECT * FROM occurrences WHERE NOT all_day AND person_id = :person AND start_at < :end"
        " AND end_at > :start AND start_at > :start - interval '31 days' ORDER BY start_at LIMIT 100"
    )

    with engine.connect() as connection:
        connection.execute(text("ANALYZE occurrences"))
        plan = connection.execute(
            text(query), {"person": calendar.person_id, "start": NOW, "end": NOW + timedelta(days=7)}
        ).scalars()
        assert any("ix_occurrences_person_id_start_at" in line for line in plan)
    engine.dispose()
