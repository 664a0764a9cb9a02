"""The spool: entries that must outlive this process, on their way into the audit log.

Appending costs one ``write`` to the page cache. That survives the end of the process, however it ends, and not that of
the machine. Several threads append at once without a lock; one of them drains.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from app.domain.audit import AuditEntry, Detail, line_of
from app.domain.errors import StoreUnavailable
from app.store.spool_file import CHUNK_BYTES, SUFFIX, SpoolFile, Take, typed_disk_faults
from app.store.storable import storable


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """When a file is full, and when a process has to stop."""

    file_bytes: int = 8 << 20
    backlog_bytes: int = 64 << 20
    """About 150,000 entries that the database has not taken: rather no token than a full disk."""


class FileSpool:
    """Implements ``ports.Spool`` in one directory, shared with other processes. Safe to share between threads."""

    def __init__(self, directory: Path, limits: SpoolLimits | None = None) -> None:
        """Spool into ``directory``; it is made when first needed."""
        self._directory = directory
        self._limits = limits or SpoolLimits()
        self._changing = threading.Lock()
        self._draining = threading.Lock()
        self._current: SpoolFile | None = None
        self._files: list[SpoolFile] = []
        self._backlog = 0

    def append(self, entry: AuditEntry) -> None:
        """Return when the entry would survive the end of this process; raises ``StoreUnavailable``."""
        record = _record(entry)
        # An estimate: threads may overwrite each other's sum. Draining sets it right.
        if self._backlog > self._limits.backlog_bytes or len(record) > CHUNK_BYTES:
            raise StoreUnavailable("audit_backlog")
        self._backlog += len(record)
        while True:
            file = self._current
            if file is None or file.pid != os.getpid():
                file = self._open()
            file.writers.append(None)
            try:
                # Since the item above stands, a file that is still current is not removed before it is gone again.
                if file is self._current:
                    return file.write(record)
            finally:
                file.writers.pop()

    def drain(self, take: Take) -> None:
        """Give ``take`` this process's lines in batches, in order; what it has returned from is not given again.

        Raises ``StoreUnavailable`` and what ``take`` raises; then the batch comes again next time.
        """
        with self._draining, typed_disk_faults():
            files = self._own_files()
            try:
                for file in files:
                    self._drain(file, take)
            finally:
                self._backlog = sum(file.size() - file.drained for file in self._own_files())

    def adopt(self, take: Take) -> None:
        """Give ``take`` the lines of processes that have ended, some perhaps once more, and remove their files.

        Raises as ``drain`` does; then the file stays for the next who looks.
        """
        with typed_disk_faults():
            paths = sorted(self._directory.glob(f"*{SUFFIX}"))
        for path in paths:
            file = SpoolFile.of_ended_writer(path)
            if file is not None:
                _adopt(file, take)

    def close(self) -> None:
        """Let go of this process's files; lines that were not drained stay to be adopted.

        Nobody may append meanwhile.
        """
        with self._draining, self._changing:
            self._current = None
            for file in self._files:
                if file.drained == file.size():
                    file.remove()
                else:
                    file.close()
            self._files = []

    def _open(self) -> SpoolFile:
        """Return the current file, a new one if there is none; a child does not go on in its parent's."""
        with self._changing:
            if self._current is None or self._current.pid != os.getpid():
                self._let_go_of_parents_files()
                self._current = SpoolFile.create(self._directory)
                self._files.append(self._current)
            return self._current

    def _let_go_of_parents_files(self) -> None:
        """After a fork: what is open here would keep a dead parent's files locked."""
        for file in self._files:
            if file.pid != os.getpid():
                file.close()
        self._files = [file for file in self._files if file.pid == os.getpid()]

    def _own_files(self) -> tuple[SpoolFile, ...]:
        with self._changing:
            return tuple(file for file in self._files if file.pid == os.getpid())

    def _drain(self, file: SpoolFile, take: Take) -> None:
        """Drain one file; a full one, and one that somebody deleted, is left to its last writer and then removed."""
        if file is self._current and (file.size() >= self._limits.file_bytes or file.is_unlinked()):
            self._current = None
        is_over = file is not self._current and not file.writers
        file.drain(take)
        if is_over:
            with self._changing:
                self._files.remove(file)
            file.remove()


def _adopt(file: SpoolFile, take: Take) -> None:
    try:
        file.drain(take, is_strange=True)
    except BaseException:
        file.close()
        raise
    file.remove()


def _record(entry: AuditEntry) -> bytes:
    line = line_of(entry)
    if "\\u0000" in line or "\\ud" in line:
        # What callers send may hold characters that the database refuses; rarely, so it is looked for in the text.
        line = line_of(replace(entry, detail=cast("Detail", storable(entry.detail))))
    return f"\n{line}\n".encode("ascii")
