"""Sealed answers on disk while the database cannot take them: one file per generation, in the state directory.

Nothing in a file can be read without the connection's data key, which stays in the database.
"""

from __future__ import annotations

import base64
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path
from uuid import UUID

from app.ports import NewGeneration

logger = logging.getLogger("latchkey.escrow")

_SEALED = ("sealed_access", "sealed_refresh")
_MOMENTS = ("issued_at", "access_expires_at", "refresh_due_at", "refresh_expires_at")


class EscrowFiles:
    """Implements ``ports.Escrow``."""

    def __init__(self, state_dir: Path) -> None:
        """Keep files below ``state_dir``; nothing is created before the first one."""
        self._directory = state_dir / "escrow"
        self._complained: set[Path] = set()

    def put(self, row: NewGeneration) -> bool:
        """Write the row so that it survives this process and the machine; returns whether that worked."""
        path = self._path(row)
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            _write_durably(path.with_suffix(".new"), path, _encode(row))
        except OSError as error:
            logger.critical("escrow: %s: %s", path, error.strerror)
            return False
        logger.error("escrow: answer of connection %s is on disk: the database does not take it", row.connection_id)
        return True

    def waiting(self) -> Iterator[NewGeneration]:
        """Return the rows kept by any process here; a file that cannot be read is left where it is."""
        for path in sorted(self._directory.glob("*.json")):
            try:
                yield _decode(path.read_bytes())
            except FileNotFoundError:
                continue
            except (OSError, ValueError, TypeError) as error:
                # Once is enough: the watch looks twice a second.
                if path not in self._complained:
                    logger.critical("escrow: %s cannot be read: %s", path, type(error).__name__)
                self._complained.add(path)

    def drop(self, row: NewGeneration) -> None:
        """Forget a row that the database has taken."""
        self._path(row).unlink(missing_ok=True)

    def _path(self, row: NewGeneration) -> Path:
        return self._directory / f"{row.connection_id}-{row.generation}.json"


def _write_durably(fresh: Path, path: Path, content: bytes) -> None:
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    fresh.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # The name must be as durable as the content.
        os.fsync(directory)
    finally:
        os.close(directory)


def _encode(row: NewGeneration) -> bytes:
    return json.dumps(asdict(row), default=_plain).encode()


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)


def _decode(content: bytes) -> NewGeneration:
    values = json.loads(content)
    if not isinstance(values, dict) or set(values) != {field.name for field in fields(NewGeneration)}:
        raise ValueError("not a generation")
    values["connection_id"] = UUID(values["connection_id"])
    values["scopes"] = None if values["scopes"] is None else tuple(values["scopes"])
    values |= {name: base64.b64decode(values[name]) for name in _SEALED if values[name] is not None}
    values |= {name: datetime.fromisoformat(values[name]) for name in _MOMENTS if values[name] is not None}
    return NewGeneration(**values)
