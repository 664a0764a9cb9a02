"""The unit of work: all or nothing, flagged, and with typed faults."""

import socket
import threading
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app.crypto.keyring import Keyring
from app.crypto.sealing import build_sealer
from app.domain.errors import StoreUnavailable
from app.guard import NetworkInsideTransaction, refuse_inside_transaction
from app.store.engine import Limits, read_engine, write_engine
from app.store.postgres import PostgresStore
from tests.integration.store.rows import FEATURES, NOW, Session, identity

NAMED = uuid4()
KEYS = {"k1": bytes(range(32)), "k2": bytes(range(32, 64))}


@pytest.fixture
def closed_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def sealer(**keys):
    return build_sealer(Keyring(keys, next(iter(keys))))


def test_what_was_written_before_an_error_is_taken_back(store, rows, peek):
    with pytest.raises(KeyError), store.transaction() as tx:  # noqa: PT012 - the error belongs inside
        tx.audit.event("started", NOW)
        raise KeyError

    assert peek("TABLE audit_events") == []


def test_a_transaction_forbids_the_network_and_a_read_does_not(store):
    with store.transaction(), pytest.raises(NetworkInsideTransaction):
        refuse_inside_transaction()

    refuse_inside_transaction()
    with store.reading():
        refuse_inside_transaction()


def test_the_flag_comes_down_after_an_error(store):
    with pytest.raises(KeyError), store.transaction():
        raise KeyError

    refuse_inside_transaction()


def test_a_read_holds_no_transaction_and_no_lock(store, rows, peek):
    connection = rows.connection()

    with store.reading() as tx:
        tx.connections.get(connection.id)
        states = peek(
            "SELECT state, xact_start FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'latchkey' AND state <> 'idle'"
        )

    assert states == []


def test_a_read_sees_what_is_committed_between_two_statements(store, rows):
    person = rows.person()
    with store.reading() as tx:
        assert tx.connections.of_person(person.id) == ()
        rows.connection(person=person)
        assert len(tx.connections.of_person(person.id)) == 1


def test_no_database_is_one_typed_error(closed_port):
    store = PostgresStore(f"postgresql+psycopg://app@127.0.0.1:{closed_port}/none", Limits(connect_timeout_s=2))

    with pytest.raises(StoreUnavailable):
        store.ping()
    with pytest.raises(StoreUnavailable), store.transaction():
        pass
    with pytest.raises(StoreUnavailable), store.reading():
        pass
    store.close()


def test_an_answering_database_passes_the_ping(store):
    store.ping()


def test_a_connection_cut_in_the_middle_is_typed_and_the_next_one_works(store, rows, peek):
    with pytest.raises(StoreUnavailable), store.transaction() as tx:  # noqa: PT012 - the cut belongs inside
        tx.audit.event("started", NOW)
        peek(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND state = 'idle in transaction'"
        )
        tx.audit.event("never", NOW)

    with store.transaction() as tx:
        tx.audit.event("after", NOW)
    assert peek("SELECT kind FROM audit_events") == [("after",)]


def test_after_a_restart_of_the_database_writes_go_on_at_once(store, rows, peek):
    rows.person()
    peek(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'latchkey'"
    )

    rows.person("sub-2")

    assert peek("SELECT count(*) FROM people") == [(2,)]


def test_an_exhausted_pool_is_typed(database_url):
    store = PostgresStore(database_url, Limits(write_pool_size=1, pool_timeout_s=0.1))

    with store.transaction(), pytest.raises(StoreUnavailable, match="pool_exhausted"), store.transaction():
        pass
    store.close()


def test_waiting_for_a_lock_ends_in_time_and_is_typed(database_url, rows, peek):
    connection = rows.connection()
    hasty = PostgresStore(database_url, Limits(lock_timeout_s=1))

    with rows.store.transaction() as tx:
        tx.tokens.reserve(connection.id)
        waiting = Session(hasty, lambda tx: tx.tokens.reserve(connection.id))
        with pytest.raises(StoreUnavailable, match="55P03"):
            waiting.answer()
    hasty.close()


def test_a_statement_ends_in_time_and_is_typed(database_url):
    store = PostgresStore(database_url, Limits(statement_timeout_s=1))

    with pytest.raises(StoreUnavailable, match="57014"), store.reading() as tx:
        tx._connection.execute(text("SELECT pg_sleep(20)"))
    store.close()


def test_an_error_shows_no_value(store, rows):
    connection = rows.connection()
    marker = b"planted-marker-of-a-sealed-token"

    with pytest.raises(IntegrityError) as caught, store.transaction() as tx:
        tx.connections.add(connection.id, rows.person("b").id, "google", "google", identity("b"), FEATURES, marker, NOW)

    assert "planted-marker" not in str(caught.value)
    assert marker.hex() not in str(caught.value)


def test_sessions_of_both_engines_speak_utc_and_keep_what_they_confirm(database_url):
    for build in (write_engine, read_engine):
        engine = build(database_url, Limits())
        with engine.connect() as connection:
            shown = [
                connection.execute(text(f"SHOW {name}")).scalar_one()
                for name in ("timezone", "synchronous_commit", "statement_timeout", "lock_timeout")
            ]
        engine.dispose()
        assert shown == ["UTC", "on", "30s", "10s"]


def test_times_come_back_aware_and_in_utc(store, rows):
    person = rows.person()
    with store.transaction() as tx:
        tx.people.start_session(b"cookie", person.id, NOW, NOW + timedelta(days=1))

    with store.reading() as tx:
        found = tx.people.session(b"cookie", NOW)

    assert found.expires_at.utcoffset() == timedelta()
    assert found.expires_at == NOW + timedelta(days=1)


def test_threads_do_not_share_a_transaction(store, rows):
    names = [str(uuid4()) for _ in range(8)]
    barrier = threading.Barrier(8)

    def add(tx, name):
        barrier.wait(20)
        tx.audit.event(name, NOW, connection_id=NAMED)

    sessions = [Session(store, lambda tx, name=name: add(tx, name)) for name in names]
    for session in sessions:
        session.answer()

    with store.reading() as tx:
        assert {kind for _, kind, _ in tx.audit.of_connection(NAMED, 20)} == set(names)


def test_the_first_key_ring_is_taken_and_fits_again(store):
    assert store.key_fits(sealer(k1=KEYS["k1"]))
    assert store.key_fits(sealer(k1=KEYS["k1"]))


def test_another_key_under_the_same_name_is_refused(store):
    store.key_fits(sealer(k1=KEYS["k1"]))

    assert not store.key_fits(sealer(k1=KEYS["k2"]))


def test_a_ring_that_lacks_a_key_is_refused_and_notes_nothing(store, peek):
    store.key_fits(sealer(k1=KEYS["k1"]))

    assert not store.key_fits(sealer(k2=KEYS["k2"]))
    assert peek("SELECT count(*) FROM key_checks") == [(1,)]


def test_a_ring_with_one_more_key_fits_and_from_then_on_that_key_is_needed_too(store):
    store.key_fits(sealer(k1=KEYS["k1"]))

    assert store.key_fits(sealer(k2=KEYS["k2"], k1=KEYS["k1"]))
    assert not store.key_fits(sealer(k1=KEYS["k1"]))


def test_of_two_first_starts_with_different_rings_one_is_refused(database_url, peek):
    with_keys = [PostgresStore(database_url), PostgresStore(database_url)]
    results = []
    barrier = threading.Barrier(2)

    def begin(store, name):
        barrier.wait(20)
        results.append(store.key_fits(sealer(**{name: KEYS[name]})))

    threads = [threading.Thread(target=begin, args=pair) for pair in zip(with_keys, KEYS, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(results) == [False, True]
    assert peek("SELECT count(*) FROM key_checks") == [(1,)]
    for store in with_keys:
        store.close()
