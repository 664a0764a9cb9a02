"""Serve the Calendar API v3 methods on calendar lists, calendars, settings and free/busy times."""

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
)
from app.sandbox.calendar.google_query import count, flag
from app.sandbox.calendar.google_times import parse_bound
from app.sandbox.calendar.tokens import BadTokenError, pack, unpack
from app.sandbox.calendar.world import Calendar, Json, Mailbox
from app.sandbox.calendar.zones import find_zone
from app.sandbox.faults import with_faults

blueprint = Blueprint("sandbox_google_calendars", __name__, url_prefix="/calendar/v3")
_MOST_DAYS_OF_FREE_BUSY = 92
_MOST_CALENDARS_OF_FREE_BUSY = 50
_NOT_IN_LIST = ("workingHours",)


@blueprint.get("/users/me/calendarList")
@with_faults("google.calendarlist")
@google_route("calendar.v3.CalendarList.List", READ_LIST)
def list_calendars(caller: Caller) -> Json:
    """List the calendars of a person; with a sync token, only what changed."""
    since = _since(caller.mailbox)
    flag(request.args, "showHidden")
    entries = [_entry(calendar) for calendar in caller.mailbox.calendars.values() if _is_listed(calendar, since)]
    return _page(caller, entries, "calendar#calendarList")


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
    return _page(
        caller, [_setting(name, value) for name, value in caller.mailbox.settings.items()], "calendar#settings"
    )


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


def _is_listed(calendar: Calendar, since: int | None) -> bool:
    if since is not None:
        return calendar.listed_at > since
    is_hidden = bool(calendar.entry.get("hidden")) and request.args.get("showHidden") != "true"
    return not is_hidden and not calendar.entry.get("deleted")


def _since(mailbox: Mailbox) -> int | None:
    token = request.args.get("syncToken")
    if not token:
        return None
    if request.args.get("minAccessRole") or request.args.get("showOwnOrganizationOnly"):
        raise invalid("Sync token cannot be used with other request restrictions.", "syncToken")
    content = _content(token, "google.list.sync", "syncToken")
    if content["g"] < mailbox.generation:
        raise full_sync_required()
    return int(content["s"])


def _page(caller: Caller, entries: list[Json], kind: str) -> Json:
    mailbox = caller.mailbox
    token = request.args.get("pageToken")
    start = int(_content(token, "google.list.page", "pageToken")["n"]) if token else 0
    size = min(count(request.args, "maxResults", 100, 250), caller.side.sandbox.runtime.google_page_size)
    answer: Json = {"kind": kind, "etag": f'"l{mailbox.list_sequence}"', "items": entries[start : start + size]}
    if len(entries) > start + size:
        answer["nextPageToken"] = pack({"k": "google.list.page", "n": start + size})
    else:
        answer["nextSyncToken"] = pack({"k": "google.list.sync", "s": mailbox.list_sequence, "g": mailbox.generation})
    return answer


def _content(token: str, kind: str, location: str) -> Json:
    try:
        content = unpack(token)
    except BadTokenError as error:
        raise invalid(f"Invalid {location} value.", location) from error
    if content.get("k") != kind:
        raise invalid(f"Invalid {location} value.", location)
    return content
