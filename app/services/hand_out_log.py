"""Hand-out decisions: on the local disk before the answer leaves, in the chained log a moment later."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from app.domain.audit import AuditEntry
from app.domain.errors import StoreUnavailable
from app.ports import HandOut, Spool
from app.services.audit_chain import AuditChain

DRAIN_EVERY_S = 0.2

logger = logging.getLogger("latchkey.audit")


class HandOutLog:
    """Writes entries to this process's spool and lets a thread of its own carry them into the log.

    The thread starts with the first entry, so not before any fork. Build one per process.
    """

    def __init__(self, spool: Spool, chain: AuditChain) -> None:
        self._spool = spool
        self._chain = chain
        self._starting = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_failing = False

    def write(self, hand_out: HandOut) -> None:
        """Return when the entry would survive the end of this process, however it ends.

        Raises ``StoreUnavailable``: then the answer must not leave.
        """
        self.write_entry(entry_of(hand_out))

    def write_entry(self, entry: AuditEntry) -> None:
        """Do the same for what else left this installation for a service."""
        self._spool.append(entry)
        if self._thread is None or not self._thread.is_alive():
            self._start()

    def collect(self) -> None:
        """Carry into the log what ended processes left behind, and every event that waits.

        For any process at any time. Raises ``StoreUnavailable``; then nothing is lost, and it can be repeated.
        """
        self._spool.adopt(self._chain.chain)
        self._chain.collect()

    def close(self) -> None:
        """Stop the thread after a last round; what the database does not take now stays on the disk."""
        with self._starting:
            self._stopping.set()
            if self._thread is not None:
                self._thread.join()
                self._thread = None
                self._carry(self._spool.drain)
            self._spool.close()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._stopping = threading.Event()
                self._thread = threading.Thread(target=self._run, name="hand-out-log", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        stopping = self._stopping
        self._carry(self._spool.adopt)
        while not stopping.wait(DRAIN_EVERY_S):
            self._carry(self._spool.drain)

    def _carry(self, source: Callable[[Callable[[Sequence[str]], object]], None]) -> None:
        """Let ``source`` give its lines to the chain; a fault now is a fault that the next round meets again."""
        try:
            source(self._chain.chain)
        except StoreUnavailable as error:
            if not self._is_failing:
                logger.warning("hand-outs wait on the disk: %s", error)
            self._is_failing = True
        else:
            self._is_failing = False


def entry_of(hand_out: HandOut) -> AuditEntry:
    """Return a decision as an entry of the log."""
    fingerprint = hand_out.token_fingerprint
    return AuditEntry(
        hand_out.id,
        f"hand_out.{hand_out.decision}",
        hand_out.at,
        hand_out.service_id,
        hand_out.person_id,
        hand_out.connection_id,
        {
            "features": hand_out.features,
            "purpose": hand_out.purpose,
            "reason": hand_out.reason,
            "scopes": hand_out.scopes,
            "token_fingerprint": None if fingerprint is None else fingerprint.hex(),
        },
    )
