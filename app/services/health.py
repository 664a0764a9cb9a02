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
        """Return the codes of what is missing; empty means ready.

        A missing broker is named but would only slow us down: rows are found by the scheduler's tick.
        """
        faults = []
        try:
            self.store.ping()
        except LatchkeyError as error:
            faults.append(error.code)
        if not self.broker_answers():
            faults.append("broker_unavailable")
        return tuple(faults)
