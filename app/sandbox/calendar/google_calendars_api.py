"""Serve the Calendar API v3 methods on calendar lists, calendars, settings and free/busy times."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask import Blueprint, request

from app.sandbox.calendar.busy import google_busy
from app.sandbox.calendar.google_access import (
    READ_CALENDAR,
    READ_FREE_BUSY,
    READ_LIST,
    READ_SETTINGS,
    Caller,
    google_route,
    sent_json,
)
from app.sandbox.calendar.google_errors import (
    GoogleError,
    full_sync_required,
    invalid,
    not_found,
    range_empty,
    required,
    sync_restricted,
)
from app.sandbox.calendar.google_query import count, flag
from app.sandbox.calendar.google_times import parse_bound
from app.sandbox.calendar.token_life import is_over, stamp
from app.sandbox.calendar.tokens import BadTokenError, pack, unpack
from app.sandbox.calendar.world import Calendar, Json, Mailbox, new_id
from app.sandbox.calendar.zones import find_zone
from app.sandbox.faults import FaultKind, meets, overfull, with_faults

blueprint = Blueprint("sandbox_google_calendars", __name__, url_prefix="/calendar/v3")
_MOST_DAYS_OF_FREE_BUSY = 92
_MOST_CALENDARS_OF_FREE_BUSY = 50
_NOT_IN_LIST = ("workingHours",)
_ROLES = ("freeBusyReader", "reader", "writerWithoutPrivateAccess", "writer", "owner")
"""Least first."""


@blueprint.get("/users/me/calendarList")
@with_faults("google.calendarlist")
@google_route("calendar.v3.CalendarList.List", READ_LIST)
def list_calendars(caller: Caller) -> Json:
    """List the calendars of a person; with a sync token, what changed, hidden and deleted ones included."""
    stand = _stand(caller.mailbox)
    calendars = caller.mailbox.calendars.values()
    entries = [_entry(calendar) if _is_listed(calendar, stand.since) else None for calendar in calendars]
    return _page(caller, entries, "calendar#calendarList", stand)


@blueprint.get("/users/me/calendarList/<calendar_id>")
@with_faults("google.calendarlist")
@google_route("calendar.v3.CalendarList.Get", READ_LIST)
def get_list_entry(caller: Caller, calendar_id: str) -> Json:
    """Return one entry of the calendar list."""
    return _entry(caller.calendar(calendar_id))


@blueprint.get("/calendars/<calendar_id>")
@with_faults("google.calendars")
@google_route("calendar.v3.Calendars.Get", READ_CALENDAR)
def get_calendar(caller: Caller, calendar_id: str) -> Json:
    """Return the properties of a calendar; a Workspace user's own one has working hours."""
    calendar = caller.calendar(calendar_id)
    names = ("id", "etag", "summary", "description", "location", "timeZone", "conferenceProperties", "workingHours")
    chosen = {name: calendar.entry[name] for name in names if name in calendar.entry}
    return {"kind": "calendar#calendar", **chosen}


@blueprint.get("/users/me/settings")
@with_faults("google.settings")
@google_route("calendar.v3.Settings.List", READ_SETTINGS)
def list_settings(caller: Caller) -> Json:
    """List the settings that differ from their defaults."""
    entries: list[Json | None] = [_setting(name, value) for name, value in caller.mailbox.settings.items()]
    return _page(caller, entries, "calendar#settings", _Stand(first_sequence=caller.mailbox.list_sequence))


@blueprint.get("/users/me/settings/<name>")
@with_faults("google.settings")
@google_route("calendar.v3.Settings.Get", READ_SETTINGS)
def get_setting(caller: Caller, name: str) -> Json:
    """Return one setting."""
    if name not in caller.mailbox.settings:
        raise not_found()
    return _setting(name, caller.mailbox.settings[name])


@blueprint.post("/freeBusy")
@with_faults("google.freebusy")
@google_route("calendar.v3.Freebusy.Query", READ_FREE_BUSY)
def query_free_busy(caller: Caller) -> Json:
    """Return when calendars are busy; unknown ones answer with an error of their own."""
    asked = sent_json()
    for name in ("timeMin", "timeMax"):
        if not asked.get(name):
            raise required(name)
    low, high = parse_bound(asked["timeMin"], "timeMin"), parse_bound(asked["timeMax"], "timeMax")
    if high <= low:
        raise range_empty()
    if high - low > timedelta(days=_MOST_DAYS_OF_FREE_BUSY):
        raise GoogleError(400, "timeRangeTooLong", "The requested time range is too long.", "calendar")
    zone = find_zone(asked.get("timeZone") or "Etc/UTC")
    if zone is None:
        raise invalid(f"Invalid time zone definition for: {asked['timeZone']}", "timeZone")
    ids = [item["id"] for item in asked.get("items", [])]
    too_many = len(ids) > _MOST_CALENDARS_OF_FREE_BUSY
    answers: dict[str, Any] = {}
    for name in ids:
        try:
            if too_many:
                raise _calendar_error("tooManyCalendarsRequested")
            answers[name] = {"busy": google_busy(caller.events(name), low, high, zone)}
        except GoogleError as error:
            reason = error.body["error"]["errors"][0]["reason"]
            answers[name] = {"errors": [{"domain": "global", "reason": reason}], "busy": []}
    bounds = {"timeMin": asked["timeMin"], "timeMax": asked["timeMax"]}
    return {"kind": "calendar#freeBusy", **bounds, "calendars": answers}


def _calendar_error(reason: str) -> GoogleError:
    return GoogleError(400, reason, reason)


def _entry(calendar: Calendar) -> Json:
    return {name: value for name, value in calendar.entry.items() if name not in _NOT_IN_LIST}


def _setting(name: str, value: str) -> Json:
    return {"kind": "calendar#setting", "etag": f'"{sum(value.encode())}"', "id": name, "value": value}


@dataclass(frozen=True)
class _Stand:
    """Where a client is in a list."""

    since: int | None = None
    """Number of the sync token; None: a full list."""
    first_sequence: int = 0
    """Number of the list when its first page was made; the next delta starts there."""
    place: int = 0
    """How many places of the list were passed."""


def _is_listed(calendar: Calendar, since: int | None) -> bool:
    entry = calendar.entry
    if since is not None:
        return calendar.listed_at > since
    if bool(entry.get("hidden")) and not flag(request.args, "showHidden"):
        return False
    if bool(entry.get("deleted")) and not flag(request.args, "showDeleted"):
        return False
    least = request.args.get("minAccessRole")
    return least is None or _rank(str(entry.get("accessRole"))) >= _rank(least)


def _rank(role: str) -> int:
    # A role nobody knows yet counts as the least.
    return _ROLES.index(role) if role in _ROLES else 0


def _stand(mailbox: Mailbox) -> _Stand:
    args = request.args
    since = None
    if args.get("syncToken"):
        if args.get("minAccessRole") or args.get("showOwnOrganizationOnly"):
            raise invalid("Sync token cannot be used with other request restrictions.", "syncToken")
        if "false" in (args.get("showDeleted"), args.get("showHidden")):
            raise sync_restricted()
        since = int(_content(mailbox, args["syncToken"], "google.list.sync", "syncToken")["s"])
    if not args.get("pageToken"):
        return _Stand(since, mailbox.list_sequence)
    page = _content(mailbox, args["pageToken"], "google.list.page", "pageToken")
    if page["d"] != since:
        raise invalid("Invalid page token value.", "pageToken")
    return _Stand(since, int(page["s"]), int(page["n"]))


def _page(caller: Caller, entries: list[Json | None], kind: str, stand: _Stand) -> Json:
    """Return one page; None takes a place without being sent, which is why pages can be short or empty."""
    mailbox = caller.mailbox
    size = min(count(request.args, "maxResults", 100, 250), caller.side.sandbox.runtime.google_page_size)
    end = stand.place + overfull(size)
    items = [entry for entry in entries[stand.place : end] if entry is not None]
    answer: Json = {"kind": kind, "etag": f'"l{mailbox.list_sequence}"', "items": items}
    token = {"s": stand.first_sequence, **stamp(mailbox.generation)}
    if meets(FaultKind.ENDLESS):
        endless = {"k": "google.list.page", "n": stand.place, "d": stand.since, "z": new_id(4)}
        answer["nextPageToken"] = pack(token | endless)
    elif len(entries) > end:
        answer["nextPageToken"] = pack(token | {"k": "google.list.page", "n": end, "d": stand.since})
    else:
        answer["nextSyncToken"] = pack(token | {"k": "google.list.sync"})
    return answer


def _content(mailbox: Mailbox, token: str, kind: str, location: str) -> Json:
    try:
        content = unpack(token)
    except BadTokenError as error:
        raise invalid(f"Invalid {location} value.", location) from error
    if content.get("k") != kind:
        raise invalid(f"Invalid {location} value.", location)
    if is_over(content, mailbox.generation):
        raise full_sync_required()
    return content
