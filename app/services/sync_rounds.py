"""One round of one calendar on its way from the provider's pages to the one transaction that applies it.

Pages are written down as they come and read back by series, so memory is bounded by a page and a batch, whatever the
size of the calendar. Everything here happens with no transaction open but those that write a page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from app.domain.calendars import ChangePage, EventKind, Occurrence, RemoteEvent, Series, Window
from app.domain.errors import CursorExpired, StoreUnavailable, Unrepresentable
from app.domain.rounds import merge_pages, occurrences_of, touched_series
from app.ports import RoundKey, StagedPage, Store, SyncRun, Tally

LEASE_S = 150.0
"""Above the deadline of a page, and prolonged with every page and batch."""

SERIES_AT_ONCE = 200
SINGLES_AT_ONCE = 2000
OCCURRENCES_AT_ONCE = 10_000
"""Each a few megabytes."""


@dataclass
class StagedRound:
    """Takes in pages, then works out what they mean for series."""

    store: Store
    run: SyncRun
    owner: str
    window: Window
    expands: bool
    """Whether series are ours to expand."""
    full: bool
    whole_window: bool = False
    """Whether every stored series is expanded anew, because the window has moved."""
    cursor: str | None = None
    staged: Tally = field(default_factory=Tally)
    events: int = 0
    removed: int = 0
    _ordinal: int = 0
    _pages: int = 0

    @property
    def key(self) -> RoundKey:
        """Return the name under which it is staged."""
        return RoundKey(self.run.calendar.id, self.run.epoch)

    def take(self, pages: Iterable[ChangePage]) -> None:
        """Write pages down as they come. Raises what the provider raises, and ``CursorExpired`` when overtaken."""
        for page in pages:
            events, removed = merge_pages((page,))
            self._pages += 1
            self.events += len(events)
            self.removed += len(removed)
            self.full |= page.is_full
            self.cursor = page.cursor
            found = {key: self._single(event) for key, event in events.items() if event.kind is EventKind.SINGLE}
            found |= {one.series_id: one.occurrences for one in page.series}
            self._stage(StagedPage(tuple(events.values()), removed, found, forgets_exceptions=not self.expands))
        if self.cursor is None:
            raise CursorExpired("the last page had no cursor")

    def restart(self) -> None:
        """Forget what was taken in, to begin again."""
        self.discard()
        self.staged, self.events, self.removed, self._pages = Tally(), 0, 0, 0

    def discard(self) -> None:
        """Delete what was staged. What stays because the database is away is deleted later by whoever tidies up."""
        if self._ordinal:
            with suppress(StoreUnavailable), self.store.transaction() as tx:
                tx.staging.discard(self.key)

    def settle(self) -> None:
        """Keep the last word on every id, and expand every series that is touched."""
        if self.staged.items == 0 and not self.whole_window:
            return
        self._drop_superseded()
        if self.removed and not self.full:
            with self.store.transaction() as tx:
                tx.staging.name_series_of_removed(self.key)
        if self.expands:
            self._expand()
        if self.whole_window:
            self._repeat_singles()

    def _drop_superseded(self) -> None:
        if self._pages > 1:
            with self.store.transaction() as tx:
                self.staged -= tx.staging.drop_superseded(self.key)

    def _expand(self) -> None:
        after, found_problems = "", False
        while series_ids := self._next_series(after):
            after = series_ids[-1]
            with self.store.reading() as tx:
                stored = () if self.full else tx.calendars.series(self.run.calendar.id, series_ids)
                events, removed = tx.staging.of_series(self.key, series_ids)
            touched = touched_series(set(series_ids), stored, events, removed)
            found_problems |= self._stage_series(touched.series)
            with self.store.transaction() as tx:
                tx.staging.forget(self.key, touched.lost)
        if found_problems:
            # Masters that cannot be expanded were written down once more, with the reason.
            with self.store.transaction() as tx:
                self.staged -= tx.staging.drop_superseded(self.key)

    def _next_series(self, after: str) -> tuple[str, ...]:
        with self.store.reading() as tx:
            return tx.staging.series_ids(self.key, after, SERIES_AT_ONCE, stored_too=self.whole_window)

    def _stage_series(self, series: Mapping[str, Series]) -> bool:
        """Expand some series and write their occurrences down; returns whether one could not be expanded."""
        problems: list[RemoteEvent] = []
        found: dict[str, tuple[Occurrence, ...]] = {}
        count = 0
        for key, one in series.items():
            found[key], problem = expanded(one, self.window)
            if problem is not None and one.master is not None:
                problems.append(replace(one.master, problem=problem))
            count += len(found[key])
            if count > OCCURRENCES_AT_ONCE:
                self._stage(StagedPage(occurrences=found))
                found, count = {}, 0
        self._stage(StagedPage(tuple(problems), occurrences=found))
        return bool(problems)

    def _repeat_singles(self) -> None:
        """Write down the occurrences of single events the round does not mention: the window may have reached them."""
        after = ""
        while singles := self._next_singles(after):
            after = singles[-1].provider_id
            found = {event.provider_id: self._single(event) for event in singles}
            self._stage(StagedPage(occurrences={key: one for key, one in found.items() if one}))

    def _next_singles(self, after: str) -> Sequence[RemoteEvent]:
        with self.store.reading() as tx:
            return tx.staging.other_singles(self.key, after, SINGLES_AT_ONCE)

    def _single(self, event: RemoteEvent) -> tuple[Occurrence, ...]:
        return occurrences_of(Series(event), self.window)

    def _stage(self, page: StagedPage) -> None:
        with self.store.transaction() as tx:
            if not tx.calendars.progress(
                self.run, self.owner, LEASE_S, is_full=self.full, pages=self._pages, items=self.events + self.removed
            ):
                raise CursorExpired("another run was quicker")
            added = tx.staging.add(self.key, page, self._ordinal)
        self._ordinal += added.items
        self.staged += added


def expanded(series: Series, window: Window) -> tuple[tuple[Occurrence, ...], str | None]:
    """Return all occurrences of a series, or none and the reason why it cannot be expanded."""
    try:
        return occurrences_of(series, window), None
    except Unrepresentable as error:
        return (), error.detail or error.code
