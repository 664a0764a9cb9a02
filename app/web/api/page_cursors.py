"""Cursors as callers hold them: text that says where to go on, sealed, because it names events.

A cursor gives no right to anything: what may be read is decided each time.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from app.domain.calendar_reading import Place
from app.services.change_feed import DIGEST_BYTES, GROUPS, Position
from app.web import current
from app.web.api.query import LONGEST_CURSOR
from app.web.errors import ErrorCode, RequestRefused

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def place_cursor(place: Place) -> str:
    """Return the cursor of a page of occurrences."""
    since = (place.begins - _EPOCH) // _MICROSECOND
    return _wrapped("o", since, place.calendar_id.hex, place.series_id, place.recurrence_id)


def read_place(text: str) -> Place:
    """Return the place; raises ``RequestRefused``."""
    since, calendar_id, series_id, recurrence_id = _unwrapped("o", text, (int, str, str, str))
    try:
        return Place(_EPOCH + since * _MICROSECOND, UUID(hex=calendar_id), _plain(series_id), _plain(recurrence_id))
    except (ValueError, OverflowError):
        raise _damaged() from None


def series_cursor(after: tuple[UUID, str]) -> str:
    """Return the cursor of a page of events."""
    return _wrapped("e", after[0].hex, after[1])


def read_series_place(text: str) -> tuple[UUID, str]:
    """Return the place; raises ``RequestRefused``."""
    calendar_id, series_id = _unwrapped("e", text, (str, str))
    try:
        return UUID(hex=calendar_id), _plain(series_id)
    except ValueError:
        raise _damaged() from None


def feed_cursor(position: Position) -> str:
    """Return the cursor of a reader of changes."""
    after = None if position.after is None else [position.after[0].hex, position.after[1]]
    return _wrapped(
        "c", position.database.hex(), position.selection.hex(), position.since, _packed(position.known),
        position.until, _packed(position.target), after,
    )  # fmt: skip


def read_position(text: str) -> Position:
    """Return where the reader stands; raises ``RequestRefused``."""
    kinds = (str, str, (str, type(None)), str, (str, type(None)), str, (list, type(None)))
    database, selection, since, known, until, target, after = _unwrapped("c", text, kinds)
    try:
        position = Position(
            bytes.fromhex(database),
            bytes.fromhex(selection),
            _snapshot(since),
            _unpacked(known),
            _snapshot(until),
            _unpacked(target),
            None if after is None else (UUID(hex=str(after[0])), int(after[1])),
        )
    except (ValueError, IndexError, TypeError):
        raise _damaged() from None
    lengths = {len(position.known), len(position.target)} - {GROUPS * DIGEST_BYTES}
    if lengths - {0} or not position.known or (position.until is None) != (not position.target):
        raise _damaged()
    return position


def _wrapped(kind: str, *values: object) -> str:
    content = json.dumps([kind, *values], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(current.services().cursors.seal(content)).rstrip(b"=").decode()


def _unwrapped(kind: str, text: str, kinds: Sequence[Any]) -> list[Any]:
    """Return the values of a cursor of this kind, each of its type."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        values = json.loads(current.services().cursors.open(raw)) if len(text) <= LONGEST_CURSOR else None
    except (ValueError, binascii.Error, RecursionError):
        raise _damaged() from None
    if not isinstance(values, list) or len(values) != len(kinds) + 1 or values[0] != kind:
        raise _damaged()
    if not all(isinstance(value, one) for value, one in zip(values[1:], kinds, strict=True)):
        raise _damaged()
    return values[1:]


def _packed(digests: bytes) -> str:
    return base64.urlsafe_b64encode(zlib.compress(digests)).decode()


def _unpacked(text: str) -> bytes:
    reader = zlib.decompressobj()
    try:
        return reader.decompress(base64.urlsafe_b64decode(text), GROUPS * DIGEST_BYTES + 1)
    except zlib.error as error:
        raise ValueError from error


def _snapshot(text: str | None) -> str | None:
    """Return a ``pg_snapshot``: ``xmin:xmax:`` and numbers between commas, none out of order."""
    if text is None:
        return None
    low, high, between = text.split(":")
    running = [int(one) for one in between.split(",") if one]
    first, end = int(low), int(high)
    if not (1 <= first <= end < 2**63 and all(first <= one < end for one in running) and running == sorted(running)):
        raise ValueError
    return text


def _plain(text: str) -> str:
    """Return ``text`` if the database can hold it."""
    text.encode()
    if "\0" in text:
        raise ValueError
    return text


def _damaged() -> RequestRefused:
    return RequestRefused(ErrorCode.INVALID_REQUEST, "the cursor is damaged", reason="cursor_damaged")
