"""The running product while its servers go away and its processes are killed."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import psycopg
import pytest
import redis
import requests

from tests.faults.installation import plain
from tests.faults.premises import ACCOUNTS, VISIBLE_WITHIN_S, Premises, add_event, settle_in, statuses
from tests.running_product import Person, Product, eventually

ALL_WELL = [(provider, "active", None) for provider in sorted(ACCOUNTS)]


@pytest.mark.timeout(400)
def test_the_product_outlives_its_broker_its_database_and_its_processes(premises: Premises) -> None:
    with premises.run() as product:
        person, connections = settle_in(product, premises)
        the_broker_is_emptied_again_and_again(product, premises)
        the_broker_is_away(product, premises, connections)
        the_database_is_away(product, premises, person, connections)
        a_web_process_is_killed(product, person)
        assert statuses(premises) == ALL_WELL
        assert all(product.exchange(connection).ok for connection in connections.values())
        assert "Traceback" not in product.log()
        kill(product, "worker", random.Random(1), connections)
    with premises.run() as product:
        check_after_kill(product, premises, person.browser.cookies, connections, 1)


def the_broker_is_emptied_again_and_again(product: Product, premises: Premises) -> None:
    with redis.Redis.from_url(premises.redis.url) as broker:
        for number in range(6):
            provider = ("google", "microsoft")[number % 2]
            add_event(product, provider, f"Flushed {number}")
            broker.flushall()
            time.sleep(0.3)
            broker.flushall()
    for number in range(6):
        eventually(lambda n=number: premises.shows(f"Flushed {n}"), within_s=VISIBLE_WITHIN_S, what=f"event {number}")


def the_broker_is_away(product: Product, premises: Premises, connections: dict[str, str]) -> None:
    premises.redis.stop()
    add_event(product, "google", "Without a broker")
    handed_out = product.exchange(connections["google"])
    page = requests.get(f"{product.public_url}/readyz", timeout=30)
    time.sleep(2)
    premises.redis.start()

    assert handed_out.ok, handed_out.text
    assert "broker_unavailable" in page.text
    eventually(lambda: premises.shows("Without a broker"), within_s=VISIBLE_WITHIN_S, what="the event")


def the_database_is_away(product: Product, premises: Premises, person: Person, connections: dict[str, str]) -> None:
    premises.postgres.stop()
    page, refused = person.get("/connections"), product.exchange(connections["google"])
    readiness = requests.get(f"{product.public_url}/readyz", timeout=30)
    alive = requests.get(f"{product.public_url}/healthz", timeout=30)
    add_event(product, "microsoft", "Without a database")
    premises.postgres.start()

    assert (page.status_code, refused.status_code, readiness.status_code, alive.status_code) == (503, 503, 503, 200)
    assert int(page.headers["Retry-After"]) > 0
    assert 'class="button main"' in page.text
    assert int(refused.headers["Retry-After"]) > 0
    assert refused.json()["error"] == "temporarily_unavailable"
    assert "store_unavailable" in readiness.text
    eventually(lambda: person.get("/connections").ok, within_s=30, what="the connections page")
    assert "/sign-out" in person.get("/connections").text, "the session was lost"
    eventually(lambda: product.exchange(connections["google"]).ok, within_s=30, what="a token")
    eventually(lambda: premises.shows("Without a database"), within_s=VISIBLE_WITHIN_S, what="the event")


def a_web_process_is_killed(product: Product, person: Person) -> None:
    leader, *children = product.child_pids()["web"]
    workers = [pid for pid in children if "resource_tracker" not in command_of(pid)]
    assert workers, "the web server has no processes of its own"
    os.kill(workers[-1], signal.SIGKILL)

    eventually(lambda: is_served(person), within_s=30, what="pages")
    eventually(lambda: len(product.child_pids()["web"]) >= 1 + len(children), within_s=30, what="a new web process")
    assert product.child_pids()["web"][0] == leader
    assert all(is_served(person) for _ in range(10))


def is_served(person: Person) -> bool:
    try:
        return person.get("/connections").ok
    except requests.ConnectionError:
        return False


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.mark.timeout(1200)
def test_killed_processes_cost_a_restart_and_nothing_else(premises: Premises, *, is_full: bool) -> None:
    if not is_full:
        pytest.skip("takes minutes: python3 dev.py faults --full")
    chance = random.Random(20261123)
    victims = ["worker", "beat", "web", "sandbox", "worker", "beat", "web", "worker"]
    with premises.run() as product:
        person, connections = settle_in(product, premises)
        cookies = person.browser.cookies
        kill(product, victims[0], chance, connections)
    for turn, victim in enumerate(victims[1:], 1):
        with premises.run() as product:
            check_after_kill(product, premises, cookies, connections, turn)
            kill(product, victim, chance, connections)
    with premises.run() as product:
        check_after_kill(product, premises, cookies, connections, len(victims))


def kill(product: Product, victim: str, chance: random.Random, connections: dict[str, str]) -> None:
    """Kill one part at a random moment of activity; the run then ends by itself and says so."""
    for provider in ("google", "microsoft"):
        add_event(product, provider, f"Before the {victim} died")
    for connection in connections.values():
        product.exchange(connection, min_validity="80")
    time.sleep(chance.uniform(0, 1.5))
    os.kill(product.child_pids()[victim][0], signal.SIGKILL)
    assert product.process.wait(60) == 1
    assert f"{victim} ended unexpectedly" in product.log()


def check_after_kill(
    product: Product, premises: Premises, cookies: object, connections: dict[str, str], turn: int
) -> None:
    """Assert that people are still signed in, grants live, and changes arrive."""
    person = product.http()
    person.browser.cookies = cookies
    assert set(person.connection_ids()) == set(connections.values()), "the session or a connection was lost"
    # What the dead process had leased is left alone until the lease ends; moving it is to wait for that.
    with psycopg.connect(plain(premises.postgres.url), autocommit=True) as connection:
        connection.execute("UPDATE connections SET lease_until = now() WHERE lease_until IS NOT NULL")
        connection.execute("UPDATE sync_states SET lease_until = now() WHERE lease_until IS NOT NULL")
    for provider in ("google", "microsoft"):
        add_event(product, provider, f"After death {turn}")
    eventually(
        lambda: premises.rows("SELECT 1 FROM events WHERE summary = %s HAVING count(*) = 2", f"After death {turn}"),
        within_s=VISIBLE_WITHIN_S, what="the events after the restart",
    )  # fmt: skip
    for provider, connection_id in connections.items():
        answer = eventually(
            lambda c=connection_id: (a := product.exchange(c)).ok and a, within_s=60, what=f"a token of {provider}"
        )
        assert answer.json()["access_token"]
    assert statuses(premises) == ALL_WELL
