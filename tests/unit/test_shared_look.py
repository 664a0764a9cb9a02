"""One look for many threads."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.services.shared_look import SharedLook

OTHERS = 7


def test_threads_that_come_meanwhile_share_one_look_and_what_it_found() -> None:
    shared: SharedLook[str, int] = SharedLook()
    looking, go_on = threading.Event(), threading.Event()
    looks: list[int] = []

    def look() -> int:
        looks.append(1)
        looking.set()
        assert go_on.wait(30)
        return len(looks)

    with ThreadPoolExecutor(1 + OTHERS) as pool:
        first = pool.submit(shared.at, "key", look)
        assert looking.wait(30)
        others = [pool.submit(shared.at, "key", look) for _ in range(OTHERS)]
        while waiting_for(shared) < OTHERS:
            time.sleep(0.01)
        elsewhere = shared.at("another", lambda: 42)
        go_on.set()
        found = [future.result() for future in (first, *others)]

    assert elsewhere == 42
    assert found == [1] * (1 + OTHERS)
    assert shared.at("key", lambda: 7) == 7


def waiting_for(shared: SharedLook[str, int]) -> int:
    return len(shared._under_way["key"].done._cond._waiters)


def test_an_error_is_everybodys_and_is_not_kept() -> None:
    shared: SharedLook[str, int] = SharedLook()

    def fail() -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        shared.at("key", fail)

    assert shared.at("key", lambda: 1) == 1
