"""Edit calendars of either provider in one set of words, for the event pages and the control interface.

All changes go through the same rules as the providers' own interfaces, so they show up in deltas and trigger push.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from app.sandbox.accounts import Account
from app.sandbox.calendar import google_gestures, graph_gestures
from app.sandbox.calendar.busy import google_occurrences
from app.sandbox.calendar.google_errors import GoogleError
from app.sandbox.calendar.google_events import GoogleEvents, instance_id
from app.sandbox.calendar.google_times import moment_of as google_moment
from app.sandbox.calendar.google_times import span_of
from app.sandbox.calendar.graph_errors import GraphError
from app.sandbox.calendar.graph_events import GraphEvents
from app.sandbox.calendar.graph_ids import occurrence_id
from app.sandbox.calendar.recurrence import slots
from app.sandbox.calendar.world import Json, World
from app.sandbox.calendar.zones import find_zone, windows_name

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
REPEATS = ("", "daily", "weekly", "monthly")
"""How often an event made on the page may come back; empty is never."""


class EditRefusedError(ValueError):
    """The change is not possible; the message says why."""


@dataclass(frozen=True)
class Draft:
    """What an event shall be; None leaves a member as it is."""

    title: str | None = None
    start: datetime | None = None
    """Naive wall-clock time of the person; midnight when all-day."""
    end: datetime | None = None
    """As `start`; exclusive."""
    is_all_day: bool = False
    repeat: str = ""


@dataclass(frozen=True)
class Entry:
    """One event or instance as the page shows it."""

    event_id: str
    title: str
    start: datetime
    """Aware, in the person's zone."""
    end: datetime
    is_all_day: bool
    series_id: str | None
    """None: not part of a series."""
    note: str
    """What is special about it, in words; empty when nothing is."""


class Editing(Protocol):
    """Reads and changes one calendar."""

    def entries(self, low: datetime, high: datetime) -> list[Entry]:
        """Return what is in a window, in order of start."""

    def add(self, draft: Draft) -> Json:
        """Add an event; return it in the provider's JSON. Raises EditRefusedError."""

    def change(self, event_id: str, draft: Draft) -> Json:
        """Change an event, series or instance; return it. Raises EditRefusedError."""

    def remove(self, event_id: str) -> None:
        """Delete an event, series or instance. Raises EditRefusedError."""

    def instance(self, series_id: str, day: date) -> str:
        """Return the id of the instance a series has on a local day. Raises EditRefusedError."""

    def add_body(self, body: Json) -> Json:
        """Add an event given in the provider's JSON. Raises EditRefusedError."""

    def change_body(self, event_id: str, body: Json) -> Json:
        """Change an event by members in the provider's JSON. Raises EditRefusedError."""

    def split(self, series_id: str, day: date, body: Json) -> Json:
        """Change a series from its instance on a local day on; return the new part. Raises EditRefusedError."""

    def respond(self, event_id: str, response: str) -> Json:
        """Answer an invitation: `accepted`, `tentative` or `declined`; return it. Raises EditRefusedError."""

    def move(self, event_id: str, calendar_id: str) -> Json:
        """Put an event or a series into another calendar of the mailbox; return it. Raises EditRefusedError."""


def editing(world: World, account: Account, calendar_id: str | None) -> Editing:
    """Return the editing of a calendar; None is the person's own one.

    Raises UnknownCalendarError.
    """
    mailbox = world.mailbox(account.provider, account.key)
    calendar = mailbox.main if calendar_id is None else mailbox.calendar(calendar_id)
    if account.provider == "google":
        return GoogleEditing(GoogleEvents(world, mailbox, calendar, account.email))
    return GraphEditing(GraphEvents(world, mailbox, calendar, {"name": account.name, "address": account.email}))


class GoogleEditing:
    """Editing of a Google calendar."""

    def __init__(self, events: GoogleEvents) -> None:
        """Edit these events."""
        self.events = events
        self.zone = _zone(events.mailbox.time_zone)

    def entries(self, low: datetime, high: datetime) -> list[Entry]:
        """Return what is in a window, in order of start."""
        return [self._entry(body) for body in google_occurrences(self.events, low, high)]

    def add(self, draft: Draft) -> Json:
        """Add an event."""
        body = self._members(draft)
        if draft.repeat:
            body["recurrence"] = [f"RRULE:FREQ={draft.repeat.upper()}"]
        return self.add_body(body)

    def change(self, event_id: str, draft: Draft) -> Json:
        """Change an event, series or instance."""
        return self.change_body(event_id, self._members(draft))

    def remove(self, event_id: str) -> None:
        """Delete an event, series or instance."""
        try:
            self.events.delete(event_id)
        except GoogleError as error:
            raise EditRefusedError(str(error)) from error

    def instance(self, series_id: str, day: date) -> str:
        """Return the id of the instance a series has on a local day."""
        try:
            series = self.events.series(self.events.get(series_id))
        except GoogleError as error:
            raise EditRefusedError(str(error)) from error
        slot = _slot_on(slots(series, *_day(day, series.zone), 5), day)
        return instance_id(series, series_id, slot)

    def add_body(self, body: Json) -> Json:
        """Add an event given in Google's JSON."""
        try:
            return self.events.insert(body)
        except GoogleError as error:
            raise EditRefusedError(str(error)) from error

    def change_body(self, event_id: str, body: Json) -> Json:
        """Change an event by members in Google's JSON."""
        try:
            return self.events.patch(event_id, body)
        except GoogleError as error:
            raise EditRefusedError(str(error)) from error

    def split(self, series_id: str, day: date, body: Json) -> Json:
        """Change a series from its instance on a local day on."""
        try:
            series = self.events.series(self.events.get(series_id))
            slot = _slot_on(slots(series, *_day(day, series.zone), 5), day)
            return google_gestures.split(self.events, series_id, slot, body)
        except GoogleError as error:
            raise EditRefusedError(str(error)) from error

    def respond(self, event_id: str, response: str) -> Json:
        """Answer an invitation."""
        own = {"email": self.events.owner_email, "self": True, "responseStatus": response}
        return self.change_body(event_id, {"attendees": [own]})

    def move(self, event_id: str, calendar_id: str) -> Json:
        """Put an event or a series into another calendar of the mailbox."""
        events = self.events
        target = GoogleEvents(events.world, events.mailbox, events.mailbox.calendar(calendar_id), events.owner_email)
        try:
            return google_gestures.move(events, target, event_id)
        except GoogleError as error:
            raise EditRefusedError(str(error)) from error

    def _members(self, draft: Draft) -> Json:
        body: Json = {} if draft.title is None else {"summary": draft.title}
        times = (("start", draft.start), ("end", draft.end))
        return body | {name: self._time(moment, draft) for name, moment in times if moment is not None}

    def _time(self, moment: datetime, draft: Draft) -> Json:
        if draft.is_all_day:
            return {"date": moment.date().isoformat(), "dateTime": None, "timeZone": None}
        return {"dateTime": moment.isoformat(), "timeZone": self.events.mailbox.time_zone, "date": None}

    def _entry(self, body: Json) -> Entry:
        span = span_of(body, self.events.calendar)
        is_all_day = "date" in body["start"]
        start = google_moment(body["start"], self.events.calendar).astimezone(self.zone)
        notes = [body.get("status"), body.get("visibility"), body.get("transparency"), body.get("eventType")]
        words = ", ".join(word for word in notes if word not in (None, "confirmed", "default", "opaque"))
        series_id = body.get("recurringEventId")
        end = span.end.astimezone(self.zone)
        return Entry(body["id"], body.get("summary", ""), start, end, is_all_day, series_id, words)


class GraphEditing:
    """Editing of a Microsoft 365 calendar."""

    def __init__(self, events: GraphEvents) -> None:
        """Edit these events."""
        self.events = events
        self.zone = _zone(events.mailbox.time_zone)

    def entries(self, low: datetime, high: datetime) -> list[Entry]:
        """Return what is in a window, in order of start."""
        return [self._entry(body) for body in self.events.view(low, high)]

    def add(self, draft: Draft) -> Json:
        """Add an event."""
        body = self._members(draft)
        if draft.repeat and draft.start is not None:
            body["recurrence"] = _recurrence(draft.repeat, draft.start, windows_name(self.events.mailbox.time_zone))
        return self.add_body(body)

    def change(self, event_id: str, draft: Draft) -> Json:
        """Change an event, series or occurrence."""
        return self.change_body(event_id, self._members(draft))

    def remove(self, event_id: str) -> None:
        """Delete an event, series or occurrence."""
        try:
            self.events.delete(event_id)
        except GraphError as error:
            raise EditRefusedError(str(error)) from error

    def instance(self, series_id: str, day: date) -> str:
        """Return the id of the occurrence a series has on a local day."""
        return occurrence_id(series_id, day)

    def add_body(self, body: Json) -> Json:
        """Add an event given in Graph's JSON."""
        try:
            return self.events.create(body)
        except GraphError as error:
            raise EditRefusedError(str(error)) from error

    def change_body(self, event_id: str, body: Json) -> Json:
        """Change an event by members in Graph's JSON."""
        try:
            return self.events.update(event_id, body)
        except GraphError as error:
            raise EditRefusedError(str(error)) from error

    def split(self, series_id: str, day: date, body: Json) -> Json:
        """Change a series from its occurrence on a local day on."""
        try:
            series = self.events.series(self.events.get(series_id))
            return graph_gestures.split(self.events, series_id, datetime.combine(day, series.first.time()), body)
        except GraphError as error:
            raise EditRefusedError(str(error)) from error

    def respond(self, event_id: str, response: str) -> Json:
        """Answer an invitation."""
        named = "tentativelyAccepted" if response == "tentative" else response
        try:
            return graph_gestures.respond(self.events, event_id, named)
        except GraphError as error:
            raise EditRefusedError(str(error)) from error

    def move(self, event_id: str, calendar_id: str) -> Json:
        """Put an event or a series into another calendar of the mailbox."""
        events = self.events
        target = GraphEvents(events.world, events.mailbox, events.mailbox.calendar(calendar_id), events.owner)
        try:
            return graph_gestures.move(events, target, event_id)
        except GraphError as error:
            raise EditRefusedError(str(error)) from error

    def _members(self, draft: Draft) -> Json:
        body: Json = {} if draft.title is None else {"subject": draft.title}
        zone_name = windows_name(self.events.mailbox.time_zone)
        times = (("start", draft.start), ("end", draft.end))
        moved = {
            name: {"dateTime": when.isoformat(), "timeZone": zone_name} for name, when in times if when is not None
        }
        return body | moved | ({"isAllDay": draft.is_all_day} if moved else {})

    def _entry(self, body: Json) -> Entry:
        start, end = (moment.astimezone(self.zone) for moment in self.events.span(body))
        notes = [body.get("showAs"), body.get("sensitivity"), (body.get("responseStatus") or {}).get("response")]
        notes.append("cancelled" if body.get("isCancelled") else None)
        words = ", ".join(word for word in notes if word not in (None, "busy", "normal", "organizer", "none"))
        return Entry(
            body["id"],
            body.get("subject") or "",
            start,
            end,
            bool(body.get("isAllDay")),
            body.get("seriesMasterId"),
            words,
        )


def _zone(name: str) -> ZoneInfo:
    return find_zone(name) or ZoneInfo("Etc/UTC")


def _day(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    start = datetime.combine(day, time(), zone)
    return start, start + timedelta(days=1)


def _slot_on(found: list[datetime], day: date) -> datetime:
    slot = next((slot for slot in found if slot.date() == day), None)
    if slot is None:
        raise EditRefusedError(f"The series has no instance on {day}.")
    return slot


def _recurrence(repeat: str, start: datetime, zone_name: str) -> Json:
    kinds = {"daily": "daily", "weekly": "weekly", "monthly": "absoluteMonthly"}
    pattern: Json = {"type": kinds[repeat], "interval": 1, "firstDayOfWeek": "monday"}
    if repeat == "weekly":
        pattern["daysOfWeek"] = [_DAYS[start.weekday()]]
    if repeat == "monthly":
        pattern["dayOfMonth"] = start.day
    limits = {"type": "noEnd", "startDate": start.date().isoformat(), "recurrenceTimeZone": zone_name}
    return {"pattern": pattern, "range": limits}
