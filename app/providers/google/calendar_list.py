"""Read a person's Google calendar list: all of it, or what changed since a cursor.

Google tells of what the person changed in the list, not of what a calendar's owner did to its name or to who may see
it. So every cursor grows old, and then the whole list is read again.
Source: Calendar API v3, calendarList: list.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from app.domain.calendars import CalendarListing, RemoteCalendar
from app.domain.errors import CalendarGone, CallMalformed, CursorExpired, ProviderRejected, ProviderUnavailable
from app.providers.fields import Item, children, flag, text
from app.providers.google.client import GoogleClient, pages
from app.providers.google.parse import parse_calendar
from app.providers.google.wire import CALENDAR_LIST, CALENDARS_A_PAGE, LIST_SCOPE
from app.providers.json_reader import JSONObject

FULL_EVERY: Final = timedelta(hours=1)
"""How long a change of rights that nothing else shows can stay unseen; the whole list costs one call like any other."""

_VERSION: Final = "1"
"""Raise it when what is read of an entry changes: older cursors then expire."""


@dataclass(frozen=True, slots=True)
class _Cursor:
    """A sync token, and when the whole list was last read."""

    full_at: datetime
    token: str

    def written(self) -> str:
        return f"{_VERSION}:{int(self.full_at.timestamp())}:{self.token}"


def read_list(google: GoogleClient, cursor: str | None, now: datetime) -> CalendarListing:
    """Return what changed since ``cursor``; the whole list when that is null or too old. Raises ``CursorExpired``."""
    since = None if cursor is None else _parsed(cursor)
    if since is not None and not timedelta() <= now - since.full_at < FULL_EVERY:
        since = None
    found: dict[str, RemoteCalendar | None] = {}
    page: JSONObject = {}
    for page in pages(lambda token: _page(google, token, None if since is None else since.token)):
        for item in children(page, "items"):
            calendar = parse_calendar(item)
            if calendar is None:
                continue
            found[calendar.provider_id] = None if _is_out(item) else calendar
    there = tuple(calendar for calendar in found.values() if calendar is not None)
    removed = tuple(provider_id for provider_id, calendar in found.items() if calendar is None)
    return CalendarListing(there, removed, _next(page, since.full_at if since else now), is_full=since is None)


def _page(google: GoogleClient, page_token: str | None, sync_token: str | None) -> JSONObject:
    optional = {"pageToken": page_token, "syncToken": sync_token}
    parameters = {name: value for name, value in optional.items() if value is not None}
    fixed = {"maxResults": str(CALENDARS_A_PAGE), "prettyPrint": "false"}
    try:
        return google.call("GET", CALENDAR_LIST, LIST_SCOPE, params=fixed | parameters)
    except CalendarGone as error:
        # No calendar was named, so none can be gone: the service itself is not for this account.
        raise ProviderRejected(error.detail) from error
    except CallMalformed as error:
        if sync_token is not None:
            # The same call without the token worked before: it is the token that Google cannot read.
            raise CursorExpired(error.detail) from error
        raise


def _is_out(item: Item) -> bool:
    # Hidden ones are left out as in Google's own page.
    return flag(item, "deleted") or flag(item, "hidden")


def _next(last_page: JSONObject, full_at: datetime) -> str:
    token = text(last_page, "nextSyncToken")
    if token is None:
        raise ProviderUnavailable("no_cursor")
    return _Cursor(full_at, token).written()


def _parsed(cursor: str) -> _Cursor:
    version, _, rest = cursor.partition(":")
    full_at, _, token = rest.partition(":")
    if version != _VERSION or not token or not (full_at.isascii() and full_at.isdecimal()):
        raise CursorExpired("older_form")
    return _Cursor(datetime.fromtimestamp(int(full_at), UTC), token)
