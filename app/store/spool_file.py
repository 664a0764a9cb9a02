"""One spool file: lines appended by one process, read back by it, or by whoever finds the file after its end.

A record is a line with a line end on both sides, so that what a full disk cut short never touches its neighbours.
The writer holds an advisory lock (``flock``) while it lives; the kernel takes it back however the writer ends.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import secrets
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from app.domain.audit import has_readable_detail, is_whole
from app.domain.errors import StoreUnavailable

SUFFIX = ".spool"
CHUNK_BYTES = 1 << 20
"""A batch: two to three thousand lines. No record may be longer."""

logger = logging.getLogger("latchkey.audit")

Take = Callable[[Sequence[str]], object]


class SpoolFile:
    """An open file and how far it has been read. ``writers`` holds an item for each write under way."""

    __slots__ = ("_fd", "_is_spoiled", "drained", "path", "pid", "writers")

    def __init__(self, path: Path, fd: int) -> None:
        """Keep the open descriptor ``fd`` of ``path``, with its lock held."""
        self.path = path
        self._fd = fd
        self.pid = os.getpid()
        self.drained = 0
        self._is_spoiled = False
        # Appending and popping are atomic, which a counter is not.
        self.writers: deque[None] = deque()

    @classmethod
    def create(cls, directory: Path) -> SpoolFile:
        """Make a new file of this process, readable by its user alone; raises ``StoreUnavailable``."""
        with typed_disk_faults():
            directory.mkdir(mode=0o700, exist_ok=True)
            while True:
                path = directory / f"{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
                fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND, 0o600)
                fcntl.flock(fd, fcntl.LOCK_EX)
                file = cls(path, fd)
                # Somebody may have taken it for a dead writer's before it was locked.
                if not file.is_unlinked():
                    return file
                file.close()

    @classmethod
    def of_ended_writer(cls, path: Path) -> SpoolFile | None:
        """Open and lock the file of a process that has ended; null while it lives, or when somebody was faster."""
        with typed_disk_faults():
            try:
                fd = os.open(path, os.O_RDWR)
            except FileNotFoundError:
                return None
            file = cls(path, fd)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                return None
            if file.is_unlinked():
                file.close()
                return None
            return file

    def write(self, record: bytes) -> None:
        """Append in one call of the system, which no other write comes between; raises ``StoreUnavailable``."""
        try:
            is_whole = os.write(self._fd, record) == len(record)
        except OSError as error:
            raise StoreUnavailable(_name(error)) from error
        if not is_whole:
            self._is_spoiled = True
            raise StoreUnavailable("ENOSPC")

    def size(self) -> int:
        """Return the length in bytes."""
        return os.fstat(self._fd).st_size

    def is_unlinked(self) -> bool:
        """Return whether the file has no name any more."""
        return os.fstat(self._fd).st_nlink == 0

    def drain(self, take: Take, *, is_strange: bool = False) -> None:
        """Give ``take`` what has not been read, in batches; a line without its end stays.

        ``is_strange``: somebody else's file, maybe from before the machine went down, is looked at more closely; so
        is one that a full disk has cut a line in.
        """
        with typed_disk_faults():
            is_sure = not (is_strange or self._is_spoiled)
            while chunk := os.pread(self._fd, CHUNK_BYTES, self.drained):
                whole, end, _ = chunk.rpartition(b"\n")
                if not end:
                    return
                lines = [line for line in whole.decode("ascii", "replace").split("\n") if line]
                sound = [line for line in lines if is_whole(line) and (is_sure or has_readable_detail(line))]
                if sound:
                    take(sound)
                self._tell_dropped(len(lines) - len(sound))
                self.drained += len(whole) + 1

    def remove(self) -> None:
        """Delete the file; a line that was cut short goes with it: its answer never left."""
        with typed_disk_faults():
            self._tell_dropped(int(self.size() > self.drained))
            self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Close the file, which gives the lock back."""
        os.close(self._fd)

    def _tell_dropped(self, count: int) -> None:
        if count:
            logger.warning("%s: %d incomplete lines dropped", self.path.name, count)


@contextmanager
def typed_disk_faults() -> Iterator[None]:
    """Raise ``StoreUnavailable`` for every fault of the disk; the message is the error's symbol."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(_name(error)) from error


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "disk")
