"""A provider in trouble with everybody: it is left in peace, nobody is disconnected, and all come back alone."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.domain.connections import Status
from app.domain.errors import LatchkeyError
from app.providers.token_endpoint import DEADLINE_S
from tests.faults.checkers import violations
from tests.faults.crowds import Settled, settle
from tests.faults.installation import Installation
from tests.faults.recording import record
from tests.running_product import eventually
from workers.failures import run

CROWD = 12
ROUNDS = 3
KEPT_FOR_S = 1.0
"""How long a process goes by what it last read of a breaker (`BriefCache`), and some."""

LOOP = "AADSTS50196: The server terminated an operation because it encountered a client request loop."
EVERYWHERE = {
    "invalid_client": {"kind": "invalid_client"},
    "429 and when to come again": {"kind": "status", "status": 429, "retry_after": "30"},
    "429": {"kind": "status", "status": 429},
    "503": {"kind": "status", "status": 503},
    "500 with a page": {"kind": "status", "status": 500, "body": "html"},
    "307": {"kind": "status", "status": 307, "body": "empty"},
    "reset": {"kind": "reset"},
}
"""The provider has done nothing."""
AFTER_WORK = {
    "truncated": {"kind": "truncate"}, "garbage": {"kind": "garbage"}, "lost answers": {"kind": "lose_answer"},
}  # fmt: skip
"""The provider has done its work: at a strict one the answers would be gone for good."""
STORMS = [
    *(("google", name, members) for name, members in (EVERYWHERE | AFTER_WORK).items()),
    *(("microsoft", name, members) for name, members in (EVERYWHERE | AFTER_WORK).items()),
    ("microsoft", "AADSTS50196", {"kind": "oauth_error", "error": "invalid_grant", "description": LOOP}),
    *(("oidc", name, members) for name, members in EVERYWHERE.items()),
]
SHORT = {
    ("google", "invalid_client"), ("google", "garbage"), ("microsoft", "AADSTS50196"), ("microsoft", "lost answers"),
    ("oidc", "503"), ("oidc", "429 and when to come again"), ("oidc", "307"),
}  # fmt: skip


@pytest.fixture(params=STORMS, ids=lambda storm: f"{storm[0]}-{storm[1]}")
def storm(request: pytest.FixtureRequest, *, is_full: bool) -> tuple[str, dict]:
    kind, name, members = request.param
    if (kind, name) not in SHORT and not is_full:
        pytest.skip("one of many: python3 dev.py faults --full")
    return kind, members


def work_off(place: Installation) -> None:
    """Claim what is due and carry it out, as a worker does."""
    for connection in place.services.due_work.refreshes():
        run("refresh_connection", str(connection), lambda c=connection: place.services.access_tokens.refresh(c))


def waiting_is_over(place: Installation) -> None:
    """Let all holding back be over: of every connection, of every provider, and of everybody who remembers."""
    place.rows("UPDATE connections SET next_attempt_at = NULL, refresh_claimed_until = NULL, lease_until = NULL")
    place.rows("UPDATE connections SET refresh_due_at = least(refresh_due_at, now()) WHERE generation = 1")
    place.rows("UPDATE provider_health SET open_until = now() WHERE open_until > now()")
    time.sleep(KEPT_FOR_S)


def are_served(place: Installation, crowd: list[Settled]) -> bool:
    tokens = place.services.access_tokens
    return all(tokens.get(settled.connection, 30).token for settled in crowd)


def all_active(place: Installation) -> bool:
    return place.rows("SELECT DISTINCT status FROM connections") == [(Status.ACTIVE,)]


@pytest.mark.timeout(200)
def test_a_storm_ends_nobody_stops_the_calls_and_is_over_without_hands(
    storm: tuple[str, dict], place: Installation
) -> None:
    kind, members = storm
    place.sandbox.state.runtime.update({"access_token_lifetime_s": 3600})
    crowd = settle(place, kind, CROWD, lifetime_s=1800)
    rest = dict(members)
    place.fault(f"{kind}.token", rest.pop("kind"), count=None, **rest)

    for _ in range(ROUNDS):
        work_off(place)
        assert are_served(place, crowd), "a living token was not handed out"
        time.sleep(KEPT_FOR_S)
    asked = place.calls(f"{kind}.token")
    assert all_active(place)
    # Without a breaker every connection would have asked.
    assert 0 < asked < CROWD
    place.mend()

    eventually(lambda: recovered(place), within_s=90, what="all refreshes", every_s=0.1)
    assert all_active(place)
    assert violations(record(place)) == {}


def recovered(place: Installation) -> bool:
    waiting_is_over(place)
    work_off(place)
    return place.rows("SELECT count(*) FROM connections WHERE generation = 1") == [(0,)]


@pytest.mark.parametrize("kind", ["google", "microsoft", "oidc"])
def test_one_false_refusal_of_everybody_ends_nobody(place: Installation, kind: str) -> None:
    place.sandbox.state.runtime.update({"access_token_lifetime_s": 3600})
    crowd = settle(place, kind, CROWD, lifetime_s=1800)
    for settled in crowd:
        place.fault(f"{kind}.token", "invalid_grant", account=settled.account)

    work_off(place)
    assert are_served(place, crowd)
    for settled in crowd:
        place.settle_suspicion(settled.connection)
    eventually(lambda: recovered(place), within_s=90, what="all refreshes", every_s=0.1)

    assert all_active(place)
    assert place.rows("SELECT count(*) FROM connections WHERE suspected_since IS NOT NULL") == [(0,)]
    assert violations(record(place)) == {}


@pytest.fixture
def _at_full_length(*, is_full: bool) -> None:
    if not is_full:
        pytest.skip("takes the 20 seconds of the deadline: python3 dev.py faults --full")


@pytest.mark.usefixtures("_at_full_length")
@pytest.mark.timeout(200)
def test_every_call_ends_at_its_deadline_whatever_comes(place: Installation) -> None:
    crowds = {kind: settle(place, kind, 2, lifetime_s=1800) for kind in ("google", "microsoft", "oidc")}
    for kind, (hung, dripped) in crowds.items():
        place.fault(f"{kind}.token", "hang", seconds=DEADLINE_S + 8, account=hung.account)
        place.fault(f"{kind}.token", "drip", seconds=DEADLINE_S + 8, account=dripped.account)
    wanted = [settled for crowd in crowds.values() for settled in crowd]

    def ask(settled: Settled) -> float:
        began = time.monotonic()
        with pytest.raises(LatchkeyError):
            place.services.access_tokens.refresh(settled.connection)
        return time.monotonic() - began

    with ThreadPoolExecutor(len(wanted)) as threads:
        took_s = list(threads.map(ask, wanted))

    assert max(took_s) <= DEADLINE_S + 0.5
    assert all_active(place)
    assert are_served(place, wanted)
