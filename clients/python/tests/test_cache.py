"""How long a token is kept, and how many."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from latchkey_client import Connection, Token, TokenRequest
from latchkey_client.cache import JITTER_S, MARGIN_S, TokenCache

NOW = datetime(2031, 1, 1, tzinfo=UTC)
LIFE_S = 3600


class Clock:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


def token(number=0, life_s=LIFE_S):
    request = TokenRequest(Connection(str(number)), "google")
    return Token(f"value-{number}", NOW + timedelta(seconds=life_s), (), str(number), "handout", None, request)


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
def test_lets_go_before_the_end_by_a_margin_that_differs(spread):
    clock = Clock()
    cache, kept = TokenCache(now=clock, spread=lambda: spread), token()
    cache.put(kept)
    usable_s = LIFE_S - MARGIN_S - JITTER_S * spread

    clock.now = NOW + timedelta(seconds=usable_s - 1)
    assert cache.get(kept.request, 0) is kept
    clock.now = NOW + timedelta(seconds=usable_s)
    assert cache.get(kept.request, 0) is None


def test_never_gives_less_than_is_asked():
    clock = Clock()
    cache, kept = TokenCache(now=clock), token()
    cache.put(kept)
    clock.now = NOW + timedelta(seconds=LIFE_S - 600)

    assert cache.get(kept.request, 600) is kept
    assert cache.get(kept.request, 601) is None


def test_forgets_what_was_not_used_for_longest():
    cache, kept = TokenCache(most=3, now=Clock()), [token(number) for number in range(4)]
    for one in kept[:3]:
        cache.put(one)
    cache.get(kept[0].request, 60)
    cache.put(kept[3])

    found = [cache.get(one.request, 60) is not None for one in kept]

    assert found == [True, False, True, True]


def test_rejections_do_not_pile_up():
    cache = TokenCache(most=3, now=Clock())
    for number in range(10):
        cache.reject(token(number))

    assert sum(cache.rejected_sha256(token(number).request) is not None for number in range(10)) == 3


def test_a_rejected_token_that_was_on_its_way_is_not_kept():
    cache, kept = TokenCache(now=Clock()), token()
    cache.reject(kept)
    cache.put(kept)

    assert cache.get(kept.request, 60) is None
    assert cache.rejected_sha256(kept.request) == kept.sha256()
