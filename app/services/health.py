"""Readiness: what must work for this process to be of use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.domain.errors import LatchkeyError
from app.ports import Store


@dataclass(frozen=True)
class Health:
    """Asks the things we depend on."""

    store: Store
    broker_answers: Callable[[], bool]
    open_providers: Callable[[], tuple[str, ...]] = tuple
    """Returns the providers whose calls are paused."""

    def ready(self) -> tuple[str, ...]:
        """Return the codes of what this process cannot serve without; empty means ready."""
        try:
            self.store.ping()
        except LatchkeyError as error:
            return (error.code,)
        return ()

    def slowed_by(self) -> tuple[str, ...]:
        """Return the codes of what is missing but only slows us down.

        Without a broker, hints are lost and rows are found by the scheduler's tick once it is back; taking the
        web processes out of service for it would turn a delay into an outage. A provider that is not called
        (``breaker_open:`` and its key) leaves the tokens that live and all other providers.
        """
        broker = () if self.broker_answers() else ("broker_unavailable",)
        return (*broker, *(f"breaker_open:{key}" for key in self.open_providers()))
