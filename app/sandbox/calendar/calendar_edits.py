"""Add, rename, hide, share otherwise and remove whole calendars, so that calendar lists change too."""

import base64

from app.sandbox.calendar.world import Calendar, Json, Mailbox, UnknownCalendarError, new_id


def add_calendar(mailbox: Mailbox, name: str) -> Calendar:
    """Add an empty calendar of the person's own."""
    entry = _google_entry(mailbox, name) if mailbox.provider == "google" else _graph_entry(mailbox, name)
    calendar = Calendar(entry["id"], entry, mailbox.time_zone)
    mailbox.calendars[calendar.calendar_id] = calendar
    _mark(mailbox, calendar)
    return calendar


def rename_calendar(mailbox: Mailbox, calendar_id: str, name: str, *, is_told: bool = True) -> Calendar:
    """Give a calendar another name; without `is_told` no delta of the list tells of it.

    Raises UnknownCalendarError.
    """
    calendar = mailbox.calendar(calendar_id)
    calendar.entry["summary" if mailbox.provider == "google" else "name"] = name
    if is_told:
        _mark(mailbox, calendar)
    return calendar


def remove_calendar(mailbox: Mailbox, calendar_id: str) -> Calendar:
    """Remove a calendar with its events; the person's own one stays.

    Google keeps telling of it with `deleted` in deltas of the calendar list; Graph has no such delta.
    Raises UnknownCalendarError.
    """
    calendar = mailbox.calendar(calendar_id)
    if calendar is mailbox.main:
        raise UnknownCalendarError("The own calendar cannot be removed.")
    if mailbox.provider == "google":
        calendar.entry["deleted"] = True
        _mark(mailbox, calendar)
    else:
        del mailbox.calendars[calendar_id]
    return calendar


def restore_calendar(mailbox: Mailbox, calendar_id: str) -> Calendar:
    """Put a removed Google calendar back into the list.

    Raises UnknownCalendarError.
    """
    calendar = mailbox.calendar(calendar_id)
    calendar.entry.pop("deleted", None)
    _mark(mailbox, calendar)
    return calendar


def hide_calendar(mailbox: Mailbox, calendar_id: str, *, is_hidden: bool) -> Calendar:
    """Take a Google calendar out of what the person sees, or put it back; its events stay readable.

    Raises UnknownCalendarError.
    """
    calendar = mailbox.calendar(calendar_id)
    calendar.entry.pop("hidden", None)
    if is_hidden:
        calendar.entry |= {"hidden": True, "selected": False}
    _mark(mailbox, calendar)
    return calendar


def change_role(mailbox: Mailbox, calendar_id: str, role: str, *, is_told: bool) -> Calendar:
    """Let somebody share a calendar with other rights; sync tokens of its events are over then.

    Google: `role` is the new `accessRole`, known or not; deltas of the calendar list do not tell of rights alone,
    unless `is_told`. Graph: `owner`, `writer` or `reader` set the members that say what the person may do. Raises
    UnknownCalendarError.
    """
    calendar = mailbox.calendar(calendar_id)
    calendar.generation += 1
    if mailbox.provider == "google":
        calendar.entry["accessRole"] = role
    else:
        can_edit = role in ("owner", "writer")
        rights = {"canEdit": can_edit, "canShare": role == "owner", "canViewPrivateItems": can_edit}
        calendar.entry |= rights
    if is_told:
        _mark(mailbox, calendar)
    return calendar


def _mark(mailbox: Mailbox, calendar: Calendar) -> None:
    mailbox.list_sequence += 1
    calendar.listed_at = mailbox.list_sequence
    calendar.entry["etag" if mailbox.provider == "google" else "changeKey"] = f'"{mailbox.list_sequence}"'


def _google_entry(mailbox: Mailbox, name: str) -> Json:
    shown = ("kind", "colorId", "backgroundColor", "foregroundColor", "conferenceProperties")
    return {name: mailbox.main.entry[name] for name in shown if name in mailbox.main.entry} | {
        "id": f"{new_id()}@group.calendar.google.com",
        "summary": name,
        "timeZone": mailbox.time_zone,
        "selected": True,
        "accessRole": "owner",
        "defaultReminders": [],
    }


def _graph_entry(mailbox: Mailbox, name: str) -> Json:
    calendar_id = "AAMkADcal" + base64.urlsafe_b64encode(bytes.fromhex(new_id(47))).decode()
    return mailbox.main.entry | {"id": calendar_id, "name": name, "isDefaultCalendar": False, "isRemovable": True}
