"""Token buckets in Redis, and what is left of them when Redis is away."""

import itertools
import socket
import threading
import time
from contextlib import suppress

import pytest
import redis

from app.budgets import KEY_PREFIX, LOCAL_SHARE, PAUSE_AFTER_FAILURE_S, LocalBudget, RedisBudget
from app.ports import Draw


@pytest.fixture
def budget(redis_url):
    budget = RedisBudget(redis_url)
    yield budget
    budget.close()


@pytest.fixture
def hung_server():
    """A socket that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server


def drawn(budget, draw, times):
    """Return how many of ``times`` draws passed."""
    return sum(budget.draw((draw,)) == 0 for _ in range(times))


def test_a_burst_passes_and_then_the_rate_decides(budget):
    draw = Draw("slow", rate_per_s=0.001, burst=5)

    assert drawn(budget, draw, 20) == 5
    assert 0 < budget.draw((draw,)) <= 1000


def test_what_was_used_comes_back_with_time(budget):
    draw = Draw("fast", rate_per_s=20, burst=1)
    assert budget.draw((draw,)) == 0

    wait_s = budget.draw((draw,))
    time.sleep(wait_s + 0.01)

    assert 0 < wait_s <= 0.05
    assert budget.draw((draw,)) == 0


def test_processes_share_a_bucket(redis_url):
    budgets = [RedisBudget(redis_url) for _ in range(4)]
    draw = Draw("shared", rate_per_s=0.001, burst=10)

    passed = sum(budget.draw((draw,)) == 0 for budget, _ in itertools.product(budgets, range(10)))

    assert passed == 10
    for budget in budgets:
        budget.close()


def test_all_buckets_give_or_none(budget):
    full, empty = Draw("full", 0.001, 2), Draw("empty", 0.001, 1)
    budget.charge(empty)

    refused = [budget.draw((full, empty)) for _ in range(5)]

    assert all(wait_s > 0 for wait_s in refused)
    assert drawn(budget, full, 5) == 2


def test_looking_takes_nothing_and_charging_takes_whatever_is_there(budget):
    look, take = Draw("looked", 0.001, 1, calls=0), Draw("looked", 0.001, 1)

    assert drawn(budget, look, 10) == 10
    budget.charge(take)
    budget.charge(take)

    assert 1500 < budget.draw((look,)) <= 2000


def test_what_is_given_back_can_be_drawn_again_up_to_the_burst(budget):
    draw = Draw("returned", 0.001, 2)
    assert drawn(budget, draw, 5) == 2

    for _ in range(10):
        budget.charge(Draw("returned", 0.001, 2, calls=-1))

    assert drawn(budget, draw, 5) == 2


def test_keys_have_the_prefix_and_go_when_they_mean_nothing(budget, redis_url):
    budget.draw((Draw("google", 10, 5), Draw("google:1", 0.2, 10)))

    client = redis.Redis.from_url(redis_url, decode_responses=True)
    lives = {key: client.ttl(key) for key in client.keys("*")}
    client.close()

    assert set(lives) == {f"{KEY_PREFIX}google", f"{KEY_PREFIX}google:1"}
    assert 1 <= lives[f"{KEY_PREFIX}google"] <= 2
    assert 5 <= lives[f"{KEY_PREFIX}google:1"] <= 7


def test_a_flushed_redis_costs_a_burst_and_nothing_else(budget, redis_url):
    draw = Draw("flushed", 0.001, 3)
    assert drawn(budget, draw, 10) == 3

    client = redis.Redis.from_url(redis_url)
    client.flushdb()
    client.script_flush()
    client.close()

    assert drawn(budget, draw, 10) == 3


def test_a_redis_that_is_away_leaves_a_share_to_each_process():
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    budget = RedisBudget(f"redis://127.0.0.1:{free}/0")

    assert drawn(budget, Draw("away", 0.001, 100), 200) == 100 * LOCAL_SHARE
    budget.close()


def connections_made(server):
    """Return how many connections came in since somebody last looked."""
    server.settimeout(0)
    count = 0
    with suppress(BlockingIOError):
        while True:
            server.accept()[0].close()
            count += 1
    return count


def test_a_hung_redis_is_asked_once_in_a_while(hung_server):
    now = [0.0]
    budget = RedisBudget(f"redis://127.0.0.1:{hung_server.getsockname()[1]}/0", lambda: now[0])
    draw = Draw("hung", 1000, 1000)

    assert drawn(budget, draw, 200) == 200
    asked_at_first = connections_made(hung_server)
    now[0] += PAUSE_AFTER_FAILURE_S
    assert drawn(budget, draw, 50) == 50
    asked_again = connections_made(hung_server)

    assert (asked_at_first, asked_again) == (1, 1)
    budget.close()


def test_redis_is_used_again_when_it_is_back(redis_url):
    now = [0.0]
    budget = RedisBudget(redis_url, lambda: now[0])
    # As after a failure a moment ago.
    budget._silent_until = PAUSE_AFTER_FAILURE_S
    draw = Draw("back", 0.001, 100)
    assert drawn(budget, draw, 200) == 100 * LOCAL_SHARE

    now[0] += PAUSE_AFTER_FAILURE_S

    assert drawn(budget, draw, 200) == 100
    budget.close()


def test_a_local_share_fills_up_with_time():
    now = [0.0]
    budget = LocalBudget(lambda: now[0])
    draw = Draw("local", rate_per_s=4, burst=4)
    assert drawn(budget, draw, 5) == 1

    wait_s = budget.draw((draw,))
    now[0] += wait_s

    assert wait_s == pytest.approx(1.0)
    assert budget.draw((draw,)) == 0


def test_a_local_share_keeps_count_between_threads():
    budget, passed = LocalBudget(lambda: 0.0), []
    draw = Draw("threads", 0.001, 400)

    threads = [threading.Thread(target=lambda: passed.append(drawn(budget, draw, 100))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sum(passed) == 100
