"""The breaker that several processes share."""

import itertools
import logging
import subprocess
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from app.domain.connections import Reason
from app.domain.errors import (
    BreakerOpen,
    CipherError,
    InvalidGrant,
    ProviderRejected,
    ProviderThrottled,
    ProviderUnavailable,
)
from app.services.provider_gate import CallLimits
from app.store.postgres import PostgresStore
from tests.integration.gate.conftest import Crew

REJECTED = ProviderRejected("invalid_client")
REFUSED = InvalidGrant("invalid_grant", reason=Reason.GRANT_REJECTED)


def call(gate, error, *, provider="google", connection_id=None):
    connection_id = connection_id or uuid4()
    gate.admit(provider, connection_id)
    gate.note(provider, connection_id, error)


def open_breaker(gate, error=REJECTED, calls=3):
    for _ in range(calls):
        call(gate, error)


def test_a_breaker_opened_by_one_process_stops_all(crew):
    here, there = crew.gate(), crew.gate()
    assert there.open_providers() == ()

    open_breaker(here)
    crew.soon()

    for gate in (here, there):
        assert gate.open_providers() == ("google",)
        with pytest.raises(BreakerOpen) as refused:
            gate.admit("google", uuid4())
        assert refused.value.detail == "rejected"
        assert 0 < refused.value.retry_after_s <= 30
        gate.admit("microsoft", uuid4())


def test_opening_is_told_once_with_what_to_do(crew, caplog):
    here, there = crew.gate(), crew.gate()
    caplog.set_level(logging.WARNING, "latchkey.gate")

    open_breaker(here, calls=3)
    open_breaker(there, calls=0)
    for gate in (here, there):
        for _ in range(5):
            gate.note("google", uuid4(), REJECTED)

    (line,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    said = line.getMessage()
    assert said.startswith("breaker_open google: cause rejected, code invalid_client")
    assert "rotate-secret" in said
    assert crew.sql("SELECT kind, detail FROM audit_events") == [
        ("breaker_opened", {"provider": "google", "cause": "rejected", "code": "invalid_client"})
    ]


def test_calls_that_go_well_write_nothing(crew):
    gate = crew.gate()

    for _ in range(50):
        call(gate, None)

    assert crew.sql("SELECT * FROM provider_health") == []


def test_after_the_cool_down_one_probe_and_its_success_lets_all_pass(crew):
    here, there = crew.gate(), crew.gate()
    open_breaker(here)
    crew.end_cool_down()

    assert there.open_providers() == ()
    prober = uuid4()
    here.admit("google", prober)
    crew.soon()
    assert there.open_providers() == ("google",)
    for gate in (here, there):
        with pytest.raises(BreakerOpen):
            gate.admit("google", uuid4())
    here.note("google", prober, None)
    crew.soon()

    for gate in (here, there):
        assert gate.open_providers() == ()
        gate.admit("google", uuid4())


def test_a_probe_that_fails_makes_the_next_cool_down_longer(crew):
    gate = crew.gate()
    open_breaker(gate)
    lengths = []

    for _ in range(8):
        ((length,),) = crew.sql("SELECT extract(epoch FROM open_until - clock_timestamp()) FROM provider_health")
        lengths.append(float(length))
        crew.end_cool_down()
        call(gate, ProviderUnavailable("http_500"))

    assert lengths[0] < 15
    assert all(20 < later / earlier * 11 < 25 for earlier, later in itertools.pairwise(lengths[:5]))
    assert max(lengths) <= 300
    assert crew.row("cause") == ("unavailable",)


def test_trouble_that_comes_back_at_once_goes_on_growing(crew):
    gate = crew.gate()
    open_breaker(gate)
    crew.end_cool_down()
    call(gate, None)

    for _ in range(3):
        crew.soon()
        call(gate, REJECTED)

    assert crew.row("openings") == (2,)


def test_a_probe_that_told_nothing_leaves_the_place_to_the_next(crew):
    gate = crew.gate()
    open_breaker(gate)
    crew.end_cool_down()

    first, second, third = uuid4(), uuid4(), uuid4()
    gate.admit("google", first)
    gate.withdraw("google", first)
    gate.admit("google", second)
    gate.note("google", second, CipherError("x"))
    gate.admit("google", third)
    gate.note("google", third, None)
    crew.soon()

    assert gate.open_providers() == ()


def test_a_probe_that_died_is_followed_by_another_after_a_while(crew):
    here, there = crew.gate(), crew.gate()
    open_breaker(here)
    crew.end_cool_down()
    here.admit("google", uuid4())
    crew.soon()
    with pytest.raises(BreakerOpen):
        there.admit("google", uuid4())

    crew.sql("UPDATE provider_health SET probe_until = clock_timestamp() - interval '1 second'")
    crew.soon()

    call(there, None)
    assert crew.row("cause") == (None,)


def test_a_judged_grant_shows_that_our_credentials_are_accepted(crew):
    gate = crew.gate()
    open_breaker(gate)
    crew.end_cool_down()

    call(gate, REFUSED)

    assert crew.row("cause") == (None,)


def test_of_many_sessions_at_once_one_gets_the_probe(crew):
    gates = [crew.gate() for _ in range(8)]
    open_breaker(gates[0])
    crew.end_cool_down()
    together, passed, refused = threading.Barrier(16), [], []

    def try_it(gate):
        together.wait()
        try:
            gate.admit("google", uuid4())
            passed.append(gate)
        except BreakerOpen:
            refused.append(gate)

    threads = [threading.Thread(target=try_it, args=(gate,)) for gate in gates for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert (len(passed), len(refused)) == (1, 15)


PROCESS = """
import sys, uuid
from datetime import UTC, datetime
from app.budgets import LocalBudget
from app.domain.errors import BreakerOpen, ProviderRejected
from app.services.provider_gate import DEFAULT_LIMITS, BreakerGate
from app.store.postgres import PostgresStore

store = PostgresStore(sys.argv[1])
gate = BreakerGate(store, LocalBudget(), DEFAULT_LIMITS, 10, lambda: datetime.now(UTC), lambda: 0.5)
for line in sys.stdin:
    try:
        connection = uuid.uuid4()
        gate.admit("google", connection)
        gate.note("google", connection, ProviderRejected("invalid_client") if line == "fail\\n" else None)
        print("passed", flush=True)
    except BreakerOpen as error:
        print(error.detail, flush=True)
"""


def test_two_processes_share_it_within_a_second(crew):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, crew.database_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]

    def tell(process, word):
        process.stdin.write(f"{word}\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    try:
        one, two = processes
        assert [tell(two, "succeed"), *(tell(one, "fail") for _ in range(3))] == ["passed"] * 4
        threading.Event().wait(1.0)
        assert tell(two, "succeed") == "rejected"
        crew.sql("UPDATE provider_health SET open_until = clock_timestamp() - interval '1 second'")
        threading.Event().wait(1.0)
        assert tell(two, "succeed") == "passed"
        threading.Event().wait(1.0)
        assert tell(one, "succeed") == "passed"
    finally:
        for process in processes:
            process.stdin.close()
            process.wait(20)
            process.stdout.close()


def test_throttling_of_the_application_lasts_as_long_as_the_provider_asks(crew):
    gate = crew.gate()

    open_breaker(gate, ProviderThrottled("http_429", retry_after_s=600), calls=5)

    crew.soon()
    with pytest.raises(BreakerOpen) as refused:
        gate.admit("google", uuid4())
    assert refused.value.detail == "throttled"
    assert 590 < refused.value.retry_after_s < 901


def test_throttling_of_one_person_stays_with_that_person(crew):
    gate, loop = crew.gate(), uuid4()

    for _ in range(100):
        call(gate, ProviderThrottled("AADSTS50196"), connection_id=loop)

    crew.soon()
    assert gate.open_providers() == ()


def test_grants_refused_to_different_processes_are_one_storm(crew):
    gates = [crew.gate() for _ in range(10)]
    for _ in range(10):
        crew.add_connection(suspected=True)

    call(gates[0], REFUSED)

    crew.soon()
    assert all(gate.open_providers() == ("google",) for gate in gates)


def test_old_suspicions_and_other_providers_are_no_storm(crew):
    gate = crew.gate()
    for _ in range(10):
        crew.add_connection(suspected=True, suspected_since=datetime.now(UTC) - timedelta(hours=1))
        crew.add_connection(suspected=True, provider="microsoft", kind="microsoft")

    call(gate, REFUSED)

    assert crew.sql("SELECT * FROM provider_health") == []


def test_an_operator_who_believes_refusals_ends_the_pause_and_prevents_the_next(crew):
    gate = crew.gate()
    open_breaker(gate, REFUSED, calls=10)
    store = PostgresStore(crew.database_url)

    with store.transaction() as tx:
        tx.provider_health.believe("google", 3600)
    for _ in range(30):
        crew.soon()
        call(gate, REFUSED)
    store.close()

    crew.soon()
    assert gate.open_providers() == ()


def test_calls_resume_at_about_twice_the_ordinary_rate(crew):
    # An hour's token is refreshed every 2430 s on average: 24,300 connections make ten calls a second.
    gate = crew.gate()
    person = crew.add_connection()
    crew.sql(
        "INSERT INTO connections (id, person_id, provider, kind, issuer, subject, status, status_since,"
        " requested_features, created_at, last_refreshed_at, access_expires_at)"
        " SELECT gen_random_uuid(), person_id, provider, kind, issuer, 'n' || n, status, status_since,"
        " requested_features, created_at, last_refreshed_at, access_expires_at"
        " FROM connections, generate_series(1, 24299) AS n WHERE id = :id",
        id=person,
    )
    open_breaker(gate)
    crew.end_cool_down()
    call(gate, None)
    (rate,) = crew.row("resumption_per_s")
    crew.soon()

    passed = 0
    for _ in range(100):
        crew.monotonic.now += 0.1
        for _ in range(50):
            with suppress(ProviderThrottled):
                call(gate, None)
                passed += 1

    assert rate == pytest.approx(20, rel=0.01)
    # Ten seconds; without Redis each process keeps a quarter of every budget.
    assert passed <= (rate * 10 + rate) / 4 + 1
    assert passed >= rate * 10 / 4 - 1


def test_a_full_house_is_told_at_once_and_a_place_that_is_free_again_is_given(crew):
    gate = crew.gate(most_under_way=2)
    first, second, third = uuid4(), uuid4(), uuid4()
    gate.admit("google", first)
    gate.admit("google", second)

    with pytest.raises(ProviderThrottled) as refused:
        gate.admit("google", third)
    gate.admit("google", first)
    gate.admit("microsoft", third)
    gate.note("google", second, None)
    gate.admit("google", third)

    assert (refused.value.detail, refused.value.code) == ("in_flight", "provider_throttled")


def test_callers_of_one_connection_use_its_budget_once(crew):
    gate = crew.gate(limits=CallLimits(8, 8, 4, 4))
    connection = uuid4()

    for _ in range(200):
        gate.admit("google", connection)
    for _ in range(199):
        gate.withdraw("google", connection)
    gate.note("google", connection, None)

    with pytest.raises(ProviderThrottled) as refused:
        gate.admit("google", connection)
    assert refused.value.detail == "budget"
    gate.admit("google", uuid4())


def test_without_the_database_the_gate_lets_pass_and_judges_nothing():
    crew = Crew("postgresql+psycopg://nobody@127.0.0.1:1/nowhere")
    gate = crew.gate()

    open_breaker(gate, calls=10)

    assert gate.open_providers() == ()
    crew.stores[0].close()
