"""The chain: append-only, gap-free, and any change to it shows."""

from __future__ import annotations

import json
import os
import threading
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from app.crypto.keyring import Keyring
from app.crypto.sealing import build_sealer
from app.domain.audit import EMPTY, Head, line_of
from app.services.audit_chain import EVENTS_AT_ONCE, AuditChain
from tests.integration.audit.conftest import KEY, NOW, Desk, an_entry

NOT_IN_RING = "chained with a key that is not in the key ring"


def filled(desk: Desk, count: int = 5) -> Head:
    desk.chain.chain([line_of(an_entry(detail={"number": number})) for number in range(count)])
    return desk.chain.verify().head


def test_an_empty_log_is_sound(desk: Desk) -> None:
    verdict = desk.chain.verify()

    assert (verdict.head, verdict.fault, verdict.keys) == (EMPTY, None, ())


def test_what_comes_out_is_what_went_in(desk: Desk) -> None:
    entry = an_entry(
        person_id=uuid4(),
        detail={
            "purpose": 'a\tb\n\\n "quoted" Ünïcode 🗓 \x7f',
            "scopes": ["x", "\\x41"],
            "count": 2**60,
            "is": True,
            "no": None,
        },
    )

    desk.chain.chain([line_of(entry)])

    [logged] = desk.chain.entries()
    assert logged.entry == entry
    assert logged.seq == 1
    assert desk.chain.verify().fault is None


@pytest.mark.parametrize(
    ("tampering", "head", "fault"),
    [
        ("UPDATE audit_log SET detail = '{\"number\": 7}' WHERE seq = 3", 2, "changed"),
        ("UPDATE audit_log SET kind = 'hand_out.denied' WHERE seq = 3", 2, "changed"),
        ("UPDATE audit_log SET at = at + interval '1 microsecond' WHERE seq = 3", 2, "changed"),
        ("UPDATE audit_log SET recorded_at = recorded_at - interval '1 hour' WHERE seq = 1", 0, "changed"),
        ("UPDATE audit_log SET person_id = service_id, service_id = NULL WHERE seq = 5", 4, "changed"),
        ("UPDATE audit_log SET id = gen_random_uuid() WHERE seq = 3", 2, "changed"),
        ("DELETE FROM audit_log WHERE seq = 3", 2, "missing"),
        ("DELETE FROM audit_log WHERE seq = 1", 0, "missing"),
        # Removed, and the gap closed.
        ("DELETE FROM audit_log WHERE seq = 3; UPDATE audit_log SET seq = seq - 1 WHERE seq > 3", 2, "changed"),
        # Inserted at the end with another's code, and in between.
        (
            (
                "INSERT INTO audit_log SELECT 6, gen_random_uuid(), kind, at, recorded_at, service_id, person_id,"
                " connection_id, detail, key_id, mac FROM audit_log WHERE seq = 5"
            ),
            5,
            "changed",
        ),
        # Two change places.
        (
            (
                "UPDATE audit_log SET seq = -2 WHERE seq = 2; UPDATE audit_log SET seq = 2 WHERE seq = 3;"
                " UPDATE audit_log SET seq = 3 WHERE seq = -2"
            ),
            1,
            "changed",
        ),
        ("UPDATE audit_log SET key_id = '\\x00000000' WHERE seq = 4", 3, NOT_IN_RING),
    ],
)  # fmt: skip
def test_tampering_shows_where_it_begins(desk: Desk, tampering: str, head: int, fault: str) -> None:
    filled(desk)

    for statement in tampering.split(";"):
        desk.rows(statement)

    verdict = desk.chain.verify()
    assert (verdict.head.seq, verdict.fault) == (head, fault)


def test_a_cut_tail_shows_against_a_noted_head(desk: Desk) -> None:
    noted = filled(desk)
    desk.rows("DELETE FROM audit_log WHERE seq > 3")

    assert desk.chain.verify().fault is None
    assert desk.chain.verify(noted).fault == "missing"
    # Other entries in the place of those that were cut.
    filled(desk)
    verdict = desk.chain.verify(noted)
    assert (verdict.head.seq, verdict.fault) == (4, "not the noted one")


def test_a_noted_head_is_found_again_in_a_longer_log(desk: Desk) -> None:
    noted = filled(desk)
    filled(desk, 3)

    verdict = desk.chain.verify(noted)

    assert (verdict.head.seq, verdict.fault) == (8, None)


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_log SET kind = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"]
)
def test_the_database_refuses_changes(desk: Desk, statement: str) -> None:
    head = filled(desk)

    with pytest.raises(DBAPIError, match="append-only"), desk.store.transaction() as tx:
        tx.audit_log._connection.exec_driver_sql(statement)

    assert desk.chain.verify().head == head


def test_old_entries_stay_verifiable_under_a_new_key(desk: Desk) -> None:
    filled(desk, 2)
    ring = {"k1": KEY, "k2": os.urandom(32)}
    rotated = AuditChain(desk.store, build_sealer(Keyring(ring, "k2", "k2")))

    rotated.chain([line_of(an_entry())])

    verdict = rotated.verify()
    assert (verdict.head.seq, verdict.fault) == (3, None)
    assert [seq for seq, _ in verdict.keys] == [1, 3]
    assert desk.chain.verify().fault == NOT_IN_RING


def test_another_ring_cannot_make_the_codes(desk: Desk) -> None:
    filled(desk)

    stranger = AuditChain(desk.store, build_sealer(Keyring({"k1": os.urandom(32)}, "k1")))

    assert (stranger.verify().head, stranger.verify().fault) == (EMPTY, "changed")


def test_events_are_chained_in_their_order_and_leave_their_table(desk: Desk) -> None:
    kinds = [f"event_{letter}" for letter in "abcdefgh"]
    for kind in kinds:
        desk.happened(kind)

    desk.chain.collect()

    assert [row[0] for row in desk.rows("SELECT kind FROM audit_log ORDER BY seq")] == kinds
    assert desk.rows("TABLE audit_events") == []
    assert desk.chain.verify().fault is None


def test_an_event_that_commits_late_is_not_passed_over(desk: Desk) -> None:
    with desk.store.transaction() as tx:
        tx.audit.event("slow", NOW)
        desk.happened("quick")
        desk.chain.collect()

    desk.chain.collect()

    assert desk.rows("SELECT kind FROM audit_log ORDER BY seq") == [("quick",), ("slow",)]


def test_more_events_than_one_round_takes_are_all_taken(desk: Desk) -> None:
    desk.happened(*["event"] * (2 * EVENTS_AT_ONCE + 1))

    desk.chain.collect()

    assert len(desk.logged()) == 2 * EVENTS_AT_ONCE + 1


def test_a_repeated_batch_changes_nothing(desk: Desk) -> None:
    lines = [line_of(an_entry()) for _ in range(3)]
    desk.chain.chain(lines[:2])

    desk.chain.chain(lines)
    desk.chain.chain([*lines, *lines])

    assert len(desk.logged()) == 3
    assert desk.chain.verify().fault is None


def test_a_round_that_fails_leaves_everything_as_it_was(desk: Desk) -> None:
    desk.happened("kept")
    unfit = line_of(an_entry()).replace("{", "{{")

    with pytest.raises(psycopg.DataError):
        desk.chain.chain([unfit])

    assert desk.logged() == []
    desk.chain.collect()
    assert desk.rows("SELECT kind FROM audit_log") == [("kept",)]


def test_many_chainers_at_once_leave_no_gap_and_no_double(desk: Desk) -> None:
    lines = [line_of(an_entry()) for _ in range(300)]
    desk.happened(*["event"] * 300)
    failures: list[BaseException] = []

    def run(offset: int) -> None:
        try:
            # Neighbours overlap: every line comes twice.
            for start in range(offset, 300, 30):
                desk.chain.chain(lines[start : start + 20])
        except BaseException as error:  # noqa: BLE001  # shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(offset,)) for offset in (0, 10, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert len(desk.logged()) == 600
    assert desk.chain.verify().fault is None


def test_a_history_holds_events_before_and_after_they_are_chained_and_no_hand_outs(desk: Desk) -> None:
    connection_id = uuid4()
    desk.happened("connected", connection_id=connection_id)
    desk.chain.chain([line_of(an_entry(connection_id=connection_id)), line_of(an_entry(kind="other"))])
    desk.happened("refreshed", "revoked", connection_id=connection_id)

    def history(limit: int) -> list[str]:
        with desk.store.reading() as tx:
            return [kind for _, kind, _ in tx.audit.of_connection(connection_id, limit)]

    assert history(9) == ["revoked", "refreshed", "connected"]
    assert history(1) == ["revoked"]
    desk.chain.collect()
    assert history(2) == ["revoked", "refreshed"]


def test_a_history_has_no_place_for_what_happens_all_day_long(desk: Desk) -> None:
    connection_id = uuid4()
    desk.happened("connected", connection_id=connection_id)
    for _ in range(2):
        # Not chained yet, and chained.
        for kind in ("refresh_stored", "refresh_taken_over", "calendar_read.released", "calendar_read.denied"):
            desk.happened(kind, connection_id=connection_id)
        with desk.store.reading() as tx:
            assert [kind for _, kind, _ in tx.audit.of_connection(connection_id, 20)] == ["connected"]
        desk.chain.collect()


def test_entries_are_found_by_person_and_connection_and_from_a_place_on(desk: Desk) -> None:
    person_id, connection_id = uuid4(), uuid4()
    desk.happened("one", person_id=person_id)
    desk.happened("two", person_id=person_id, connection_id=connection_id)
    desk.happened("three", connection_id=connection_id)
    desk.chain.collect()

    def kinds(*since: int, **ids: object) -> list[str]:
        return [logged.entry.kind for logged in desk.chain.entries(*since, **ids)]

    assert kinds() == ["one", "two", "three"]
    assert kinds(1) == ["two", "three"]
    assert kinds(person_id=person_id) == ["one", "two"]
    assert kinds(1, connection_id=connection_id, person_id=person_id) == ["two"]


def test_the_detail_is_stored_as_json(desk: Desk) -> None:
    desk.chain.chain([line_of(an_entry(detail={"scopes": ["a"]}))])

    [(detail,)] = desk.rows("SELECT detail::text FROM audit_log")

    assert json.loads(detail) == {"scopes": ["a"]}
