"""When a breaker opens and for how long, without any surroundings."""

from uuid import UUID, uuid4

import pytest

from app.domain.breaker import (
    FIRST_COOL_DOWN_S,
    LONGEST_COOL_DOWN_S,
    LONGEST_WISH_S,
    Cause,
    Outcome,
    Recent,
    cause_of,
    cool_down_s,
)
from app.domain.connections import Reason
from app.domain.errors import (
    BreakerOpen,
    CipherError,
    InvalidGrant,
    ProviderRejected,
    ProviderThrottled,
    ProviderUnavailable,
)


def feed(recent, causes, *, connections=None, every_s=1.0, start_s=0.0, suspects=0, wish_s=0.0):
    """Add one outcome per cause and return what the last one opened."""
    opening = None
    for number, cause in enumerate(causes):
        connection = connections[number % len(connections)] if connections else uuid4()
        outcome = Outcome(start_s + number * every_s, connection, cause, wish_s if cause else 0)
        opening = recent.add(outcome, suspects_elsewhere=suspects)
    return opening


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (None, None),
        (ProviderRejected("invalid_client"), Cause.REJECTED),
        (ProviderUnavailable("http_500"), Cause.UNAVAILABLE),
        (ProviderThrottled("http_429"), Cause.THROTTLED),
        (BreakerOpen("x"), Cause.THROTTLED),
        (InvalidGrant("x", reason=Reason.GRANT_REJECTED), Cause.REFUSALS),
        (CipherError("x"), None),
    ],
)
def test_what_an_outcome_counts_towards(error, cause):
    assert cause_of(error) is cause


def test_three_rejections_in_a_row_open_even_for_one_connection():
    one = [UUID(int=1)]

    assert feed(Recent(), [Cause.REJECTED] * 2, connections=one, every_s=60) is None
    assert feed(Recent(), [Cause.REJECTED] * 3, connections=one, every_s=60).cause is Cause.REJECTED


@pytest.mark.parametrize("proof", [None, Cause.REFUSALS], ids=["a success", "a judged grant"])
def test_rejections_with_accepted_credentials_between_open_nothing(proof):
    assert feed(Recent(), [Cause.REJECTED, Cause.REJECTED, proof] * 6) is None


def test_rejections_far_apart_open_nothing():
    assert feed(Recent(), [Cause.REJECTED] * 10, every_s=200) is None


@pytest.mark.parametrize("cause", [Cause.UNAVAILABLE, Cause.THROTTLED])
def test_an_outage_needs_several_connections(cause):
    assert feed(Recent(), [cause] * 50, connections=[UUID(int=1), UUID(int=2)]) is None
    assert feed(Recent(), [cause] * 5).cause is cause


def test_an_outage_among_as_many_successes_opens_and_among_more_does_not():
    assert feed(Recent(), [None, Cause.UNAVAILABLE] * 10).cause is Cause.UNAVAILABLE
    assert feed(Recent(), [None, None, Cause.UNAVAILABLE] * 10) is None


def test_old_failures_are_forgotten():
    assert feed(Recent(), [Cause.UNAVAILABLE] * 20, every_s=20) is None


def test_the_longest_wish_of_an_application_that_is_throttled_is_kept():
    recent = Recent()
    feed(recent, [Cause.THROTTLED] * 4, wish_s=7)

    opening = feed(recent, [Cause.THROTTLED], start_s=5, wish_s=90)

    assert (opening.cause, opening.wish_s) == (Cause.THROTTLED, 90)


def test_ten_people_refused_and_nobody_accepted_is_a_storm():
    assert feed(Recent(), [Cause.REFUSALS] * 9) is None
    assert feed(Recent(), [Cause.REFUSALS] * 10).cause is Cause.REFUSALS


def test_one_connection_refused_many_times_is_no_storm():
    assert feed(Recent(), [Cause.REFUSALS] * 100, connections=[UUID(int=1)]) is None


def test_refusals_among_people_who_are_accepted_are_no_storm():
    assert feed(Recent(), [Cause.REFUSALS, None] * 100, every_s=0.1) is None


def test_a_storm_that_other_processes_saw_counts():
    assert feed(Recent(), [Cause.REFUSALS], suspects=9) is None
    assert feed(Recent(), [Cause.REFUSALS], suspects=10).cause is Cause.REFUSALS


def test_cool_downs_grow_up_to_a_bound():
    lengths = [cool_down_s(openings, 1.0) for openings in range(1, 40)]

    assert lengths[0] == FIRST_COOL_DOWN_S
    assert lengths[1] == 2 * FIRST_COOL_DOWN_S
    assert max(lengths) == lengths[-1] == LONGEST_COOL_DOWN_S


def test_cool_downs_are_jittered_downwards_by_a_quarter():
    assert cool_down_s(1, 0.0) == 0.75 * FIRST_COOL_DOWN_S


def test_a_provider_may_ask_for_more_patience_within_an_hour():
    assert cool_down_s(1, 0.0, wish_s=120) == 120
    assert cool_down_s(1, 0.0, wish_s=10**9) == LONGEST_WISH_S
