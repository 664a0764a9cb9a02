"""How often a calendar is looked at."""

from datetime import UTC, datetime, timedelta

import pytest

from app.domain.sync_pace import WORST_GAP, look_again_after, poll_after

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
FIVE = timedelta(minutes=5)


def after(changed_ago, *, is_pushed, spread=0.5):
    changed_at = None if changed_ago is None else NOW - changed_ago
    return poll_after(FIVE, NOW, changed_at, is_pushed=is_pushed, spread=spread)


@pytest.mark.parametrize(
    ("changed_ago", "minutes", "pushed_minutes"),
    [
        (timedelta(minutes=10), 1, 5),
        (timedelta(hours=5), 5, 10),
        (timedelta(days=5), 10, 15),
        (None, 10, 15),
    ],
)
def test_busy_calendars_are_looked_at_more_often_than_quiet_ones(changed_ago, minutes, pushed_minutes):
    assert after(changed_ago, is_pushed=False) == timedelta(minutes=minutes)
    assert after(changed_ago, is_pushed=True) == timedelta(minutes=pushed_minutes)


@pytest.mark.parametrize("spread", [0.0, 0.3, 0.999999])
def test_no_gap_is_longer_than_the_stated_one(spread):
    gaps = [
        after(ago, is_pushed=is_pushed, spread=spread)
        for ago in (None, timedelta(), timedelta(hours=2), timedelta(days=900))
        for is_pushed in (True, False)
    ]

    assert max(gaps) <= FIVE * WORST_GAP
    assert min(gaps) > timedelta(seconds=40)


def test_a_second_look_comes_within_half_a_minute():
    assert (look_again_after(0.0), look_again_after(1.0)) == (timedelta(seconds=10), timedelta(seconds=30))
