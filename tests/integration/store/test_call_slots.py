"""Calls at a time for one account: counted over processes, given back by those that die."""

from contextlib import ExitStack

import pytest

from app.domain.errors import ProviderThrottled
from app.store.call_slots import PostgresCallSlots

AT_ONCE = 0.0
LONG = 30.0


@pytest.fixture
def processes(database_url):
    """Two processes' worth of slots: each has a session of its own."""
    built = [PostgresCallSlots(database_url, most=4) for _ in range(2)]
    yield built
    for slots in built:
        slots.close()


def refused(slots, account="ada"):
    with pytest.raises(ProviderThrottled) as caught, slots.hold(account, AT_ONCE):
        pass
    return caught.value.retry_after_s


def test_four_pass_over_all_processes_and_the_fifth_is_told_when_to_come_again(processes):
    one, other = processes
    with one.hold("ada", AT_ONCE), other.hold("ada", AT_ONCE), one.hold("ada", AT_ONCE):
        with other.hold("ada", AT_ONCE):
            assert refused(one) == refused(other) == 5.0
            with one.hold("bruno", AT_ONCE):
                pass
        with one.hold("ada", AT_ONCE):
            assert refused(other)
    with ExitStack() as all_four:
        for _ in range(4):
            all_four.enter_context(other.hold("ada", AT_ONCE))


def test_a_process_that_dies_or_loses_its_session_holds_nothing(processes, peek):
    one, other = processes
    with ExitStack() as calls:
        for _ in range(4):
            calls.enter_context(one.hold("ada", AT_ONCE))
        assert refused(other)
        peek("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' GROUP BY pid")

        with other.hold("ada", LONG):
            pass
        # What it counts itself stays counted, whatever became of its locks.
        assert refused(one)

    with one.hold("ada", AT_ONCE), other.hold("ada", AT_ONCE):
        pass
