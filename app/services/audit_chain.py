"""The audit chain: everything that happened, in one order, each entry bound to all before it by a keyed code.

Any number of processes may append; they take turns by a lock in the database. A crash at any point loses nothing and
doubles nothing: events leave their table with the transaction that logs them, and lines are known by their ids.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.domain.audit import EMPTY, Head, Links, LoggedEntry, chained_text, line_id, line_of, moment_text
from app.domain.errors import CipherError, StoreConflict
from app.ports import Sealer, Store, Transaction

EVENTS_AT_ONCE = 1000
READ_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a verification."""

    head: Head
    """The last place up to which everything is as it was written."""
    fault: str | None
    """What is wrong with the place behind it; null when the log is sound."""
    keys: tuple[tuple[int, bytes], ...]
    """From which place on which key of the ring was used."""


@dataclass(frozen=True)
class AuditChain:
    """Appends to the log, reads it, and tells whether it is still what was appended."""

    store: Store
    sealer: Sealer

    def chain(self, lines: Sequence[str] = ()) -> int:
        """Append waiting events and those of ``lines`` that the log does not have; return how many events there were.

        As many as ``EVENTS_AT_ONCE`` mean that more may wait. Raises ``StoreUnavailable``; then repeat.
        """
        try:
            return self._append(lines)
        except StoreConflict:
            # Only after a crash or a commit whose answer was lost, so nobody pays for looking every time.
            return self._append(lines, may_be_known=True)

    def collect(self) -> None:
        """Append every waiting event. Raises ``StoreUnavailable``."""
        while self.chain() == EVENTS_AT_ONCE:
            pass

    def entries(
        self, since: int = 0, *, person_id: UUID | None = None, connection_id: UUID | None = None
    ) -> Iterator[LoggedEntry]:
        """Yield entries after the place ``since``, in order; of one person or connection if one is named."""
        while True:
            with self.store.reading() as tx:
                found = tx.audit_log.after(since, READ_AT_ONCE, person_id=person_id, connection_id=connection_id)
            yield from found
            if len(found) < READ_AT_ONCE:
                return
            since = found[-1].seq

    def verify(self, noted: Head | None = None) -> Verdict:
        """Recompute the whole chain, up to the first place that is not as it was written.

        Entries cut off at the end leave a sound chain: only ``noted``, a head somebody wrote down elsewhere, shows
        that they are missing.
        """
        head, keys = EMPTY, list[tuple[int, bytes]]()
        for logged in self.entries():
            fault = self._fault(head, logged, noted)
            if fault is not None:
                return Verdict(head, fault, tuple(keys))
            if not keys or keys[-1][1] != logged.key_id:
                keys.append((logged.seq, logged.key_id))
            head = Head(logged.seq, logged.mac)
        is_cut = noted is not None and noted.seq > head.seq
        return Verdict(head, "missing" if is_cut else None, tuple(keys))

    def _append(self, lines: Sequence[str], *, may_be_known: bool = False) -> int:
        with self.store.transaction() as tx:
            head, now = tx.audit_log.lock()
            events = [line_of(entry) for entry in tx.audit_log.take_events(EVENTS_AT_ONCE)]
            fresh = _unknown(tx, lines) if may_be_known else lines
            tx.audit_log.append(self._links(head, now, [*events, *fresh]))
        return len(events)

    def _links(self, head: Head, now: datetime, lines: Sequence[str]) -> Links:
        key_id, recorded_at, previous = self.sealer.chain_key_id(), moment_text(now), head.mac
        chained = []
        for seq, line in enumerate(lines, head.seq + 1):
            previous = self.sealer.chain_mac(key_id, chained_text(previous, seq, recorded_at, line))
            chained.append((line, previous))
        return Links(head.seq + 1, now, key_id, chained)

    def _fault(self, head: Head, logged: LoggedEntry, noted: Head | None) -> str | None:
        """Return what is wrong with the entry behind ``head``; null when nothing is."""
        if logged.seq != head.seq + 1:
            return "missing"
        text = chained_text(head.mac, logged.seq, moment_text(logged.recorded_at), line_of(logged.entry))
        try:
            mac = self.sealer.chain_mac(logged.key_id, text)
        except CipherError:
            return "chained with a key that is not in the key ring"
        if not hmac.compare_digest(mac, logged.mac):
            return "changed"
        is_noted = noted is None or noted.seq != logged.seq or hmac.compare_digest(noted.mac, mac)
        return None if is_noted else "not the noted one"


def _unknown(tx: Transaction, lines: Sequence[str]) -> list[str]:
    by_id = {line_id(line): line for line in lines}
    known = tx.audit_log.known(by_id)
    return [line for entry_id, line in by_id.items() if entry_id not in known]
