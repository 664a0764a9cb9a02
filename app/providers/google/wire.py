"""Addresses and shapes of the Google Calendar API v3, as far as Latchkey uses it.

Source: the API's discovery document and the "Synchronize resources" and "Push notifications" guides.
"""

from __future__ import annotations

from typing import TypedDict
from urllib.parse import quote

BASE = "https://www.googleapis.com/calendar/v3"
CALENDAR_LIST = f"{BASE}/users/me/calendarList"
STOP_CHANNEL = f"{BASE}/channels/stop"
FREE_BUSY = f"{BASE}/freeBusy"

LIST_SCOPE = "https://www.googleapis.com/auth/calendar.calendarlist.readonly"
EVENTS_SCOPE = "https://www.googleapis.com/auth/calendar.events.readonly"
FREE_BUSY_SCOPE = "https://www.googleapis.com/auth/calendar.freebusy"

CALENDARS_A_PAGE = 250
EVENTS_A_PAGE = 2500
CHANNEL_LIFE_S = 604_800
"""What is asked for; the answer says what was given."""

_EVENT_FIELDS = (
    "id,status,etag,iCalUID,sequence,updated,htmlLink,summary,description,location,visibility,transparency,eventType,"
    "start,end,recurrence,recurringEventId,originalStartTime,organizer,attendees,attendeesOmitted,hangoutLink,"
    "conferenceData(entryPoints)"
)
EVENT_LIST_FIELDS = f"nextPageToken,nextSyncToken,timeZone,accessRole,items({_EVENT_FIELDS})"
"""Partial response. Without the two tokens in it they would not be sent."""

SCHEMA_VERSION = "2"
"""Raise it when the parameters of the list, or what is read from an item, change: old cursors then expire, because
Google leaves the behaviour undefined when a sync token meets other parameters than it was made with."""


class WatchRequest(TypedDict):
    """Body of ``events.watch``."""

    id: str
    type: str
    address: str
    token: str
    params: dict[str, str]


class StopRequest(TypedDict):
    """Body of ``channels.stop``."""

    id: str
    resourceId: str


class FreeBusyRequest(TypedDict):
    """Body of ``freebusy.query``."""

    timeMin: str
    timeMax: str
    timeZone: str
    items: list[dict[str, str]]


def events_url(calendar_id: str) -> str:
    """Return the address of a calendar's events; ids hold ``@`` and ``#``."""
    return f"{BASE}/calendars/{quote(calendar_id, safe='')}/events"


def list_parameters(sync_token: str | None, page_token: str | None) -> dict[str, str]:
    """Return the query of ``events.list``: masters and exceptions, deletions as Google thinks fit.

    No ``timeMin``: it would hide an exception that was moved before it, and its series would show the instance where
    it first was. Everything but the tokens is the same in every call of a cursor's life.
    """
    parameters = {
        "singleEvents": "false",
        "maxResults": str(EVENTS_A_PAGE),
        "prettyPrint": "false",
        "fields": EVENT_LIST_FIELDS,
    }
    optional = {"syncToken": sync_token, "pageToken": page_token}
    return parameters | {name: value for name, value in optional.items() if value is not None}
