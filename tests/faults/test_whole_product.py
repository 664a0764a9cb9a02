"""The running product while its servers go away and its processes are killed."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
import redis
import requests

from app.crypto.keyring import Keyring
from app.crypto.sealing import build_sealer
from app.services.audit_chain import AuditChain
from app.services.brief_cache import KEPT_S
from app.store.postgres import PostgresStore
from tests.faults.checkers import every_hand_out_is_in_the_log
from tests.faults.history import HandOut, History, Release
from tests.faults.installation import plain
from tests.faults.premises import ACCOUNTS, VISIBLE_WITHIN_S, Premises, add_event, settle_in, statuses
from tests.running_product import Person, Product, eventually

ENOUGH = 30
"""Tokens that left before anything is killed, so that something is under way."""
ALL_WELL = [(provider, "active", None) for provider in sorted(ACCOUNTS)]


@pytest.mark.timeout(400)
def test_the_product_outlives_its_broker_its_database_and_its_processes(premises: Premises) -> None:
    with premises.run() as product:
        person, connections = settle_in(product, premises)
        the_broker_is_emptied_again_and_again(product, premises)
        the_broker_is_away(product, premises, connections)
        the_database_is_restarted(product, premises, connections)
        the_database_is_away(product, premises, person, connections)
        with tokens_that_leave(product, connections) as left:
            a_web_process_is_killed(product, person)
        every_one_is_in_the_log(product, premises, left)
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
    # Until then answers of before the stop are still good.
    time.sleep(KEPT_S)
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


def the_database_is_restarted(product: Product, premises: Premises, connections: dict[str, str]) -> None:
    refused: list[requests.Response] = []
    with tokens_that_leave(product, connections, refused) as left:
        premises.postgres.stop()
        premises.postgres.start()
        before = len(left)
        eventually(lambda: len(left) >= before + ENOUGH, within_s=30, what="tokens after the restart", every_s=0.01)

    assert [answer.text for answer in refused] == []


@contextmanager
def tokens_that_leave(
    product: Product, connections: dict[str, str], refused: list[requests.Response] | None = None
) -> Iterator[list[tuple[str, str]]]:
    """Ask for tokens without a pause while the block runs; yield connection and token of every one that came."""
    left: list[tuple[str, str]] = []
    over = threading.Event()

    def ask(connection: str) -> None:
        while not over.is_set():
            with suppress(requests.RequestException):
                answer = product.exchange(connection)
                if answer.ok:
                    left.append((connection, answer.json()["access_token"]))
                elif refused is not None:
                    refused.append(answer)

    askers = [threading.Thread(target=ask, args=(connection,)) for connection in connections.values()]
    for asker in askers:
        asker.start()
    try:
        eventually(lambda: len(left) >= ENOUGH, within_s=30, what="tokens", every_s=0.01)
        yield left
    finally:
        over.set()
        for asker in askers:
            asker.join()


def every_one_is_in_the_log(product: Product, premises: Premises, left: list[tuple[str, str]]) -> None:
    """Assert that the log has every token that left, the killed process's too, and is whole."""
    sealer = build_sealer(Keyring.load(product.directory / "data" / "keyring.json"))
    hand_outs = tuple(
        HandOut(UUID(connection), 0, 0, access="came", fingerprint=sealer.keyed_hash("hand_out", token).hex())
        for connection, token in left
    )

    def objections() -> list[str]:
        released = premises.rows(
            "SELECT connection_id, detail->>'token_fingerprint' FROM audit_log WHERE kind = 'hand_out.released'"
        )
        store = PostgresStore(premises.postgres.url)
        try:
            is_whole = AuditChain(store, sealer).verify().fault is None
        finally:
            store.close()
        releases = tuple(Release(*row) for row in released)
        return list(every_hand_out_is_in_the_log(
            History((), {}, {}, (), (), hand_outs=hand_outs, releases=releases, is_chain_whole=is_whole)
        ))  # fmt: skip

    # What the killed process had only on the disk is carried on by whoever finds it.
    eventually(lambda: objections() == [], within_s=30, what="every release in the log")


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
