"""Serve the control interface of the calendar half: edits, masses of events, expiry, lifecycle, push record.

JSON in, JSON out, no tokens: for tests and measurements on the same machine.
"""

from datetime import date, datetime, timedelta
from typing import Any

from flask import Blueprint, Response, jsonify, request

from app.sandbox.accounts import Account, UnknownAccountError
from app.sandbox.calendar.calendar_edits import (
    add_calendar,
    change_role,
    hide_calendar,
    remove_calendar,
    rename_calendar,
    restore_calendar,
)
from app.sandbox.calendar.corpus import CORPUS_KEY
from app.sandbox.calendar.editing import REPEATS, Draft, Editing, EditRefusedError, editing
from app.sandbox.calendar.state import CalendarSide, current_side
from app.sandbox.calendar.world import Calendar, Change, Json, Mailbox, UnknownCalendarError

blueprint = Blueprint("sandbox_calendar_control", __name__, url_prefix="/_control")
_MOST_IN_BULK = 100_000
_LIFECYCLE = ("missed", "subscriptionRemoved", "reauthorizationRequired")


@blueprint.errorhandler(EditRefusedError)
@blueprint.errorhandler(UnknownAccountError)
@blueprint.errorhandler(UnknownCalendarError)
@blueprint.errorhandler(KeyError)
@blueprint.errorhandler(ValueError)
def _explain(error: Exception) -> tuple[Response, int]:
    return jsonify({"error": str(error) or type(error).__name__}), 400


@blueprint.post("/events")
def edit_events() -> tuple[Response, int]:
    """Add, patch or delete an event, or move or delete an instance; answer with the event.

    Members: provider, account, calendar (own one when absent), action, event_id or series_id with day, and either body
    (the provider's JSON) or title, start, end (local), all_day, repeat. `split` changes a series from its instance on
    `day` on by `body`; `respond` answers an invitation with `response`; `move` puts it into the calendar `to`; `plant`
    stores `body` as it stands, whatever it says, such as an exception without its series.
    """
    asked, side = _asked(), current_side()
    with side.sandbox.lock:
        if asked.get("action") == "plant":
            return jsonify(_planted(side, asked)), 200
        edit = editing(side.world, _account(side, asked), asked.get("calendar"))
        event = _perform(edit, asked)
    return jsonify(event), 200


@blueprint.post("/calendars")
def edit_calendars() -> tuple[Response, int]:
    """Add, rename, hide, unhide, share otherwise (`role`), remove or restore a calendar; answer with its entry.

    Members: provider, account, action, calendar, and name or role. A new role is no change that Google's list tells
    of, unless `told` is true; with `told` false nothing tells of a new name either, as when the owner is somebody else.
    """
    asked, side = _asked(), current_side()
    with side.sandbox.lock:
        account = _account(side, asked)
        mailbox = side.world.mailbox(account.provider, account.key)
        calendar = _changed_calendar(mailbox, asked)
        side.push.tell_of_list(mailbox)
    return jsonify(calendar.entry), 200


def _changed_calendar(mailbox: Mailbox, asked: Json) -> Calendar:
    action, calendar_id = asked.get("action"), str(asked.get("calendar"))
    match action:
        case "add":
            return add_calendar(mailbox, str(asked["name"]))
        case "rename":
            return rename_calendar(mailbox, calendar_id, str(asked["name"]), is_told=bool(asked.get("told", True)))
        case "role":
            return change_role(mailbox, calendar_id, str(asked["role"]), is_told=bool(asked.get("told")))
        case "hide" | "unhide":
            return hide_calendar(mailbox, calendar_id, is_hidden=action == "hide")
        case "remove":
            return remove_calendar(mailbox, calendar_id)
        case "restore":
            return restore_calendar(mailbox, calendar_id)
    raise EditRefusedError(f"unknown action: {action}")


@blueprint.post("/bulk")
def add_many() -> tuple[Response, int]:
    """Add `count` single events, half an hour each, spread over the days around now; push tells once."""
    asked, side = _asked(), current_side()
    count = int(asked["count"])
    if not 0 < count <= _MOST_IN_BULK:
        raise ValueError(f"count must be from 1 to {_MOST_IN_BULK}")
    with side.sandbox.lock:
        account = _account(side, asked)
        edit = editing(side.world, account, asked.get("calendar"))
        last = _add_quietly(side, edit, count, str(asked.get("title", "Bulk")))
    return jsonify({"added": count, "last": last}), 200


@blueprint.post("/expire_sync_tokens")
def expire_tokens() -> tuple[Response, int]:
    """Make all sync and delta tokens of an account unknown, so that the next use answers 410."""
    asked, side = _asked(), current_side()
    with side.sandbox.lock:
        account = _account(side, asked)
        generation = side.world.expire_tokens(side.world.mailbox(account.provider, account.key))
    return jsonify({"generation": generation}), 200


@blueprint.post("/lifecycle")
def send_lifecycle() -> tuple[Response, int]:
    """Send a lifecycle notification to the Graph subscriptions of an account; `event` names the kind.

    `subscriptionRemoved` removes the subscription first, as the service does; after `reauthorizationRequired` nothing
    is told until the application renews or reauthorizes.
    """
    asked, side = _asked(), current_side()
    if asked.get("event") not in _LIFECYCLE:
        raise ValueError(f"event must be one of {', '.join(_LIFECYCLE)}")
    with side.sandbox.lock:
        account = _account(side, {"provider": "microsoft", **asked})
        mine = [s for s in side.world.subscriptions.values() if s["account"] == account.key]
        for subscription in mine:
            if asked["event"] == "subscriptionRemoved":
                del side.world.subscriptions[subscription["id"]]
            if asked["event"] == "reauthorizationRequired":
                subscription["is_paused"] = True
            url = subscription["lifecycleNotificationUrl"]
            if url:
                side.push.send_graph(subscription, url, {"lifecycleEvent": asked["event"]}, asked["event"])
    return jsonify({"subscriptions": [s["id"] for s in mine]}), 200


@blueprint.post("/push")
def repeat_push() -> tuple[Response, int]:
    """Send `count` (1) messages about nothing to all who listen to an account: a burst, or late ones.

    Members: provider, account, count, and `stopped`: true sends to Google channels that were stopped.
    """
    asked, side = _asked(), current_side()
    with side.sandbox.lock:
        account = _account(side, asked)
        count, to_stopped = int(asked.get("count", 1)), bool(asked.get("stopped"))
        sent = side.push.repeat(account.provider, account.key, count, to_stopped=to_stopped)
    return jsonify({"sent": sent}), 200


@blueprint.get("/push")
def push_record() -> Response:
    """Return open channels and subscriptions, and what was sent; `wait_s` waits until all is sent."""
    side = current_side()
    wait_s = min(float(request.args.get("wait_s", 0)), 30.0)
    is_idle = side.push.courier.wait_until_idle(wait_s)
    with side.sandbox.lock:
        channels = [
            {"id": c["id"], "account": c["account"], "calendar": c["calendar"]} for c in side.world.channels.values()
        ]
        subscriptions = [{"id": s["id"], "account": s["account"]} for s in side.world.subscriptions.values()]
    sent = list(side.push.courier.record)
    return jsonify({"idle": is_idle, "channels": channels, "subscriptions": subscriptions, "sent": sent})


@blueprint.get("/world")
def describe_world() -> Response:
    """Return what is in the calendars, and what was read from the world directory."""
    side = current_side()
    with side.sandbox.lock:
        boxes = [
            {
                "provider": box.provider,
                "account": box.account_key,
                "calendars": [
                    {"id": c.calendar_id, "name": c.entry.get("summary") or c.entry.get("name"), "items": len(c.items)}
                    for c in box.calendars.values()
                ],
            }
            for box in side.world.mailboxes.values()
        ]
        return jsonify({"mailboxes": boxes, "files": side.world.files, "corpus_account": CORPUS_KEY})


@blueprint.post("/links")
def choose_links() -> Response:
    """Choose what Graph's links name: `public` true is https://graph.microsoft.com, false the request's own host."""
    side = current_side()
    side.has_public_links = bool(_asked().get("public", True))
    return jsonify({"public": side.has_public_links})


def _planted(side: CalendarSide, asked: Json) -> Json:
    account, body = _account(side, asked), dict(asked["body"])
    mailbox = side.world.mailbox(account.provider, account.key)
    calendar = mailbox.calendar(str(asked["calendar"])) if asked.get("calendar") else mailbox.main
    series_id = body.get("recurringEventId") or body.get("seriesMasterId")
    item = side.world.store(calendar, str(body["id"]), body, series_id=series_id)
    item.is_verbatim = True
    item.is_gone = body.get("status") == "cancelled" and series_id is None
    side.world.tell(Change(mailbox, calendar, item.body["id"], "updated", str(body.get("etag", ""))))
    return item.body


def _perform(edit: Editing, asked: Json) -> Json:
    action = asked.get("action")
    event_id = _event_id(edit, asked)
    if action == "add":
        return edit.add_body(asked["body"]) if "body" in asked else edit.add(_draft(asked))
    if action == "split":
        return edit.split(str(asked["series_id"]), date.fromisoformat(asked["day"]), asked.get("body") or {})
    if event_id is None:
        raise EditRefusedError("event_id, or series_id and day, is needed.")
    if action == "respond":
        return edit.respond(event_id, str(asked["response"]))
    if action == "move":
        return edit.move(event_id, str(asked["to"]))
    if action in ("delete", "delete_instance"):
        edit.remove(event_id)
        return {"id": event_id, "deleted": True}
    if action in ("patch", "move_instance"):
        return edit.change_body(event_id, asked["body"]) if "body" in asked else edit.change(event_id, _draft(asked))
    raise EditRefusedError(f"unknown action: {action}")


def _event_id(edit: Editing, asked: Json) -> str | None:
    if asked.get("series_id") and asked.get("day") and asked.get("action") != "split":
        return edit.instance(asked["series_id"], date.fromisoformat(asked["day"]))
    return asked.get("event_id")


def _draft(asked: Json) -> Draft:
    repeat = str(asked.get("repeat", ""))
    if repeat not in REPEATS:
        raise EditRefusedError(f"repeat must be one of {', '.join(REPEATS[1:])}")
    start, end = (datetime.fromisoformat(asked[name]) if asked.get(name) else None for name in ("start", "end"))
    return Draft(asked.get("title"), start, end, bool(asked.get("all_day")), repeat)


def _add_quietly(side: CalendarSide, edit: Editing, count: int, title: str) -> Json:
    told: list[Change] = []
    listeners, side.world.listeners = side.world.listeners, [told.append]
    # Between four in the morning and midnight: an hour that the clocks skip cannot hold an event.
    first = side.world.clock.now().replace(tzinfo=None, hour=4, minute=0, second=0, microsecond=0)
    last: Json = {}
    try:
        for index in range(count):
            # Spread over a year and a half around now, so that any usual window holds most of them.
            start = first + timedelta(days=index % 540 - 90, minutes=30 * (index // 540 % 39))
            last = edit.add(Draft(f"{title} {index + 1}", start, start + timedelta(minutes=30)))
    finally:
        side.world.listeners = listeners
    side.world.tell(told[-1])
    return last


def _asked() -> dict[str, Any]:
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise EditRefusedError("a JSON object is needed")
    return body


def _account(side: CalendarSide, asked: Json) -> Account:
    provider, key = str(asked.get("provider")), str(asked.get("account"))
    return side.sandbox.accounts.by_key(provider, key)
