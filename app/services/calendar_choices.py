"""What people decide about each of their calendars: kept in step, paused as it is, or left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.domain.connections import Status
from app.domain.errors import UnknownConnection
from app.ports import CalendarRow, Clock, Nudge, Store, Transaction


class Choice(StrEnum):
    """What is done with a calendar."""

    SYNC = "sync"
    PAUSE = "pause"
    """It stays as it is."""
    LEAVE_OUT = "leave_out"
    """Nothing of it is kept."""


@dataclass(frozen=True)
class CalendarChoices:
    """Takes effect with the commit; a run under way is still applied to a paused calendar, to none that is left out."""

    store: Store
    nudge: Nudge
    clock: Clock

    def choose(self, person_id: UUID, connection_id: UUID, wanted: Mapping[UUID, Choice]) -> int:
        """Do with the connection's calendars what the person wants; returns how many changed.

        Ids that are none of this connection's are ignored: the calendar may have vanished meanwhile. Raises
        ``UnknownConnection`` for one that is not this person's.
        """
        with self.store.transaction() as tx:
            connection = tx.connections.get(connection_id)
            is_own = connection is not None and connection.person_id == person_id
            if connection is None or not is_own or connection.status is Status.DISCONNECTED:
                raise UnknownConnection
            calendars = {row.id: row for row in tx.calendars.of_connection(connection_id)}
            changed = {
                key: choice for key, choice in wanted.items() if key in calendars and choice is not _now(calendars[key])
            }
            for key, choice in changed.items():
                self._apply(tx, calendars[key], choice)
                tx.audit.event(
                    "calendar_chosen", self.clock(), person_id=person_id, connection_id=connection_id,
                    detail={"calendar": str(key), "choice": choice},
                )  # fmt: skip
        for key, choice in changed.items():
            if choice is Choice.SYNC:
                self.nudge.sync_calendar(key)
        return len(changed)

    def _apply(self, tx: Transaction, calendar: CalendarRow, choice: Choice) -> None:
        now = self.clock()
        tx.calendars.pause(calendar.id, now if choice is Choice.PAUSE else None)
        is_selected = choice is not Choice.LEAVE_OUT
        if is_selected != calendar.is_selected:
            tx.calendars.select(calendar.id, is_selected=is_selected, now=now)
        elif choice is Choice.SYNC:
            tx.calendars.request_sync(calendar.id, now)


def _now(calendar: CalendarRow) -> Choice:
    return choice_of(is_selected=calendar.is_selected, paused_at=calendar.paused_at)


def choice_of(*, is_selected: bool, paused_at: datetime | None) -> Choice:
    """Return what is done with a calendar that is so."""
    if not is_selected:
        return Choice.LEAVE_OUT
    return Choice.SYNC if paused_at is None else Choice.PAUSE
