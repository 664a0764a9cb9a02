"""Files of client secrets: one secret a line, newest first."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Hashable, Iterable
from contextlib import suppress
from pathlib import Path

from app.domain.secret import Secret


def read_secrets(path: Path) -> tuple[Secret, ...]:
    """Return the secrets in ``path``, newest first; raises ``OSError``, or ``ValueError`` when it is no text."""
    return tuple(Secret(line.strip()) for line in path.read_text().splitlines() if line.strip())


def stamp(paths: Iterable[Path]) -> Hashable:
    """Return what changes whenever one of the files does; raises ``OSError``."""
    seen = (path.stat() for path in paths)
    return tuple((one.st_mtime_ns, one.st_ino, one.st_size) for one in seen)


def put_first(path: Path, secret: Secret) -> int:
    """Write ``secret`` in front of those in ``path`` and return how many there are now; one that is there moves up.

    Raises ``OSError``.
    """
    others = [known for known in read_secrets(path) if known.reveal() != secret.reveal()]
    _write(path, [secret, *others])
    return len(others) + 1


def keep_newest(path: Path) -> int:
    """Drop all secrets in ``path`` but the first and return how many went; raises ``OSError``."""
    newest, *others = read_secrets(path) or (Secret(""),)
    if others:
        _write(path, [newest])
    return len(others)


def _write(path: Path, secrets: Iterable[Secret]) -> None:
    """Replace the file in one step: a process that reads it sees the old or the new list, never a part."""
    real = path.resolve()
    # Made with mode 0600, and gone when anything fails.
    with tempfile.NamedTemporaryFile("w", dir=real.parent, prefix=f".{real.name}.", delete=False) as file:
        try:
            before = real.stat()
            with suppress(PermissionError):
                # A root shell must not take the file away from the account the product runs under.
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            file.write("".join(f"{secret.reveal()}\n" for secret in secrets))
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(real)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    directory = os.open(real.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
