"""The sandbox writes every token call down with its effects, and can be peopled with a crowd."""

import hashlib
import threading

import pytest

from app.sandbox.server import serve
from app.sandbox.settings import SandboxSettings
from tests.contract.sandbox_walk import Walker, clients
from tests.running_product import eventually

OFFLINE = "openid email offline_access"


@pytest.fixture
def running():
    with serve(SandboxSettings(base_url="", clients=clients())) as served:
        yield served


@pytest.fixture
def walker(running):
    walker = Walker(running.base_url)
    with walker.http:
        yield walker


def ledger(walker):
    """The ledger once every call in it has ended: a caller has its answer a moment before the server is through."""

    def ended():
        shown = walker.http.get(f"{walker.base_url}/_control/ledger", timeout=10).json()
        return shown if all(call["ended_at"] for call in shown["calls"]) else None

    return eventually(ended, within_s=10, what="the end of every call", every_s=0.01)


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_ledger_tells_parent_and_child_and_what_was_refused(walker):
    first = walker.connect("oidc", "farid", OFFLINE)
    second = walker.refresh("oidc", first["refresh_token"]).json()
    walker.refresh("oidc", first["refresh_token"])

    shown = ledger(walker)
    exchange, refresh, reuse = shown["calls"]
    states = {token["digest"]: token["state"] for token in shown["refresh_tokens"]}
    owners = {token["digest"]: token["account"] for token in shown["access_tokens"]}

    assert (exchange["sent"], exchange["refresh"]) == (None, digest(first["refresh_token"]))
    assert (refresh["sent"], refresh["refresh"]) == (digest(first["refresh_token"]), digest(second["refresh_token"]))
    assert exchange["family"] == refresh["family"] == reuse["family"]
    assert [call["status"] for call in shown["calls"]] == [200, 200, 400]
    assert reuse["committed_at"] is None
    assert refresh["began_at"] <= refresh["committed_at"] <= refresh["ended_at"]
    assert set(states.values()) == {"revoked"}
    assert owners[digest(second["access_token"])] == "farid"
    assert first["refresh_token"] not in str(shown)


def test_a_held_call_has_done_its_work_and_is_in_flight(walker, running):
    token = walker.connect("google", "ada", "openid")["refresh_token"]
    walker.control("faults", {"operation": "google.token", "kind": "hold", "seconds": 1.0})
    asking = threading.Thread(target=walker.refresh, args=("google", token))

    asking.start()
    try:
        eventually(lambda: len(running.state.token_ledger.calls()) == 2, within_s=10, what="the call", every_s=0.01)
        held = running.state.token_ledger.calls()[1]
        eventually(lambda: held.access, within_s=10, what="the work", every_s=0.01)
        in_flight = held.committed_at is not None and held.ended_at is None
    finally:
        asking.join()

    assert in_flight
    # The caller has its answer a moment before the server is through with it.
    eventually(lambda: held.ended_at, within_s=10, what="the end", every_s=0.01)
    assert held.ended_at - held.began_at >= 1.0


def test_an_answer_sent_slowly_is_in_flight_until_its_last_byte(walker, running):
    token = walker.connect("google", "ada", "openid")["refresh_token"]
    walker.control("faults", {"operation": "google.token", "kind": "drip", "seconds": 0.5})

    walker.refresh("google", token)
    [_, dripped] = running.state.token_ledger.calls()
    # The client has the last byte before the server closes the entry.
    eventually(lambda: dripped.ended_at, within_s=10, what="the end", every_s=0.01)

    assert dripped.ended_at - dripped.committed_at >= 0.5


@pytest.mark.parametrize(("provider", "scopes"), [
    ("google", ["openid"]), ("microsoft", ["User.Read", "offline_access"]), ("oidc", ["openid", "offline_access"]),
])  # fmt: skip
def test_members_of_a_crowd_can_refresh_what_they_hold(walker, provider, scopes):
    crowd = walker.control("crowd", {"provider": provider, "scopes": scopes, "count": 3, "lifetime_s": 60}).json()

    answers = [walker.refresh(provider, member["refresh_token"]) for member in crowd]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert len({member["subject"] for member in crowd}) == 3
    assert {t["account"] for t in ledger(walker)["access_tokens"]} == {member["account"] for member in crowd}
