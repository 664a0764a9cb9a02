"""Tell pages that lead somewhere from those that go round in circles.

Providers in trouble send the same page under ever new links, the same link again, or nothing at all for ever.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Final

from app.domain.errors import ProviderUnavailable

MOST_REPEATS: Final = 3
"""Items may come twice in a round, whole pages hardly ever; the loop that never ends repeats them for good."""
MOST_EMPTY: Final = 100
"""Pages without an item, in a row: a few are normal, where what changed is not shown."""


class PageGuard:
    """What the pages of one list have been so far; digests, because a list may have a million items."""

    def __init__(self) -> None:
        self._contents: Counter[bytes] = Counter()
        self._links: set[bytes] = set()
        self._empty_in_a_row = 0

    def take(self, items: Iterable[str], following: str) -> None:
        """Look at a page and the link (or token) it gives for the next one.

        ``items`` are the ids and versions on it. Raises ``ProviderUnavailable('endless_paging')``.
        """
        listed, link = sorted(items), _digest([following])
        contents = _digest(listed)
        self._contents[contents] += bool(listed)
        self._empty_in_a_row = 0 if listed else self._empty_in_a_row + 1
        repeats = self._contents[contents] > MOST_REPEATS or link in self._links
        if repeats or self._empty_in_a_row > MOST_EMPTY:
            raise ProviderUnavailable("endless_paging")
        self._links.add(link)


def _digest(texts: Iterable[str]) -> bytes:
    return hashlib.sha256("\n".join(texts).encode()).digest()
