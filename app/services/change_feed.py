"""The feed of changes: every event's newest change, in pages, from the beginning or since a reader last looked.

A round reads everything up to one snapshot, calendar by calendar and in the order of each calendar's changes. The next
round reads what was committed since. Nothing is kept here about readers: where one stands is in its cursor.

Which calendars a reader may see changes as well: people connect, pause, and switch services off. The cursor holds a
digest of the calendars it has read, in 32 groups; the calendars of a group whose digest differs now are read from
their beginning once more. So one that became visible is never missed, at the price of a few that come again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from app.domain.calendar_reading import ShownSeries
from app.domain.people import Service
from app.domain.reading_errors import FeedCursorExpired, FeedCursorForeign
from app.ports import ChangedEvent, Origin, Span, Transaction
from app.services.calendar_access import Asked, Refused
from app.services.calendar_reading import Account, CalendarReading, CalendarView, shown_series

GROUPS = 32
DIGEST_BYTES = 4
NOTHING = bytes(GROUPS * DIGEST_BYTES)
"""The digests of no calendar at all."""
_DIFFERENT = b"\xff" * DIGEST_BYTES
"""What no set of calendars has, but for chance: such a group is read again."""

MOST_OCCURRENCES = 20_000
"""In one page: a page of long daily series is cut sooner than its number of changes says."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a reader stands."""

    database: bytes
    selection: bytes
    """Of the question and who asked it."""
    since: str | None
    """Snapshot of the last whole round; null before the first."""
    known: bytes
    """Digests of the calendars read in it."""
    until: str | None = None
    """Snapshot of the round under way; null between two."""
    target: bytes = b""
    """Digests of the calendars when it began; empty between two."""
    after: tuple[UUID, int] | None = None
    """Calendar and number of the last change read in it."""


@dataclass(frozen=True, slots=True)
class Change:
    """One event's newest change, with the event as it is now."""

    changed: ChangedEvent
    series: ShownSeries | None
    """Null when the event is gone."""
    person_id: UUID
    """Whose calendar it is in."""


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Changes by calendar, each calendar's in their order."""

    changes: tuple[Change, ...]
    position: Position
    has_more: bool
    """Whether the next page is there already."""
    calendars: tuple[UUID, ...] | None
    """All the reader sees, when that may have changed; null otherwise, and before the end of a round."""
    refused: tuple[Refused, ...]


@dataclass(frozen=True)
class ChangeFeed:
    """Reads changes for services."""

    reading: CalendarReading

    def read(self, service: Service, asked: Asked, position: Position | None, limit: int) -> ChangePage:
        """Return the page after ``position``, null for the beginning.

        Raises as ``CalendarReading.calendars``, ``FeedCursorForeign`` and ``FeedCursorExpired``.
        """
        self.reading.access.slow_down(service, asked)
        selection = _selection(service, asked)
        if position is not None and position.selection != selection:
            raise FeedCursorForeign("selection")
        with self.reading.store.snapshot() as tx, Account(self.reading, service, asked, "changes") as account:
            origin = tx.calendar_reading.origin()
            access = account.open(tx)
            kept = (view for view in self.reading.views(tx, access) if view.calendar.is_selected)
            views = {view.calendar.id: view for view in kept}
            here = _in_round(position or Position(origin.database, selection, None, NOTHING), origin, views)
            found = _read(tx, here, views, limit + 1)
            cut = _cut(found, limit)
            changes = _contents(tx, cut, views)
            has_more = len(cut) < len(found)
            is_other = not has_more and (here.since is None or here.known != here.target)
            refused = access.refused if is_other else ()
            read = Counter(views[one.calendar_id].connection.id for one in cut)
            # Nobody else was asked about by name.
            account.settle(read, refused if asked.subjects else (), only_read=True)
        if has_more:
            there = replace(here, after=(cut[-1].calendar_id, cut[-1].seq))
        else:
            there = Position(here.database, selection, here.until, here.target)
        return ChangePage(changes, there, has_more, tuple(sorted(views)) if is_other else None, refused)


def digests(calendar_ids: Iterable[UUID]) -> bytes:
    """Return one digest for each group of ids, whatever their order."""
    found = [0] * GROUPS
    for one in calendar_ids:
        found[_group(one)] ^= int.from_bytes(hashlib.sha256(one.bytes).digest()[:DIGEST_BYTES])
    return b"".join(digest.to_bytes(DIGEST_BYTES) for digest in found)


def _group(calendar_id: UUID) -> int:
    return calendar_id.bytes[0] % GROUPS


def _of_group(all_digests: bytes, group: int) -> bytes:
    return all_digests[group * DIGEST_BYTES : (group + 1) * DIGEST_BYTES]


def _selection(service: Service, asked: Asked) -> bytes:
    named = [str(service.id), asked.purpose or "", *sorted(str(subject.person_id) for subject in asked.subjects)]
    return hashlib.sha256("\n".join(named).encode()).digest()[:8]


def _in_round(position: Position, origin: Origin, visible: Collection[UUID]) -> Position:
    """Return the position inside a round, a new one if none is under way; raises ``FeedCursorExpired``."""
    if position.database != origin.database:
        raise FeedCursorExpired
    now = digests(visible)
    if position.until is None:
        return replace(position, until=origin.snapshot, target=now, after=None)
    # Calendars that came or went meanwhile may have been passed already: the next round has their group again.
    target = b"".join(
        _of_group(now, group) if _of_group(now, group) == _of_group(position.target, group) else _DIFFERENT
        for group in range(GROUPS)
    )
    return replace(position, target=target)


def _read(tx: Transaction, here: Position, visible: Collection[UUID], limit: int) -> tuple[ChangedEvent, ...]:
    assert here.until is not None  # noqa: S101  # inside a round; tells the type checker
    now = digests(visible)
    fresh = {one for one in visible if _of_group(now, _group(one)) != _of_group(here.known, _group(one))}
    return tx.calendar_reading.changes(Span(here.since, here.until, here.after), visible, fresh, limit)


def _cut(found: Sequence[ChangedEvent], limit: int) -> tuple[ChangedEvent, ...]:
    """Return the changes of one page, at least one if there is any."""
    total, cut = 0, list[ChangedEvent]()
    for one in found[:limit]:
        total += one.occurrences
        if cut and total > MOST_OCCURRENCES:
            break
        cut.append(one)
    return tuple(cut)


def _contents(tx: Transaction, cut: Sequence[ChangedEvent], views: dict[UUID, CalendarView]) -> tuple[Change, ...]:
    keys = [(one.calendar_id, one.event_id) for one in cut if not one.is_removed]
    found = {(one.calendar_id, one.event_id): one for one in tx.calendar_reading.contents(keys)} if keys else {}
    return tuple(_change(one, found.get((one.calendar_id, one.event_id)), views) for one in cut)


def _change(changed: ChangedEvent, series: ShownSeries | None, views: dict[UUID, CalendarView]) -> Change:
    view = views[changed.calendar_id]
    return Change(changed, None if series is None else shown_series(series, view), view.calendar.person_id)
