"""Google calendars: the list, changes since a cursor, push channels.

Series are fetched as masters and exceptions (``singleEvents=false``) and expanded by ``app.domain.recurrence``: one
edited series is then one changed item, not hundreds of instances reaching decades ahead.
Source: Calendar API v3, "Synchronize resources efficiently" and "Push notifications" guides.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final

from app.domain.calendars import (
    CalendarListing,
    ChangePage,
    Channel,
    EventKind,
    EventStatus,
    RemoteEvent,
    Window,
    canonical_recurrence_id,
)
from app.domain.errors import CalendarGone, CallMalformed, CursorExpired, ProviderUnavailable
from app.domain.secret import Secret
from app.providers.fields import listed, text
from app.providers.google.busy_times import read_busy_times
from app.providers.google.calendar_list import read_list
from app.providers.google.client import GoogleClient, pages
from app.providers.google.parse import parse_items
from app.providers.google.refusals import refusal
from app.providers.google.wire import (
    CHANNEL_LIFE_S,
    EVENTS_SCOPE,
    SCHEMA_VERSION,
    STOP_CHANNEL,
    StopRequest,
    WatchRequest,
    events_url,
    list_parameters,
)
from app.providers.http import OutboundClient
from app.providers.json_reader import JSONObject

logger = logging.getLogger(__name__)

_DATES_DIFFER_BY: Final = timedelta(days=2)
"""A date and an instant of one event are never further apart."""
_NEVER: Final = "99991231"
_STOP_DEADLINE_S: Final = 5.0
"""A person may be waiting for it; a channel that is not stopped runs out by itself."""
_NO_DETAILS: Final = ("freeBusyReader", "none")


class GoogleCalendars:
    """The calendar side of Google; implements ``app.ports.CalendarProvider``. Keeps no state between calls."""

    def __init__(self, http: OutboundClient, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._http = http
        self._clock = clock

    @property
    def expands_series(self) -> bool:
        """Return false: we expand."""
        return False

    def list_calendars(self, access_token: Secret, cursor: str | None = None) -> CalendarListing:
        """Return what changed in the list since ``cursor``, or all of it; an hour after the last time all of it again.

        Hidden calendars count as removed.
        """
        return read_list(GoogleClient(self._http, access_token), cursor, self._clock())

    def changes(
        self, access_token: Secret, calendar_id: str, cursor: str | None, window: Window, *, times_only: bool = False
    ) -> Iterator[ChangePage]:
        """Yield pages of changed masters, exceptions and singles; the last one carries the cursor.

        A full pass reads the whole calendar and leaves out what was over before ``window``, masters excepted; later
        events come along and wait for the window to reach them.
        Raises ``CursorExpired`` also for cursors of an older form, and when Google finds a cursor malformed;
        ``CalendarGone`` also when the calendar shows its free and busy times alone and ``times_only`` is not set.
        """
        google = GoogleClient(self._http, access_token)
        if times_only:
            yield read_busy_times(google, calendar_id, cursor, window)
            return
        sync_token = None if cursor is None else _sync_token(cursor)
        for page in pages(lambda token: _events_page(google, calendar_id, list_parameters(sync_token, token))):
            if text(page, "accessRole") in _NO_DETAILS:
                # What comes now are bare blocks, which would take the places of events.
                raise CalendarGone("no_details")
            found = _change_page(page)
            if cursor is None:
                found = replace(found, events=tuple(e for e in found.events if not _is_over(e, window)))
            yield found

    def watch(self, access_token: Secret, calendar_id: str, channel_id: str, token: Secret, address: str) -> Channel:
        """Open a channel named ``channel_id``. Raises ``PushNotSupported`` (holidays, birthdays, some resources)."""
        body = WatchRequest(
            id=channel_id,
            type="web_hook",
            address=address,
            token=token.reveal(),
            params={"ttl": str(CHANNEL_LIFE_S)},
        )
        google = GoogleClient(self._http, access_token)
        answer = google.call("POST", f"{events_url(calendar_id)}/watch", EVENTS_SCOPE, json_body=body)
        return Channel(channel_id, text(answer, "resourceId"), _expiration(answer, self._clock()))

    def renew(self, access_token: Secret, channel: Channel) -> Channel | None:
        """Return null: Google's channels cannot be prolonged, a new one overlaps the old."""
        del access_token, channel
        return None

    def stop(self, access_token: Secret, channel: Channel) -> None:
        """End a channel; one that Google does not know any more counts as ended."""
        body = StopRequest(id=channel.provider_channel_id, resourceId=channel.resource_id or "")
        google = GoogleClient(self._http, access_token)
        reply = google.send("POST", STOP_CHANNEL, json_body=body, deadline_s=_STOP_DEADLINE_S)
        if reply.status // 100 != 2 and reply.status != HTTPStatus.NOT_FOUND:
            raise refusal(reply, EVENTS_SCOPE)


def _events_page(google: GoogleClient, calendar_id: str, parameters: Mapping[str, str]) -> JSONObject:
    try:
        return google.call("GET", events_url(calendar_id), EVENTS_SCOPE, params=parameters)
    except CallMalformed as error:
        if "syncToken" in parameters:
            # The same call without the token worked before: it is the token that Google cannot read.
            raise CursorExpired(error.detail) from error
        raise


def _change_page(page: JSONObject) -> ChangePage:
    items = parse_items(listed(page, "items"), text(page, "timeZone"))
    if items.dropped:
        logger.warning("event items without an id were dropped: %d", items.dropped)
    sync_token = text(page, "nextSyncToken")
    is_last = text(page, "nextPageToken") is None
    if is_last and sync_token is None:
        raise ProviderUnavailable("no_cursor")
    cursor = f"{SCHEMA_VERSION}:{sync_token}" if is_last else None
    return ChangePage(events=items.events, removed=items.removed, cursor=cursor)


def _is_over(event: RemoteEvent, window: Window) -> bool:
    """Return whether an event ended before the window began, wherever on Earth its dates are read.

    For an exception, the instance it replaces as well: otherwise that would appear again. Masters go on.
    """
    if event.kind is EventKind.MASTER:
        return False
    first_day = window.start.date() - _DATES_DIFFER_BY
    if event.kind is EventKind.EXCEPTION and (event.recurrence_id or _NEVER) >= canonical_recurrence_id(first_day):
        return False
    if event.end is None:
        return event.status is EventStatus.CANCELLED
    return (event.end.date() if isinstance(event.end, datetime) else event.end) < first_day


def _sync_token(cursor: str) -> str:
    version, _, token = cursor.partition(":")
    if version != SCHEMA_VERSION or not token:
        raise CursorExpired("older_form")
    return token


def _expiration(answer: JSONObject, now: datetime) -> datetime:
    """Return when a channel ends: Unix milliseconds, as text or number; the life asked for when it is not said."""
    written = answer.get("expiration")
    try:
        return datetime.fromtimestamp(int(str(written)) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return now + timedelta(seconds=CHANNEL_LIFE_S)
