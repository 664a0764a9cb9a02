"""Thousands of tokens that end in the same minute: nobody who asks notices, and the provider is not flooded."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from app.services.provider_gate import DEFAULT_LIMITS
from tests.faults.checkers import the_provider_was_asked_within_its_budget, violations
from tests.faults.crew import Job
from tests.faults.crowds import settle
from tests.faults.history import Budget
from tests.faults.installation import Installation
from tests.faults.stage import Stage, staged
from tests.running_product import eventually

FEW, MANY = 300, 10_000
ASKED_FOR = 40
"""Connections whose tokens services ask for all the time."""
IN_FLIGHT = 64
PROVIDER_S = 0.3
MINUTE_S = 60
DONE_WITHIN_S = 180
LIMITS = DEFAULT_LIMITS["google"]


@pytest.fixture
def stage(place: Installation) -> Iterator[Stage]:
    with staged(place) as stage:
        yield stage


@pytest.mark.timeout(900)
def test_a_crowd_that_expires_at_once_is_renewed_in_time_and_within_the_budget(stage: Stage, *, is_full: bool) -> None:
    count, place = MANY if is_full else FEW, stage.place
    place.sandbox.state.runtime.update({"access_token_lifetime_s": 3600})
    place.fault("google.token", "hang", seconds=PROVIDER_S, count=None)
    gun = stage.starting_gun()
    worker = stage.crew.start(Job("work", threads=IN_FLIGHT, starts_with=str(gun)))
    stage.crew.wait_until_ready([worker])
    # In the short experiment all tokens end within a minute and are due at once; in the full one refreshes fall due
    # a while before, as they do for tokens of an hour.
    crowd = settle(place, "google", count, lifetime_s=MINUTE_S * (5 if is_full else 1))
    asked = tuple(str(s.connection) for s in random.Random(5).sample(crowd, ASKED_FOR))
    asking = stage.crew.start(Job("get", asked, until=time.time() + (60 if is_full else 8), min_validity_s=1))
    began = time.monotonic()
    gun.touch()
    eventually(
        lambda: place.rows("SELECT count(*) FROM connections WHERE generation > 1") == [(count,)],
        within_s=DONE_WITHIN_S, what="all refreshes", every_s=0.5,
    )  # fmt: skip
    took_s = time.monotonic() - began
    stage.crew.wait([asking], within_s=120)
    eventually(lambda: stage.open_attempts() == 0, within_s=30, what="the end of the attempts")

    answers = [line for line in stage.crew.reports(asking) if "connection" in line]
    assert len(answers) > ASKED_FOR
    assert [line for line in answers if "error" in line] == []
    history = replace(stage.history(), budgets={"google": Budget(LIMITS.calls_per_s, LIMITS.calls_burst)})
    assert violations(history) == {}
    refreshes = [call for call in history.calls if call.sent is not None]
    assert len(refreshes) == count
    print(f"{count} refreshes in {took_s:.0f} s")
    # At a provider that allows far less, the same calls would have been too many.
    tight = replace(history, budgets={"google": Budget(LIMITS.calls_per_s / 20, 5)})
    assert list(the_provider_was_asked_within_its_budget(tight))
