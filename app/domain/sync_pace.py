"""How often a calendar is looked at when nobody says that it changed, and how many at a time.

Push is a hint that may get lost; polling closes the gap, sooner where changes are usual and where nobody promises to
tell. ``WORST_GAP`` polls' worth is the longest that a lost notification can go unnoticed.
"""

from __future__ import annotations

from datetime import datetime, timedelta

MOST_OF_A_CONNECTION = 2
"""Runs of one connection at a time. Graph takes four requests of a mailbox at a time, and lists and channels want
theirs; and a person with two hundred calendars must not keep others waiting."""

BUSY_WITHIN = timedelta(hours=1)
QUIET_AFTER = timedelta(days=1)

JITTER = 0.25
"""Of an interval, in both directions: what began together must not stay together."""

WORST_GAP = 3 * (1 + JITTER)
"""In poll intervals: under nineteen minutes when polls are five minutes apart."""

LOOK_AGAIN_S = (10.0, 30.0)
"""A provider may notify before the change is to be read. A run that was asked for and shows nothing is repeated once
after a time between these."""


def poll_after(
    poll_interval: timedelta, now: datetime, last_change_at: datetime | None, *, is_pushed: bool, spread: float
) -> timedelta:
    """Return the time to the next look; ``spread`` is uniform in [0, 1).

    | last change | without push | with push |
    |---|---|---|
    | within the hour | a fifth | 1 |
    | within a day | 1 | 2 |
    | before, or never | 2 | 3 |
    """
    quiet_for = None if last_change_at is None else now - last_change_at
    if quiet_for is None or quiet_for > QUIET_AFTER:
        times = 3.0 if is_pushed else 2.0
    elif quiet_for > BUSY_WITHIN:
        times = 2.0 if is_pushed else 1.0
    else:
        times = 1.0 if is_pushed else 0.2
    return poll_interval * times * (1 - JITTER + 2 * JITTER * spread)


def look_again_after(spread: float) -> timedelta:
    """Return when to repeat a run that was asked for and showed nothing."""
    least, most = LOOK_AGAIN_S
    return timedelta(seconds=least + (most - least) * spread)
