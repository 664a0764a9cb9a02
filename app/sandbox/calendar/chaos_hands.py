"""The hands that edit one calendar for the chaos world: one set of gestures, done in either provider's way."""

from datetime import UTC, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from app.sandbox.accounts import Account
from app.sandbox.calendar import google_gestures, graph_gestures
from app.sandbox.calendar.chaos_draws import Dice, Rule, Span, google_lines, graph_recurrence
from app.sandbox.calendar.google_errors import GoogleError
from app.sandbox.calendar.google_events import GoogleEvents
from app.sandbox.calendar.google_times import is_all_day as is_google_all_day
from app.sandbox.calendar.google_times import moment_of, span_of
from app.sandbox.calendar.graph_errors import GraphError
from app.sandbox.calendar.graph_events import GraphEvents
from app.sandbox.calendar.recurrence import MOST_SLOTS, BadRecurrenceError, Series, wall_clock
from app.sandbox.calendar.world import Calendar, Item, Json, Mailbox, World
from app.sandbox.calendar.zones import find_zone, windows_name

SHELTERED = "Sheltered"
"""Title of events that are never edited, so that a reader can tell a calendar that is half there."""

_BACK, _AHEAD = timedelta(days=30), timedelta(days=150)
_SOMEBODY = "guest.one@example.net"
_GOOGLE_SHOWS: tuple[Json, ...] = (
    {"transparency": "transparent", "status": "confirmed"},
    {"transparency": "opaque", "status": "confirmed"},
    {"transparency": "opaque", "status": "tentative"},
)
_GRAPH_SHOWS = ("free", "tentative", "busy", "oof", "workingElsewhere")


class Hand(Protocol):
    """Edits one calendar. Every gesture may raise the provider's error when the event does not allow it."""

    def singles(self) -> list[str]:
        """Return the ids of living single events, oldest first."""

    def series(self) -> list[str]:
        """Return the ids of living series, oldest first."""

    def instances(self, series_id: str) -> list[str]:
        """Return the ids of the instances a series has around today, moved ones included, in order."""

    def gone(self) -> list[str]:
        """Return the ids of what was deleted and can be brought back, oldest first."""

    def span(self, event_id: str) -> Span:
        """Return when an event is; of a series, its first instance by its rules."""

    def add(self, title: str, span: Span, rule: Rule | None = None) -> None:
        """Add an event, or a series when there is a rule."""

    def reshape(self, event_id: str, span: Span, rule: Rule | None = None) -> None:
        """Give an event other times; a series needs a rule, too."""

    def split(self, series_id: str, instance_id: str, span: Span | None, rule: Rule) -> None:
        """Change a series from an instance on: other times, or the same times under another title."""

    def rename(self, event_id: str, title: str) -> None:
        """Give an event another title."""

    def show(self, event_id: str, dice: Dice) -> None:
        """Let an event count differently in free/busy times."""

    def decline(self, event_id: str) -> None:
        """Decline an event, as an invitation."""

    def remove(self, event_id: str) -> None:
        """Delete an event, a series or an instance."""

    def hand_over(self, event_id: str) -> None:
        """Make somebody else the organizer."""

    def carry(self, event_id: str, target: Calendar) -> None:
        """Put an event or a series into another calendar of the mailbox."""

    def restore(self, event_id: str) -> None:
        """Bring back what was deleted."""


class GoogleHand:
    """Edits a Google calendar."""

    def __init__(self, world: World, account: Account, mailbox: Mailbox, calendar: Calendar) -> None:
        """Edit `calendar` as its owner."""
        self.events = GoogleEvents(world, mailbox, calendar, account.email)

    def singles(self) -> list[str]:
        """Return the ids of living single events, oldest first."""
        return [name for name, body in self._living() if not body.get("recurrence") and "recurringEventId" not in body]

    def series(self) -> list[str]:
        """Return the ids of living series, oldest first."""
        return [name for name, body in self._living() if body.get("recurrence")]

    def instances(self, series_id: str) -> list[str]:
        """Return the ids of the instances a series has around today, moved ones included, in order."""
        found = self.events.computed(self.events.get(series_id), *_around(self.events.world), MOST_SLOTS)
        kept = (item.body for item in self.events.calendar.exceptions_of(series_id))
        found += [body for body in kept if body.get("status") != "cancelled"]
        return [body["id"] for body in sorted(found, key=lambda body: span_of(body, self.events.calendar).start)]

    def gone(self) -> list[str]:
        """Return the ids of deleted events that still have their times, and of cancelled instances."""
        items = [(name, item) for name, item in self.events.calendar.items.items() if not item.is_buried]
        cancelled = [(name, item.body) for name, item in items if item.body.get("status") == "cancelled"]
        return [name for name, body in cancelled if "start" in body or "recurringEventId" in body]

    def span(self, event_id: str) -> Span:
        """Return when an event is; of a series, its first instance by its rules."""
        body = self.events.get(event_id)
        if body.get("recurrence"):
            return _first(self.events.series(body))
        span = span_of(body, self.events.calendar)
        zone = find_zone(body["start"].get("timeZone") or self.events.calendar.time_zone) or ZoneInfo("Etc/UTC")
        return _local(span.start, span.end, zone, is_all_day=is_google_all_day(body["start"]))

    def add(self, title: str, span: Span, rule: Rule | None = None) -> None:
        """Add an event, or a series when there is a rule."""
        times = {name: {k: v for k, v in when.items() if v is not None} for name, when in _google_times(span).items()}
        rules = {"recurrence": google_lines(rule, span)} if rule else {}
        self.events.insert({"summary": title, **times, **rules})

    def reshape(self, event_id: str, span: Span, rule: Rule | None = None) -> None:
        """Give an event other times; a series needs a rule, too."""
        rules = {"recurrence": google_lines(rule, span)} if rule else {}
        self.events.patch(event_id, _google_times(span) | rules)

    def split(self, series_id: str, instance_id: str, span: Span | None, rule: Rule) -> None:
        """Change a series from an instance on: other times, or the same times under another title."""
        series = self.events.series(self.events.get(series_id))
        original = self.events.get(instance_id)["originalStartTime"]
        slot = wall_clock(moment_of(original, self.events.calendar), series.zone)
        if series.is_all_day:
            slot = datetime.fromisoformat(original["date"])
        changes: Json = {"summary": f"From {slot:%d %b} on"}
        if span is not None:
            changes |= _google_times(span) | {"recurrence": google_lines(rule, span)}
        google_gestures.split(self.events, series_id, slot, changes)

    def rename(self, event_id: str, title: str) -> None:
        """Give an event another title."""
        self.events.patch(event_id, {"summary": title})

    def show(self, event_id: str, dice: Dice) -> None:
        """Let an event count differently in free/busy times."""
        self.events.patch(event_id, dice.pick(_GOOGLE_SHOWS))

    def decline(self, event_id: str) -> None:
        """Decline an event, as an invitation."""
        own = {"email": self.events.owner_email, "self": True, "responseStatus": "declined"}
        organizer = {"email": _SOMEBODY, "organizer": True, "responseStatus": "accepted"}
        self.events.patch(event_id, {"attendees": [organizer, own]})

    def remove(self, event_id: str) -> None:
        """Delete an event, a series or an instance."""
        self.events.delete(event_id)

    def hand_over(self, event_id: str) -> None:
        """Make somebody else the organizer."""
        google_gestures.hand_over(self.events, event_id, _SOMEBODY)

    def carry(self, event_id: str, target: Calendar) -> None:
        """Put an event or a series into another calendar of the mailbox."""
        into = GoogleEvents(self.events.world, self.events.mailbox, target, self.events.owner_email)
        google_gestures.move(self.events, into, event_id)

    def restore(self, event_id: str) -> None:
        """Bring back what was deleted: an event from the bin, or a cancelled instance."""
        self.events.patch(event_id, {"status": "confirmed"})

    def _living(self) -> list[tuple[str, Json]]:
        items = [(name, item) for name, item in self.events.calendar.items.items() if not item.is_buried]
        living = [(name, item.body) for name, item in items if item.body.get("status") != "cancelled"]
        return [(name, body) for name, body in living if body.get("summary") != SHELTERED]


class GraphHand:
    """Edits a Microsoft 365 calendar."""

    def __init__(self, world: World, account: Account, mailbox: Mailbox, calendar: Calendar) -> None:
        """Edit `calendar` as its owner."""
        self.events = GraphEvents(world, mailbox, calendar, {"name": account.name, "address": account.email})

    def singles(self) -> list[str]:
        """Return the ids of living single events, oldest first."""
        return [name for name, item in self._living() if _graph_kind(item) == "single"]

    def series(self) -> list[str]:
        """Return the ids of living series, oldest first."""
        return [name for name, item in self._living() if _graph_kind(item) == "series"]

    def instances(self, series_id: str) -> list[str]:
        """Return the ids of the instances a series has around today, moved ones included, in order."""
        found = self.events.occurrences(self.events.get(series_id), *_around(self.events.world))
        found += [item.body for item in self.events.exceptions(series_id)]
        return [body["id"] for body in sorted(found, key=lambda body: self.events.span(body)[0])]

    def gone(self) -> list[str]:
        """Return the ids of deleted events; cancelled occurrences cannot be brought back."""
        items = self.events.calendar.items.items()
        return [name for name, item in items if item.is_gone and not item.body.get("seriesMasterId")]

    def span(self, event_id: str) -> Span:
        """Return when an event is; of a series, its first instance by its rules."""
        body = self.events.get(event_id)
        if body.get("recurrence"):
            return _first(self.events.series(body))
        zone = find_zone(body["start"]["timeZone"]) or ZoneInfo("Etc/UTC")
        is_all_day = bool(body.get("isAllDay"))
        start, end = self.events.span(body)
        return _local(start, end, self.events.zone if is_all_day else zone, is_all_day=is_all_day)

    def add(self, title: str, span: Span, rule: Rule | None = None) -> None:
        """Add an event, or a series when there is a rule."""
        rules = {"recurrence": graph_recurrence(rule, span)} if rule else {}
        self.events.create({"subject": title, **self._times(span), **rules})

    def reshape(self, event_id: str, span: Span, rule: Rule | None = None) -> None:
        """Give an event other times; a series needs a rule, too."""
        rules = {"recurrence": graph_recurrence(rule, span)} if rule else {}
        self.events.update(event_id, self._times(span) | rules)

    def split(self, series_id: str, instance_id: str, span: Span | None, rule: Rule) -> None:
        """Change a series from an instance on: other times, or the same times under another title."""
        series = self.events.series(self.events.get(series_id))
        day = self.events.original_date(self.events.get(instance_id), series)
        slot = datetime.combine(day or series.first.date(), series.first.time())
        changes: Json = {"subject": f"From {slot:%d %b} on"}
        if span is not None:
            changes |= self._times(span) | {"recurrence": graph_recurrence(rule, span)}
        graph_gestures.split(self.events, series_id, slot, changes)

    def rename(self, event_id: str, title: str) -> None:
        """Give an event another title."""
        self.events.update(event_id, {"subject": title})

    def show(self, event_id: str, dice: Dice) -> None:
        """Let an event count differently in free/busy times."""
        self.events.update(event_id, {"showAs": dice.pick(_GRAPH_SHOWS)})

    def decline(self, event_id: str) -> None:
        """Decline an event, as an invitation."""
        graph_gestures.respond(self.events, event_id, "declined")

    def remove(self, event_id: str) -> None:
        """Delete an event, a series or an instance."""
        self.events.delete(event_id)

    def hand_over(self, event_id: str) -> None:
        """Make somebody else the organizer."""
        graph_gestures.hand_over(self.events, event_id, _SOMEBODY)

    def carry(self, event_id: str, target: Calendar) -> None:
        """Put an event or a series into another calendar of the mailbox."""
        into = GraphEvents(self.events.world, self.events.mailbox, target, self.events.owner)
        graph_gestures.move(self.events, into, event_id)

    def restore(self, event_id: str) -> None:
        """Bring back what was deleted: a copy of the event under a new id."""
        body = self.events.calendar.items[event_id].body
        names = ("subject", "start", "end", "isAllDay", "showAs", "recurrence")
        self.events.create({name: body[name] for name in names if body.get(name) is not None})

    def _times(self, span: Span) -> Json:
        # Whole days are days of the mailbox's zone, whatever zone the person thinks of.
        zone = windows_name(self.events.zone.key if span.is_all_day else span.zone)
        moments = (("start", span.start), ("end", span.end))
        times = {name: {"dateTime": moment.isoformat(), "timeZone": zone} for name, moment in moments}
        return times | {"isAllDay": span.is_all_day}

    def _living(self) -> list[tuple[str, Item]]:
        living = [(name, item) for name, item in self.events.calendar.items.items() if not item.is_gone]
        return [(name, item) for name, item in living if item.body.get("subject") != SHELTERED]


REFUSALS = (GoogleError, GraphError, BadRecurrenceError)
"""What a gesture may raise when the event does not allow it."""


def hand_for(world: World, account: Account, calendar: Calendar) -> Hand:
    """Return the hand that edits a calendar of an account."""
    mailbox = world.mailbox(account.provider, account.key)
    kind = GoogleHand if account.provider == "google" else GraphHand
    return kind(world, account, mailbox, calendar)


def _around(world: World) -> tuple[datetime, datetime]:
    midnight = world.clock.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - _BACK, midnight + _AHEAD


def _first(series: Series) -> Span:
    return Span(series.first, series.first + series.length, series.zone.key, series.is_all_day)


def _local(start: datetime, end: datetime, zone: ZoneInfo, *, is_all_day: bool) -> Span:
    first = wall_clock(start, zone)
    # The length is exact; all-day events are counted in local days.
    last = wall_clock(end, zone) if is_all_day else first + (end - start)
    return Span(first, last, zone.key, is_all_day)


def _google_times(span: Span) -> Json:
    moments = (("start", span.start), ("end", span.end))
    if span.is_all_day:
        return {name: {"date": m.date().isoformat(), "dateTime": None, "timeZone": None} for name, m in moments}
    return {name: {"dateTime": m.isoformat(), "timeZone": span.zone, "date": None} for name, m in moments}


def _graph_kind(item: Item) -> str:
    if item.body.get("recurrence"):
        return "series"
    return "exception" if item.body.get("seriesMasterId") else "single"
