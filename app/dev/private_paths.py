"""Make directories that only their owner can enter, and socket paths that are short enough."""

import hashlib
import os
import stat
import tempfile
from pathlib import Path

# sun_path holds 104 bytes on macOS and 108 on Linux, one of them the closing null (unix(7)).
_LONGEST_SOCKET_PATH_BYTES = 103


class UnsafeDirectoryError(RuntimeError):
    """A directory that should be ours alone belongs to somebody else; the message says which."""


def make_private(directory: Path) -> Path:
    """Create `directory` (and its parents) with mode 0700, or close an existing one to others; return it.

    Raises UnsafeDirectoryError when it is a symbolic link or belongs to another user.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise UnsafeDirectoryError(f"{directory} is not a directory of the current user")
    if stat.S_IMODE(found.st_mode) != 0o700:
        directory.chmod(0o700)
    return directory


def socket_directory(preferred: Path, socket_name: str) -> Path:
    """Return a private directory in which a unix socket called `socket_name` can be bound.

    That is `preferred`, or, when the path would be too long for the kernel, one in the temporary directory whose name
    follows from `preferred`, so that every start finds the same one. Raises UnsafeDirectoryError as `make_private`.
    """
    preferred = preferred.absolute()
    if _fits(preferred / socket_name):
        return make_private(preferred)
    digest = hashlib.sha256(os.fsencode(preferred)).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"latchkey-{os.geteuid()}-{digest}"
    if not _fits(short / socket_name):
        raise UnsafeDirectoryError(f"no directory short enough for a unix socket; set TMPDIR (tried {short})")
    return make_private(short)


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH_BYTES
