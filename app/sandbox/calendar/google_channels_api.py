"""Serve Google's push channels: watch and stop.

Source: Calendar API guide on push notifications.
"""

import hashlib
from datetime import timedelta

from flask import Blueprint

from app.sandbox.calendar.delivery import is_allowed_address
from app.sandbox.calendar.google_access import (
    READ_EVENTS,
    READ_LIST,
    WATCH_ANYTHING,
    Caller,
    google_route,
    sent_json,
)
from app.sandbox.calendar.google_errors import GoogleError, invalid, required
from app.sandbox.calendar.push import CALENDAR_LIST
from app.sandbox.calendar.world import Calendar, Json
from app.sandbox.faults import with_faults

blueprint = Blueprint("sandbox_google_channels", __name__, url_prefix="/calendar/v3")
_LONGEST = timedelta(days=7)
_ROOT = "https://www.googleapis.com/calendar/v3"


@blueprint.post("/calendars/<calendar_id>/events/watch")
@with_faults("google.watch")
@google_route("calendar.v3.Events.Watch", READ_EVENTS)
def watch_events(caller: Caller, calendar_id: str) -> Json:
    """Open a channel for the events of a calendar."""
    calendar = caller.calendar(calendar_id)
    if _is_generated(calendar):
        message = "Push notifications are not supported by this resource."
        raise GoogleError(400, "pushNotSupportedForRequestedResource", message, "calendar")
    uri = f"{_ROOT}/calendars/{calendar_id}/events?alt=json"
    return _open(caller, calendar.calendar_id, uri)


@blueprint.post("/users/me/calendarList/watch")
@with_faults("google.watch")
@google_route("calendar.v3.CalendarList.Watch", READ_LIST)
def watch_list(caller: Caller) -> Json:
    """Open a channel for the calendar list."""
    return _open(caller, CALENDAR_LIST, f"{_ROOT}/users/me/calendarList?alt=json")


@blueprint.post("/channels/stop")
@with_faults("google.channels.stop")
@google_route("calendar.v3.Channels.Stop", WATCH_ANYTHING)
def stop_channel(caller: Caller) -> None:
    """Close a channel; only the account and client that opened it can."""
    asked = sent_json()
    channel = caller.side.world.channels.get(str(asked.get("id")))
    wanted = (caller.account.key, caller.client_id, asked.get("resourceId"))
    if channel is None or (channel["account"], channel["client"], channel["resource_id"]) != wanted:
        message = f"Channel '{asked.get('id')}' not found for project '000000000000'"
        raise GoogleError(404, "notFound", message)
    caller.side.world.stopped.append(caller.side.world.channels.pop(channel["id"]))


def _is_generated(calendar: Calendar) -> bool:
    return calendar.calendar_id.endswith("@group.v.calendar.google.com")


def _open(caller: Caller, calendar_id: str, uri: str) -> Json:
    asked = sent_json()
    _check(asked, caller)
    resource = f"{caller.account.key}/{calendar_id}"
    channel = {
        "id": asked["id"],
        "token": asked.get("token"),
        "address": asked["address"],
        "account": caller.account.key,
        "client": caller.client_id,
        "calendar": calendar_id,
        "resource_id": hashlib.sha256(resource.encode()).hexdigest()[:27],
        "resource_uri": uri,
        "expiration_ms": _expiration_ms(asked, caller),
        "number": 0,
    }
    caller.side.world.channels[channel["id"]] = channel
    caller.side.push.send_google(channel, "sync")
    answer = {"kind": "api#channel", "id": channel["id"], "resourceId": channel["resource_id"], "resourceUri": uri}
    if channel["token"] is not None:
        answer["token"] = channel["token"]
    return answer | {"expiration": str(channel["expiration_ms"])}


def _check(asked: Json, caller: Caller) -> None:
    for name in ("id", "type", "address"):
        if not asked.get(name):
            raise required(name)
    if asked["type"] not in ("web_hook", "webhook"):
        raise invalid(f"Unknown channel type: {asked['type']}", "type")
    if len(str(asked["id"])) > 64 or len(str(asked.get("token") or "")) > 256:
        raise invalid("Channel id or token is too long.", "id")
    if asked["id"] in caller.side.world.channels:
        raise GoogleError(400, "channelIdNotUnique", f"Channel id {asked['id']} not unique")
    if not is_allowed_address(str(asked["address"])):
        message = f"WebHook callback must be HTTPS: {asked['address']}"
        raise GoogleError(400, "push.webhookUrlNotHttps", message)


def _expiration_ms(asked: Json, caller: Caller) -> int:
    now_ms = int(caller.side.world.clock.now().timestamp() * 1000)
    limit_ms = now_ms + int(_LONGEST.total_seconds() * 1000)
    try:
        if asked.get("expiration"):
            return min(int(asked["expiration"]), limit_ms)
        ttl_s = int((asked.get("params") or {}).get("ttl") or _LONGEST.total_seconds())
    except (TypeError, ValueError) as error:
        raise invalid("Invalid expiration.", "expiration") from error
    return min(now_ms + ttl_s * 1000, limit_ms)
