"""Many callers at once."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from fake_latchkey import ADA, SECRET, Reply
from latchkey_client import AsyncLatchkeyClient, InteractionRequired, Person, TemporarilyUnavailable

CALLERS = 30
DENIED = Reply(400, {"error": "interaction_required", "reason": "revoked_by_user"}, delay_s=0.5)


def crowd(work):
    """Run `work` in many threads that start together; return what each returned or raised."""
    together = threading.Barrier(CALLERS)

    def one(_):
        together.wait(10)
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - compared by the test
            return error

    with ThreadPoolExecutor(CALLERS) as pool:
        return list(pool.map(one, range(CALLERS)))


def test_threads_share_one_call(latchkey, client):
    latchkey.exchange_takes_s = 0.5

    tokens = crowd(lambda: client.token(ADA, "google"))

    assert {token.value for token in tokens} == {client.token(ADA, "google").value}
    assert len(latchkey.exchanges()) == len(latchkey.service_calls()) == 1


def test_threads_share_an_error_that_holds_for_all(latchkey, client):
    latchkey.exchange_replies.append(DENIED)

    errors = crowd(lambda: client.token(ADA, "google"))

    assert {type(error) for error in errors} == {InteractionRequired}
    assert len(latchkey.exchanges()) == 1


def test_threads_with_different_questions_share_the_service_token(latchkey, client):
    latchkey.service_replies.append(Reply(delay_s=0.3))
    numbers = iter(range(CALLERS))

    tokens = crowd(lambda: client.token(Person(str(next(numbers))), "google"))

    assert len({token.value for token in tokens}) == CALLERS
    assert len(latchkey.service_calls()) == 1


def test_a_thread_with_more_time_goes_on_where_the_first_gave_up(latchkey, client):
    latchkey.exchange_replies.append(Reply(delay_s=1.0))
    with ThreadPoolExecutor(2) as pool:
        hurried = pool.submit(client.token, ADA, "google", timeout_s=0.4)
        while not latchkey.exchanges():
            threading.Event().wait(0.01)
        patient = pool.submit(client.token, ADA, "google", timeout_s=10)

        with pytest.raises(TemporarilyUnavailable):
            hurried.result()
        assert patient.result().value
    assert len(latchkey.exchanges()) == 2


def test_tasks_share_one_call(latchkey):
    latchkey.exchange_takes_s = 0.2

    async def work():
        async with AsyncLatchkeyClient(latchkey.url, SECRET) as client:
            return await asyncio.gather(*(client.token(ADA, "google") for _ in range(CALLERS)))

    tokens = asyncio.run(work())

    assert len({token.value for token in tokens}) == 1
    assert len(latchkey.exchanges()) == len(latchkey.service_calls()) == 1


def test_tasks_share_an_error_that_holds_for_all(latchkey):
    latchkey.exchange_replies.append(DENIED)

    async def work():
        async with AsyncLatchkeyClient(latchkey.url, SECRET) as client:
            asked = (client.token(ADA, "google") for _ in range(CALLERS))
            return await asyncio.gather(*asked, return_exceptions=True)

    assert {type(error) for error in asyncio.run(work())} == {InteractionRequired}
    assert len(latchkey.exchanges()) == 1


def test_a_task_that_is_cancelled_leaves_the_others_unharmed(latchkey):
    latchkey.exchange_takes_s = 0.2

    async def work():
        async with AsyncLatchkeyClient(latchkey.url, SECRET) as client:
            first = asyncio.create_task(client.token(ADA, "google"))
            await asyncio.sleep(0.1)
            others = [asyncio.create_task(client.token(ADA, "google")) for _ in range(3)]
            await asyncio.sleep(0)
            first.cancel()
            return await asyncio.gather(first, *others, return_exceptions=True)

    first, *others = asyncio.run(work())

    assert isinstance(first, asyncio.CancelledError)
    assert len({token.value for token in others}) == 1


def test_a_task_waits_no_longer_than_its_own_deadline(latchkey):
    latchkey.exchange_takes_s = 1.0

    async def work():
        async with AsyncLatchkeyClient(latchkey.url, SECRET) as client:
            patient = asyncio.create_task(client.token(ADA, "google"))
            await asyncio.sleep(0.1)
            with pytest.raises(TemporarilyUnavailable):
                await client.token(ADA, "google", timeout_s=0.2)
            assert not patient.done()
            return await patient

    assert asyncio.run(work()).value
