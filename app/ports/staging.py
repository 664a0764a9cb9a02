"""What the use cases need from the store: a place for what a sync round brings, until it is applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from app.domain.calendars import Occurrence, RemoteEvent, Window


@dataclass(frozen=True, slots=True)
class RoundKey:
    """Names one round of one calendar."""

    calendar_id: UUID
    epoch: int
    """Of the lease it runs under; negative for rounds that only compare."""


@dataclass(frozen=True, slots=True)
class StagedPage:
    """A part of a round."""

    events: tuple[RemoteEvent, ...] = ()
    """Each id once."""
    removed: tuple[str, ...] = ()
    occurrences: Mapping[str, tuple[Occurrence, ...]] = field(default_factory=dict)
    """Id of a single event or series to its full set of occurrences in the window."""
    forgets_exceptions: bool = False
    """Whether removed exceptions are none any more; otherwise they are cancelled instances, kept with their series."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts staged rows."""

    items: int = 0
    occurrences: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Return both together."""
        return Tally(self.items + other.items, self.occurrences + other.occurrences)

    def __sub__(self, other: Tally) -> Tally:
        """Return what is left without ``other``."""
        return Tally(self.items - other.items, self.occurrences - other.occurrences)


@dataclass(frozen=True, slots=True)
class Losses:
    """What a full pass would take away."""

    stored: int
    """Events there are, series once, without those that were over before the window."""
    missing: int
    """Those of them that the pass did not bring."""
    found: int
    """Events the pass brought."""


@dataclass(frozen=True, slots=True)
class Differences:
    """How the stored calendar differs from a fresh reading of the whole; ids are samples, a few of each."""

    compared: int
    missing: int
    surplus: int
    different: int
    samples: Mapping[str, Sequence[str]]

    @property
    def total(self) -> int:
        """Return how many events are not as they should be."""
        return self.missing + self.surplus + self.different


class StagingStore(Protocol):
    """Rows of rounds that are not applied yet. Lost with a crash of the database, and with it the round."""

    def add(self, key: RoundKey, page: StagedPage, ordinal: int) -> Tally:
        """Write a page down, in the order of ``ordinal``; the page takes as many numbers as it has items."""

    def drop_superseded(self, key: RoundKey) -> Tally:
        """Keep the last word on every id; returns what was dropped."""

    def name_series_of_removed(self, key: RoundKey) -> None:
        """Let removed ids that are stored exceptions count for their series."""

    def series_ids(self, key: RoundKey, after: str, limit: int, *, stored_too: bool) -> tuple[str, ...]:
        """Return ids of series that the round touches, in order, beyond ``after``; all stored ones if wanted."""

    def of_series(self, key: RoundKey, series_ids: Sequence[str]) -> tuple[dict[str, RemoteEvent], tuple[str, ...]]:
        """Return what was staged of some series: events by id, and ids that are gone."""

    def other_singles(self, key: RoundKey, after: str, limit: int) -> tuple[RemoteEvent, ...]:
        """Return stored single events that the round does not mention, in order of id, beyond ``after``."""

    def forget(self, key: RoundKey, provider_ids: Sequence[str]) -> None:
        """Let removed exceptions be deleted, not kept as cancelled instances."""

    def losses(self, key: RoundKey, window: Window, *, by_provider: bool) -> Losses:
        """Return what a full pass over ``window`` would take away; ``by_provider``: it is the provider who expands."""

    def compare(self, key: RoundKey, window: Window, began_at: datetime, *, by_provider: bool) -> Differences:
        """Compare with what is stored and was not changed since ``began_at``; staged series by their occurrences."""

    def tally(self, key: RoundKey) -> Tally:
        """Count what is staged."""

    def discard(self, key: RoundKey) -> None:
        """Forget a round."""

    def discard_left_over(self, older_than_s: float) -> int:
        """Forget rounds that nobody goes on with; returns how many rows."""
