"""One thread works for all that want the same thing at the same time: a crowd must not load the database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass
class _Look(Generic[V]):
    done: threading.Event = field(default_factory=threading.Event)
    found: list[V] = field(default_factory=list)
    error: BaseException | None = None


class SharedLook(Generic[K, V]):
    """Lets the first thread look and gives what it found, or its error, to those who come meanwhile."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[K, _Look[V]] = {}

    def at(self, key: K, look: Callable[[], V]) -> V:
        """Return what ``look`` returns, here or in the thread that was first; raises what it raises."""
        with self._lock:
            other = self._under_way.get(key)
            mine = self._under_way.setdefault(key, _Look()) if other is None else None
        if mine is not None:
            return self._look(key, mine, look)
        assert other is not None  # noqa: S101  # one of the two; tells the type checker
        other.done.wait()
        if other.error is not None:
            raise other.error
        return other.found[0]

    def _look(self, key: K, mine: _Look[V], look: Callable[[], V]) -> V:
        try:
            found = look()
            mine.found.append(found)
        except BaseException as error:
            mine.error = error
            raise
        finally:
            with self._lock:
                del self._under_way[key]
            mine.done.set()
        return found
