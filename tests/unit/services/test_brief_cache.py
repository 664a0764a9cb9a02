"""Answers kept for a moment, and a database that goes away for one."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from app.domain.errors import StoreUnavailable
from app.services.brief_cache import KEPT_S, PATIENCE_S, BriefCache


@dataclass
class Time:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Database:
    """Cannot be reached until a moment, and counts how often it is asked."""

    def __init__(self, time: Time, back_at: float) -> None:
        self.time, self.back_at, self.asked = time, back_at, 0

    def __call__(self) -> int:
        self.asked += 1
        if self.time() < self.back_at:
            raise StoreUnavailable
        return self.asked


@pytest.fixture
def time() -> Time:
    return Time()


def test_a_restart_is_waited_out_and_the_answer_is_as_old_as_its_question(time: Time) -> None:
    cache: BriefCache[str, int] = BriefCache(time, time.sleep)
    database = Database(time, back_at=time() + 1)

    found = cache.get("key", database)
    asked = database.asked
    time.sleep(KEPT_S / 2)
    again = cache.get("key", database)
    time.sleep(KEPT_S)
    renewed = cache.get("key", database)

    assert found == again == asked
    assert renewed == asked + 1


def test_whoever_comes_when_it_has_been_away_for_long_is_told_at_once(time: Time) -> None:
    cache: BriefCache[str, int] = BriefCache(time, time.sleep)
    database = Database(time, back_at=time() + 100)
    with pytest.raises(StoreUnavailable):
        cache.get("key", database)
    gave_up, asked = time(), database.asked

    with pytest.raises(StoreUnavailable):
        cache.get("other", database)
    refused, refused_at = database.asked, time()
    time.now = database.back_at
    cache.get("key", database)
    database.back_at = time() + KEPT_S + 1
    time.sleep(KEPT_S)
    patient = cache.get("key", database)

    assert PATIENCE_S <= gave_up - 100 < PATIENCE_S + 1
    assert (refused, refused_at) == (asked + 1, gave_up)
    # Once it was back it has the same patience again.
    assert patient == database.asked
