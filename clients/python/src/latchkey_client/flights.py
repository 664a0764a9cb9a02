"""Let many callers who want the same thing at the same time share one call for it (single flight).

The first caller leads. The others get its result, or its error where that would be theirs as well. When the leader's
error came of its own lack of time, or it was cancelled, the next one leads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from latchkey_client.deadlines import Deadline
from latchkey_client.errors import LatchkeyError, RateLimited, TemporarilyUnavailable

T = TypeVar("T")


class _Flight(Generic[T]):
    """What a leader brings home: a result, an error that holds for all, or nothing."""

    def __init__(self) -> None:
        self.result: T | None = None
        self.error: LatchkeyError | None = None

    def note(self, error: LatchkeyError) -> None:
        """Keep an error unless another caller, with more time, could do better."""
        if not isinstance(error, TemporarilyUnavailable | RateLimited):
            self.error = error

    def share(self) -> T | None:
        """Return the result, null when there is none; raise the error."""
        if self.error is not None:
            raise self.error
        return self.result


class ThreadFlight(_Flight[T]):
    """A flight that threads wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.landed = threading.Event()


class TaskFlight(_Flight[T]):
    """A flight that tasks of one event loop wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.landed = asyncio.Event()


class ThreadFlights(Generic[T]):
    """Calls under way, by what they are for."""

    def __init__(self) -> None:
        """Start with none."""
        self._lock = threading.Lock()
        self._aloft: dict[Hashable, ThreadFlight[T]] = {}

    def share(self, key: Hashable, lead: Callable[[], T], deadline: Deadline) -> T:
        """Return what `lead` returns, called by this thread or by another one at the moment; raises its errors."""
        while True:
            with self._lock:
                other = self._aloft.get(key)
                flight = other or self._aloft.setdefault(key, ThreadFlight())
            if other is None:
                return self._lead(key, flight, lead)
            flight.landed.wait(deadline.remaining_s())
            if (result := flight.share()) is not None:
                return result

    def _lead(self, key: Hashable, flight: ThreadFlight[T], lead: Callable[[], T]) -> T:
        try:
            flight.result = result = lead()
        except LatchkeyError as error:
            flight.note(error)
            raise
        finally:
            with self._lock:
                del self._aloft[key]
            flight.landed.set()
        return result


class TaskFlights(Generic[T]):
    """Calls under way in one event loop, by what they are for."""

    def __init__(self) -> None:
        """Start with none."""
        self._aloft: dict[Hashable, TaskFlight[T]] = {}

    async def share(self, key: Hashable, lead: Callable[[], Awaitable[T]]) -> T:
        """Return what `lead` returns, awaited by this task or by another one at the moment; raises its errors."""
        while (other := self._aloft.get(key)) is not None:
            await other.landed.wait()
            if (result := other.share()) is not None:
                return result
        flight = self._aloft[key] = TaskFlight()
        try:
            flight.result = result = await lead()
        except LatchkeyError as error:
            flight.note(error)
            raise
        finally:
            del self._aloft[key]
            flight.landed.set()
        return result
