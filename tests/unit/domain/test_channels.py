from datetime import UTC, datetime, timedelta

import pytest

from app.domain.channels import MOST_STOPS, SETTLE, renew_at, rest_s, retry_in, stop_again_in

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LIFE = timedelta(days=7)


@pytest.mark.parametrize(("kind", "earliest", "latest"), [("google", 0.65, 0.75), ("microsoft", 0.4, 0.5)])
def test_renewals_spread_and_leave_time_for_another_attempt(kind, earliest, latest):
    assert renew_at(kind, NOW, NOW + LIFE, 0.0) == NOW + LIFE * latest
    assert (renew_at(kind, NOW, NOW + LIFE, 1.0) - NOW) / LIFE == pytest.approx(earliest)
    longest_wait = retry_in(100, 1.0)
    assert NOW + LIFE - renew_at(kind, NOW, NOW + LIFE, 0.0) > 6 * longest_wait


def test_attempts_to_stop_a_channel_wait_longer_each_time_and_end():
    waits = [stop_again_in(attempts, 0.5) for attempts in range(1, MOST_STOPS + 1)]

    assert waits[-1] is None
    assert waits[:-1] == sorted(waits[:-1])
    assert sum(waits[:-1], timedelta()) < timedelta(hours=1)


@pytest.mark.parametrize(
    ("ago", "rest"),
    [(None, 0), (SETTLE, 0), (SETTLE * 5, 0), (timedelta(), 1), (SETTLE * 0.25, 0.75), (-SETTLE * 60, 1)],
)
def test_a_calendar_rests_a_second_whatever_the_clocks_say(ago, rest):
    assert rest_s(NOW, None if ago is None else NOW - ago) == rest
