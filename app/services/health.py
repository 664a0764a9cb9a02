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
        web processes out of service for it would turn a delay into an outage.
        """
        return () if self.broker_answers() else ("broker_unavailable",)
