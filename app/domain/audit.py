"""Entries of the audit log, the one text that stands for each, and how they are chained.

The text (``line``) is what is spooled, what is copied into the database and what the code over an entry is computed
from: seven fields between tabs, ids as 32 hex digits, absent ids empty, the detail as canonical JSON in ASCII. JSON
escapes tabs and line ends, so a line has exactly six tabs and no line end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias
from uuid import UUID

Detail: TypeAlias = Mapping[str, str | int | bool | Sequence[str] | None]
"""Codes and ids, never secrets. No fractions: their text could change on the way through a database."""

_ID = "[0-9a-f]{32}"
_MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?\+00:00"
_LINE = re.compile(rf"{_ID}\t[a-z_.]+\t{_MOMENT}\t(?:{_ID})?\t(?:{_ID})?\t(?:{_ID})?\t\{{[ -~]*\}}")
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Something that happened."""

    id: UUID
    kind: str
    """Lower-case letters, ``_`` and ``.``."""
    at: datetime
    service_id: UUID | None
    person_id: UUID | None
    connection_id: UUID | None
    detail: Detail


@dataclass(frozen=True, slots=True)
class Links:
    """Lines on their way into the log, with what they have in common."""

    first_seq: int
    recorded_at: datetime
    key_id: bytes
    """Which key of the ring the codes were made with."""
    lines: Sequence[tuple[str, bytes]]
    """Each line with its code, in order."""


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """An entry as it stands in the log."""

    seq: int
    recorded_at: datetime
    key_id: bytes
    mac: bytes
    entry: AuditEntry


@dataclass(frozen=True, slots=True)
class Head:
    """The newest place in the log."""

    seq: int
    mac: bytes


EMPTY = Head(0, bytes(32))
"""The head of a log without entries."""


def line_of(entry: AuditEntry) -> str:
    """Return the text of an entry. The same entry gives the same text, also after its way through the database."""
    return "\t".join(
        (
            entry.id.hex,
            entry.kind,
            moment_text(entry.at),
            _hex(entry.service_id),
            _hex(entry.person_id),
            _hex(entry.connection_id),
            _canonical(entry.detail),
        )
    )


def is_whole(line: str) -> bool:
    """Return whether this is a line, and not what is left of one that was cut short."""
    return _LINE.fullmatch(line) is not None


def line_id(line: str) -> UUID:
    """Return the id of a whole line."""
    return UUID(hex=line.partition("\t")[0])


def has_readable_detail(line: str) -> bool:
    """Return whether the detail of a whole line is JSON: what ``line_of`` made is, what a bad disk gives may not be."""
    try:
        json.loads(line.rpartition("\t")[2])
    except ValueError:
        return False
    return True


def moment_text(moment: datetime) -> str:
    """Return an instant as it stands in texts that are chained."""
    return moment.astimezone(UTC).isoformat()


def chained_text(previous: bytes, seq: int, recorded_at: str, line: str) -> bytes:
    """Return what the code of an entry is computed from.

    That is the code before it (32 bytes), its place, when it was recorded (``moment_text``), and its line.
    """
    return previous + f"{seq}\t{recorded_at}\t{line}".encode()


def _hex(value: UUID | None) -> str:
    return "" if value is None else value.hex
