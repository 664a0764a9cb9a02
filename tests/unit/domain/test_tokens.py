"""Token answers, refresh times and delays."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from app.domain.secret import Secret
from app.domain.tokens import (
    DEFAULT_LIFETIME_S,
    LONGEST_LIFETIME_S,
    AccessToken,
    TokenAnswer,
    refresh_due_at,
    retry_delay_s,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def answer(expires_in_s: int | None = 3600, scope: str | None = "b a b") -> TokenAnswer:
    """Return an answer with these two members."""
    return TokenAnswer(Secret("at"), None, None, expires_in_s, scope)


def test_granted_scopes_are_sorted_and_single() -> None:
    assert answer().granted_scopes() == ("a", "b")


def test_an_answer_without_scope_does_not_say_what_was_granted() -> None:
    assert answer(scope=None).granted_scopes() is None


def test_a_missing_lifetime_is_assumed_and_a_huge_one_is_cut() -> None:
    assert answer(None).lifetime() == timedelta(seconds=DEFAULT_LIFETIME_S)
    assert answer(10**12).lifetime() == timedelta(seconds=LONGEST_LIFETIME_S)


@given(st.floats(min_value=0, max_value=1, exclude_max=True), st.integers(min_value=2, max_value=10**6))
def test_refresh_falls_due_between_half_and_most_of_the_life(spread: float, life_s: int) -> None:
    due = refresh_due_at(NOW, NOW + timedelta(seconds=life_s), spread)

    assert NOW + timedelta(seconds=life_s * 0.499) <= due <= NOW + timedelta(seconds=life_s * 0.851)


def test_delays_grow_and_stay_bounded() -> None:
    assert retry_delay_s(1, 0.5) < retry_delay_s(4, 0.5) < retry_delay_s(8, 0.5)
    assert retry_delay_s(500, 0.999) <= 300


def test_remaining_life_counts_from_the_given_now() -> None:
    token = AccessToken(Secret("at"), NOW + timedelta(seconds=90), (), 1)

    assert token.remaining_s(NOW + timedelta(seconds=30)) == 60
