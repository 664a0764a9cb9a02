"""Serve the control interface and the page of the chaos world, what a judge compares with, and mailboxes by the dozen.

JSON in, JSON out below `/_control/`, as the rest of the control interface; the page is `/sandbox/chaos`.
"""

from datetime import UTC, datetime

from flask import Blueprint, Response, abort, jsonify, redirect, render_template, request
from flask.typing import ResponseReturnValue

from app.sandbox.accounts import Account, UnknownAccountError
from app.sandbox.calendar.calendar_edits import add_calendar
from app.sandbox.calendar.chaos import ALL_KINDS, Place, Weather
from app.sandbox.calendar.corpus import CORPUS_KEY
from app.sandbox.calendar.judging import occurrences
from app.sandbox.calendar.seed_google import seed_google
from app.sandbox.calendar.seed_graph import seed_graph
from app.sandbox.calendar.state import CalendarSide, current_side
from app.sandbox.calendar.world import Calendar, Json, UnknownCalendarError

blueprint = Blueprint("sandbox_chaos", __name__, template_folder="templates")
_MOST_PER_S, _MOST_S = 500.0, 86_400.0
_WRITERS = ("owner", "writer")
_SEEDS = {"google": seed_google, "microsoft": seed_graph}


@blueprint.errorhandler(UnknownAccountError)
@blueprint.errorhandler(UnknownCalendarError)
@blueprint.errorhandler(KeyError)
@blueprint.errorhandler(TypeError)
@blueprint.errorhandler(ValueError)
def _explain(error: Exception) -> tuple[Response, int]:
    return jsonify({"error": str(error) or type(error).__name__}), 400


@blueprint.post("/_control/chaos")
def start_chaos() -> tuple[Response, int]:
    """Start the chaos world; answer 202 with its state.

    Members, all optional: `rate_per_s` (20), `seconds` (60), `seed` (1), `kinds` (all), and `places`: objects with
    `provider`, `account` and `calendar` (the own one when absent). Without `places` every calendar that its owner may
    write to is edited. While it rains already: 400.
    """
    side, asked = current_side(), request.get_json()
    side.chaos.start(_weather(side, asked))
    return jsonify(side.chaos.state()), 202


@blueprint.get("/_control/chaos")
def chaos_state() -> Response:
    """Return whether it rains, what is planned and done, and counts by kind; `wait_s` waits for the end that long."""
    side = current_side()
    side.chaos.wait(min(float(request.args.get("wait_s", 0)), 60.0))
    return jsonify(side.chaos.state())


@blueprint.delete("/_control/chaos")
def stop_chaos() -> Response:
    """Stop it now; return what was done."""
    side = current_side()
    side.chaos.stop()
    return jsonify(side.chaos.state())


@blueprint.get("/_control/occurrences")
def expanded() -> Response:
    """Return what a calendar shows in a window: `provider`, `account`, `calendar`, `from` and `to`; see `judging`."""
    side, args = current_side(), request.args
    account = side.sandbox.accounts.by_key(args["provider"], args["account"])
    low, high = (_moment(args[name]) for name in ("from", "to"))
    return jsonify(occurrences(side, account, args.get("calendar"), low, high))


@blueprint.post("/_control/mailboxes")
def open_mailboxes() -> Response:
    """Give accounts of a provider mailboxes with at least `calendars` calendars that they may write to.

    Members: `provider`, `accounts` (keys, such as those of a crowd), `calendars` (1), `events` (false: empty). Answer
    with the ids of the writable calendars by account.
    """
    side, asked = current_side(), request.get_json()
    provider, count = str(asked["provider"]), int(asked.get("calendars", 1))
    with side.sandbox.lock:
        accounts = [side.sandbox.accounts.by_key(provider, str(key)) for key in asked["accounts"]]
        return jsonify({a.key: _opened(side, a, count, has_events=bool(asked.get("events"))) for a in accounts})


@blueprint.get("/sandbox/chaos")
def chaos_page() -> ResponseReturnValue:
    """Show how it rains, and the button."""
    return render_template("sandbox/chaos.html", state=current_side().chaos.state(), page="chaos")


@blueprint.post("/sandbox/chaos")
def change_chaos() -> ResponseReturnValue:
    """Let it rain as the form says, or stop it."""
    side, form = current_side(), request.form
    if form.get("action") == "stop":
        side.chaos.stop()
        return redirect("/sandbox/chaos", 303)
    try:
        side.chaos.start(_weather(side, {name: form[name] for name in ("rate_per_s", "seconds", "seed")}))
    except (KeyError, ValueError) as error:
        abort(400, str(error))
    return redirect("/sandbox/chaos", 303)


def _weather(side: CalendarSide, asked: Json) -> Weather:
    rate, seconds = float(asked.get("rate_per_s", 20)), float(asked.get("seconds", 60))
    if not (0 < rate <= _MOST_PER_S and 0 < seconds <= _MOST_S):
        raise ValueError("rate_per_s or seconds is out of range")
    with side.sandbox.lock:
        places = [_place(side, each) for each in asked["places"]] if "places" in asked else _everywhere(side)
    return Weather(tuple(places), rate, seconds, int(asked.get("seed", 1)), tuple(asked.get("kinds") or ALL_KINDS))


def _place(side: CalendarSide, asked: Json) -> Place:
    account = side.sandbox.accounts.by_key(str(asked["provider"]), str(asked["account"]))
    mailbox = side.world.mailbox(account.provider, account.key)
    calendar = mailbox.calendar(str(asked["calendar"])) if asked.get("calendar") else mailbox.main
    return Place(account.provider, account.key, calendar.calendar_id)


def _everywhere(side: CalendarSide) -> list[Place]:
    return [
        Place(box.provider, box.account_key, calendar.calendar_id)
        for box in side.world.mailboxes.values()
        for calendar in box.calendars.values()
        if box.account_key != CORPUS_KEY and _is_writable(calendar)
    ]


def _is_writable(calendar: Calendar) -> bool:
    entry = calendar.entry
    can_write = entry.get("accessRole") in _WRITERS or bool(entry.get("canEdit"))
    return can_write and not entry.get("deleted")


def _opened(side: CalendarSide, account: Account, count: int, *, has_events: bool) -> list[str]:
    mailbox = side.world.mailboxes.get((account.provider, account.key))
    if mailbox is None:
        mailbox = _SEEDS[account.provider](side.world, account, has_events=has_events)
    writable = [c.calendar_id for c in mailbox.calendars.values() if _is_writable(c)]
    added = [add_calendar(mailbox, f"Calendar {number + 1}") for number in range(len(writable), count)]
    if added:
        side.push.tell_of_list(mailbox)
    return writable + [calendar.calendar_id for calendar in added]


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
