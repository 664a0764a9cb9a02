"""Serve the pages on which a person's calendars are looked at and edited."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from flask import Blueprint, abort, redirect, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from app.sandbox.accounts import Account, UnknownAccountError
from app.sandbox.calendar.editing import REPEATS, Draft, Editing, EditRefusedError, Entry, editing
from app.sandbox.calendar.state import CalendarSide, current_side
from app.sandbox.calendar.world import UnknownCalendarError

blueprint = Blueprint(
    "calendar_pages", __name__, url_prefix="/people/<provider>/<key>/events", template_folder="templates"
)
_TIED = "\N{NO-BREAK SPACE}"
"""Keeps a date or a time on one line of a narrow table."""
_BEFORE = timedelta(days=2)
_AFTER = timedelta(days=19)


@dataclass(frozen=True)
class Desk:
    """One person's calendar on the page."""

    side: CalendarSide
    account: Account
    calendar_id: str
    edit: Editing

    def link(self, **query: str) -> str:
        """Return the address of this person's page with a query."""
        chosen = {"calendar": self.calendar_id} | query
        return f"/people/{self.account.provider}/{self.account.key}/events?{urlencode(chosen)}"


@blueprint.get("")
def show_events(provider: str, key: str) -> ResponseReturnValue:
    """Show a person's calendars and the events of one of them; with `event`, a form for that event."""
    side = current_side()
    with side.sandbox.lock:
        desk = _desk(side, provider, key)
        start = _start(side)
        entries = desk.edit.entries(start, start + _BEFORE + _AFTER)
        chosen = next((entry for entry in entries if entry.event_id == request.args.get("event")), None)
        return render_template(
            "sandbox/events.html",
            desk=desk,
            calendars=_calendars(desk),
            entries=entries,
            chosen=chosen,
            start=start,
            step=_BEFORE + _AFTER,
            repeats=REPEATS,
            page="home",
        )


@blueprint.post("")
def change_events(provider: str, key: str) -> ResponseReturnValue:
    """Add, change or delete an event as the form says, then show the page again."""
    side = current_side()
    with side.sandbox.lock:
        desk = _desk(side, provider, key)
        try:
            _perform(desk, request.form)
        except (EditRefusedError, ValueError) as error:
            abort(400, str(error))
    return redirect(desk.link(start=request.form.get("from", "")), 303)


def _perform(desk: Desk, form: MultiDict[str, str]) -> None:
    match form.get("action"):
        case "add":
            desk.edit.add(_draft(form))
        case "change":
            desk.edit.change(form["event"], _draft(form))
        case "delete":
            desk.edit.remove(form["event"])
        case "rename_series":
            desk.edit.change(form["series"], Draft(title=form["title"]))
        case "delete_series":
            desk.edit.remove(form["series"])
        case _:
            raise EditRefusedError("The form does not say what to do.")


def _draft(form: MultiDict[str, str]) -> Draft:
    is_all_day = form.get("all_day") == "yes"
    start, end = (datetime.fromisoformat(form[name]) for name in ("start", "end"))
    if is_all_day:
        start, end = (moment.replace(hour=0, minute=0) for moment in (start, end))
        end = end if end > start else start + timedelta(days=1)
    repeat = form.get("repeat", "")
    if repeat not in REPEATS:
        raise EditRefusedError("That kind of repetition is not offered.")
    return Draft(form.get("title", "").strip() or "Untitled", start, end, is_all_day, repeat)


def _desk(side: CalendarSide, provider: str, key: str) -> Desk:
    try:
        account = side.sandbox.accounts.by_key(provider, key)
        calendar_id = request.args.get("calendar") or side.world.mailbox(provider, key).main.calendar_id
        return Desk(side, account, calendar_id, editing(side.world, account, calendar_id))
    except (UnknownAccountError, UnknownCalendarError):
        abort(404, "There is no such person or calendar.")


def _calendars(desk: Desk) -> list[tuple[str, str]]:
    mailbox = desk.side.world.mailbox(desk.account.provider, desk.account.key)
    return [
        (calendar.calendar_id, calendar.entry.get("summary") or calendar.entry.get("name") or calendar.calendar_id)
        for calendar in mailbox.calendars.values()
    ]


def _start(side: CalendarSide) -> datetime:
    try:
        asked = datetime.fromisoformat(request.args.get("start", ""))
    except ValueError:
        return side.world.clock.now().replace(hour=0, minute=0, second=0, microsecond=0) - _BEFORE
    return asked if asked.tzinfo else asked.replace(tzinfo=side.world.clock.now().tzinfo)


@blueprint.app_template_filter("entry_time")
def entry_time(entry: Entry) -> str:
    """Return when an entry is, in words short enough for a table."""
    if entry.is_all_day:
        last = entry.end - timedelta(days=1)
        return _day(entry.start) if last.date() <= entry.start.date() else f"{_day(entry.start)} to {_day(last)}"
    if entry.start.date() == entry.end.date():
        return f"{_day(entry.start)} {entry.start:%H:%M}{_TIED}to{_TIED}{entry.end:%H:%M}"
    return f"{_day(entry.start)} {entry.start:%H:%M} to {_day(entry.end)} {entry.end:%H:%M}"


def _day(moment: datetime) -> str:
    return f"{moment:%a}{_TIED}{moment:%d}{_TIED}{moment:%b}"
