"""How fast the calendar side of a provider is asked: the same buckets for all processes, waited for, not failed at.

A run that is slowed down goes on where it was; one that was refused would read everything again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID

from app.domain.calendars import ChangePage
from app.domain.errors import ProviderThrottled
from app.ports import CallBudget, Draw, Provider

LONGEST_WAIT_S = 20.0
"""For one page. Whoever would wait longer comes back later: a thread is not kept for that."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Pages a second, and how many at once."""

    calls_per_s: float
    calls_burst: float
    connection_calls_per_s: float
    connection_calls_burst: float


PACES: Mapping[str, Pace] = {
    # Calendar API quotas page: 10,000 requests a minute and project, 600 a minute and user; a tenth is left for lists,
    # channels and people's own calls.
    "google": Pace(150, 1000, 9, 60),
    # Outlook service limits: 10,000 requests in 10 minutes for an app and mailbox; none is stated for an app alone.
    "microsoft": Pace(500, 2000, 15, 150),
}
"""By kind of provider. A page of Graph may take further requests for the series it touches, which are not counted: what
limits those is that a mailbox answers four at a time."""


@dataclass(frozen=True)
class CallPace:
    """Draws from the budget before each page."""

    budget: CallBudget | None = None
    """Null where nobody else is there to share with."""
    sleep: Callable[[float], None] = time.sleep

    def spaced(self, provider: Provider, connection_id: UUID, pages: Iterable[ChangePage]) -> Iterator[ChangePage]:
        """Yield ``pages``, each asked for when there is room. Raises ``ProviderThrottled`` when that takes too long."""
        rest = iter(pages)
        while True:
            self._wait(provider, connection_id)
            page = next(rest, None)
            if page is None:
                return
            yield page
            if page.cursor is not None:
                # The last one: nothing more is asked for.
                return

    def _wait(self, provider: Provider, connection_id: UUID) -> None:
        pace = PACES.get(provider.kind)
        if pace is None or self.budget is None:
            return
        draws = (
            Draw(f"{provider.key}:calendar", pace.calls_per_s, pace.calls_burst),
            Draw(f"{provider.key}:calendar:{connection_id}", pace.connection_calls_per_s, pace.connection_calls_burst),
        )
        waited = 0.0
        while (wait_s := self.budget.draw(draws)) > 0:
            waited += wait_s
            if waited > LONGEST_WAIT_S:
                raise ProviderThrottled("budget", retry_after_s=wait_s)
            self.sleep(wait_s)
