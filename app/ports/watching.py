"""What watches over refreshes: who is alive, whose attempts were left open, answers the database could not take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from app.ports.connections import NewGeneration


class Presence(Protocol):
    """Proves that this process lives, in a way that ends with it."""

    @property
    def identity(self) -> str:
        """Return the name of this process on leases and attempts; no other process ever had it."""

    def beat(self) -> None:
        """Announce that this process lives; raises ``StoreUnavailable``."""


class Escrow(Protocol):
    """Keeps sealed answers outside the database until it takes them."""

    def put(self, row: NewGeneration) -> bool:
        """Write the row so that it survives this process and the machine; returns whether that worked."""

    def waiting(self) -> Iterator[NewGeneration]:
        """Return the rows kept by any process here, this one's included."""

    def drop(self, row: NewGeneration) -> None:
        """Forget a row that the database has taken."""
