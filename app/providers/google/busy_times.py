"""Read when a Google calendar is busy, and nothing else: for calendars and consents that show no more.

Google has no changes for this: each reading asks for the whole window. What comes is written as events of their own,
named by their times, so that an unchanged block is an unchanged event.
Source: Calendar API v3, freebusy: query. It answers for two to three months at most: a window is asked for in parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Final

from app.domain.calendars import ChangePage, EventKind, EventStatus, RemoteEvent, Window
from app.domain.errors import CalendarGone, CursorExpired, ProviderError, ProviderRejected, ProviderUnavailable
from app.providers.fields import Item, child, children, instant, text
from app.providers.google.client import GoogleClient
from app.providers.google.wire import FREE_BUSY, FREE_BUSY_SCOPE, FreeBusyRequest

DAYS_A_QUERY: Final = 60
"""Google refuses more than about three months."""

_FORM: Final = "busy-1"
"""Begins the cursors of this form; raise the number when the events made of blocks change."""
_STAMP: Final = "%Y-%m-%dT%H:%M:%SZ"

Block = tuple[datetime, datetime]
"""Start and end of a busy time, aware UTC."""


def read_busy_times(google: GoogleClient, calendar_id: str, cursor: str | None, window: Window) -> ChangePage:
    """Return everything when ``cursor`` is null or something changed since, else nothing but the cursor.

    The cursor is a digest of what was last read. Raises ``CursorExpired`` for a cursor of another form, and what a
    calendar's own error means: an error is never "free".
    """
    if cursor is not None and not cursor.startswith(f"{_FORM}:"):
        raise CursorExpired("older_form")
    parts = (_blocks(google, calendar_id, part) for part in _parts(window))
    blocks = _joined(block for part in parts for block in part)
    now_at = f"{_FORM}:{_digest(blocks)}"
    if now_at == cursor:
        return ChangePage(cursor=cursor)
    return ChangePage(events=tuple(map(_event, blocks)), cursor=now_at, is_full=True)


def _parts(window: Window) -> Iterator[Window]:
    """Yield the window in parts, widened to whole days: blocks are cut at the edges, which must not move about."""
    start = datetime.combine(window.start.date(), time(), UTC)
    end = datetime.combine(window.end.date() + timedelta(days=1), time(), UTC)
    while start < end:
        stop = min(start + timedelta(days=DAYS_A_QUERY), end)
        yield Window(start, stop)
        start = stop


def _blocks(google: GoogleClient, calendar_id: str, part: Window) -> Sequence[Block]:
    body = FreeBusyRequest(
        timeMin=part.start.strftime(_STAMP),
        timeMax=part.end.strftime(_STAMP),
        timeZone="UTC",
        items=[{"id": calendar_id}],
    )
    answer = google.call("POST", FREE_BUSY, FREE_BUSY_SCOPE, params={"prettyPrint": "false"}, json_body=body)
    found = child(child(answer, "calendars"), calendar_id)
    errors = children(found, "errors")
    if errors:
        raise _fault(text(errors[0], "reason", most=100) or "free_busy_error")
    if not isinstance(found.get("busy"), list):
        raise ProviderUnavailable("no_free_busy")
    return [_block(item) for item in children(found, "busy")]


def _block(item: Item) -> Block:
    start, end = instant(item, "start"), instant(item, "end")
    if start is None or end is None or end < start:
        # Left out, it would be free time that is not there.
        raise ProviderUnavailable("bad_time")
    return start.replace(microsecond=0), end.replace(microsecond=0)


def _fault(reason: str) -> ProviderError:
    """Return what a calendar's own error means; the call as a whole was answered with 200."""
    if reason == "notFound":
        return CalendarGone(reason)
    if reason in ("groupTooBig", "tooManyCalendarsRequested"):
        return ProviderRejected(reason)
    return ProviderUnavailable(reason)


def _joined(blocks: Iterable[Block]) -> list[Block]:
    """Return the blocks in order, those that touch as one: a border between two parts is none between meetings."""
    joined: list[Block] = []
    for start, end in sorted(blocks):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _digest(blocks: Sequence[Block]) -> str:
    written = "\n".join(f"{start:{_STAMP}} {end:{_STAMP}}" for start, end in blocks)
    return hashlib.sha256(written.encode()).hexdigest()


def _event(block: Block) -> RemoteEvent:
    start, end = block
    return RemoteEvent(
        provider_id=f"busy-{start:%Y%m%dT%H%M%SZ}-{end:%Y%m%dT%H%M%SZ}",
        kind=EventKind.SINGLE,
        status=EventStatus.CONFIRMED,
        series_id=None,
        recurrence_id=None,
        start=start,
        end=end,
        privacy="private",
    )
