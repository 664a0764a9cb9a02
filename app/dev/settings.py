"""Keep what a development run made up for itself, so that the next run is the same installation.

One directory (`.latchkey/`, mode 0700) holds the databases, `dev.json` (ports and the sandbox's client secret) and
`keyring.json` (the key that seals tokens). Only the development run creates keys; production is given them.
"""

import base64
import fcntl
import json
import os
import secrets
import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from app.dev.children import is_alive
from app.dev.private_paths import make_private

_KEY_BYTES = 32  # AES-256
_LOCK = "run.lock"
_PREDECESSOR_STOPS_WITHIN_S = 30.0


class AlreadyRunningError(RuntimeError):
    """Another run uses the same directory; the message names its process."""


@dataclass(frozen=True)
class DevSettings:
    """What is kept from run to run."""

    web_port: int | None = None
    """Port of the last run; None before the first."""
    sandbox_port: int | None = None
    """As `web_port`, for the sandbox."""
    sandbox_client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    """Secret that Latchkey and the sandbox's providers share."""


def load_settings(data_dir: Path) -> DevSettings:
    """Return the kept settings, or new ones (kept from then on) at the first start."""
    path = data_dir / "dev.json"
    if path.exists():
        return DevSettings(**json.loads(path.read_text(encoding="utf-8")))
    settings = DevSettings()
    save_settings(data_dir, settings)
    return settings


def save_settings(data_dir: Path, settings: DevSettings) -> None:
    """Keep `settings`, replacing the file as a whole."""
    _write_private(data_dir / "dev.json", json.dumps(asdict(settings), indent=2))


def ensure_keyring(data_dir: Path) -> Path:
    """Return the path of the keyring file; make one with a fresh key when there is none.

    Format: `{"primary": "k1", "keys": {"k1": "<base64 of 32 bytes>"}}`.
    """
    path = data_dir / "keyring.json"
    if not path.exists():
        key = base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode("ascii")
        _write_private(path, json.dumps({"primary": "k1", "keys": {"k1": key}}))
    return path


def forget_everything(data_dir: Path) -> None:
    """Delete databases, keys and settings; the lock of the run that asks for it stays."""
    for path in data_dir.iterdir():
        if path.name == _LOCK:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


class RunLock:
    """A context: at most one run at a time uses the directory.

    The children inherit the lock's descriptor. So it is free only when the last of them is gone, even if the run was
    killed, and the next run finds free ports and closed databases.
    """

    def __init__(self, data_dir: Path) -> None:
        """Prepare; the lock is taken on entering."""
        self._path = data_dir / _LOCK
        self._descriptor = -1

    def __enter__(self) -> Self:
        """Take the lock; wait while children of a killed run are stopping. Raises AlreadyRunningError."""
        make_private(self._path.parent)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + _PREDECESSOR_STOPS_WITHIN_S
        while not self._try():
            self._refuse_if_taken(is_late=time.monotonic() > deadline)
            time.sleep(0.1)
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode("ascii"), 0)
        os.set_inheritable(self._descriptor, True)  # noqa: FBT003 - the library takes it by position
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the lock."""
        os.close(self._descriptor)

    def _try(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _refuse_if_taken(self, *, is_late: bool) -> None:
        text = os.pread(self._descriptor, 32, 0)
        owner = int(text) if text.isdigit() else None
        if owner is not None and is_alive(owner):
            os.close(self._descriptor)
            raise AlreadyRunningError(f"{self._path.parent} is in use by another run (process {owner})")
        if is_late:
            os.close(self._descriptor)
            raise AlreadyRunningError(
                f"processes that a killed run left behind still use {self._path.parent}; end them"
            )


def _write_private(path: Path, text: str) -> None:
    fresh = path.with_name(f"{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)
