"""Pages are asked for when there is room, and not otherwise."""

from types import SimpleNamespace
from uuid import UUID

import pytest

from app.domain.calendars import ChangePage
from app.domain.errors import ProviderThrottled
from app.services.call_pace import LONGEST_WAIT_S, CallPace

GOOGLE = SimpleNamespace(kind="google", key="work")
PAGES = [ChangePage(), ChangePage(), ChangePage(cursor="c")]


class Meter:
    """A budget that answers as it was told to, then 0; and the sleeps in between."""

    def __init__(self, *waits):
        self.waits, self.drawn, self.slept = list(waits), [], []

    def draw(self, draws):
        self.drawn.append([draw.bucket for draw in draws])
        return self.waits.pop(0) if self.waits else 0.0

    def charge(self, draw):
        raise AssertionError(draw)


def spaced(meter, provider=GOOGLE):
    return CallPace(meter, meter.slept.append).spaced(provider, UUID(int=7), iter(PAGES))


def test_each_page_draws_once_from_both_buckets():
    meter = Meter()

    assert list(spaced(meter)) == PAGES
    assert meter.drawn == [["work:calendar", f"work:calendar:{UUID(int=7)}"]] * 3


def test_a_short_wait_is_waited_for():
    meter = Meter(0.0, 1.5, 0.5)

    assert list(spaced(meter)) == PAGES
    assert meter.slept == [1.5, 0.5]


def test_a_long_wait_ends_the_run_and_says_when_to_come_back():
    meter = Meter(0.0, LONGEST_WAIT_S + 1)
    pages = spaced(meter)
    next(pages)

    with pytest.raises(ProviderThrottled) as caught:
        next(pages)

    assert caught.value.retry_after_s == LONGEST_WAIT_S + 1
    assert meter.slept == []
