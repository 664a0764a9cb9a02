"""Read and change the events of one Google calendar.

A series is one stored master; its instances are computed. An instance becomes a stored exception when somebody changes
or cancels it. Semantics after the Calendar API v3 reference (events) and its guide on recurring events.
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from app.sandbox.calendar.google_errors import (
    condition_not_met,
    deleted,
    duplicate,
    invalid,
    not_found,
    range_empty,
    required,
)
from app.sandbox.calendar.google_times import is_all_day, moment_of, normal, series_of, slot_time, span_of
from app.sandbox.calendar.recurrence import BadRecurrenceError, Series, check, has_slot, instant, slots, wall_clock
from app.sandbox.calendar.world import Calendar, Change, Item, Json, Mailbox, World, new_id

_ID = re.compile(r"^[a-v0-9]{5,1024}$")
_INSTANCE = re.compile(r"^(.+)_(\d{8})(T\d{6}Z)?$")
_SPLIT = re.compile(r"_R\d{8}(T\d{6})?$")
_READ_ONLY: Final = frozenset(
    {"kind", "etag", "id", "created", "updated", "htmlLink", "creator", "organizer", "iCalUID", "recurringEventId",
     "originalStartTime", "attendeesOmitted"}
)  # fmt: skip
_NO_LENGTH: Final = timedelta()


def lineage(series_id: str) -> str:
    """Return the id of the series that a part split off from it (`<id>_R<start>`) came from."""
    return _SPLIT.sub("", series_id)


def instance_id(series: Series, series_id: str, slot: datetime) -> str:
    """Return the id of the instance at `slot`: series id and the original start, in UTC or as a date.

    Instances of a part that was split off carry the id of the first series, as captured answers show.
    """
    if series.is_all_day:
        return f"{lineage(series_id)}_{slot:%Y%m%d}"
    return f"{lineage(series_id)}_{instant(slot, series.zone):%Y%m%dT%H%M%SZ}"


class GoogleEvents:
    """The events of one calendar, with the rules of Google's API. The caller holds the sandbox's lock."""

    def __init__(self, world: World, mailbox: Mailbox, calendar: Calendar, owner_email: str) -> None:
        """Work on `calendar`; `owner_email` becomes creator and organizer of new events."""
        self.world = world
        self.mailbox = mailbox
        self.calendar = calendar
        self.owner_email = owner_email

    @property
    def generation(self) -> int:
        """The generation of tokens that are good for this calendar."""
        return self.mailbox.generation + self.calendar.generation

    def get(self, event_id: str) -> Json:
        """Return a stored event or a computed instance; deleted ones come with `status` cancelled.

        Raises GoogleError (404).
        """
        item = self.calendar.items.get(event_id)
        if item is not None and not item.is_gone and not item.is_buried:
            return item.body
        # An exception that fell out of its series left a tombstone; a part split off can have an instance of its id.
        found = self._instance(event_id)
        if found is not None:
            return found
        if item is None or item.is_buried:
            raise not_found()
        return item.body

    def insert(self, sent: Json) -> Json:
        """Add an event; an `id` chosen by the client makes the call safe to repeat.

        Raises GoogleError: 400 for missing or wrong members, 409 for an id that is taken.
        """
        event_id = sent.get("id") or new_id(13)
        if not _ID.match(event_id):
            raise invalid("Invalid resource id value.", "id")
        if event_id in self.calendar.items:
            raise duplicate()
        body = self._new_body(event_id, sent)
        self._validate(body, sent)
        return self.save(event_id, body, "created")

    def patch(self, event_id: str, changes: Json, if_match: str | None = None) -> Json:
        """Merge `changes` into an event: null removes a member, arrays are replaced.

        Raises GoogleError: 404, 412.
        """
        current = self._current(event_id, if_match)
        merged = _merge(current, {name: value for name, value in changes.items() if name not in _READ_ONLY})
        if changes.get("attendeesOmitted"):
            merged["attendees"] = _answered(current.get("attendees", []), changes.get("attendees", []))
        return self._replace(event_id, current, merged)

    def update(self, event_id: str, sent: Json, if_match: str | None = None) -> Json:
        """Replace an event; members that are not sent are cleared.

        Raises GoogleError: 400, 404, 412.
        """
        current = self._current(event_id, if_match)
        kept = {name: value for name, value in current.items() if name in _READ_ONLY or name in ("status", "sequence")}
        fresh = {name: value for name, value in sent.items() if name not in _READ_ONLY and value is not None}
        return self._replace(event_id, current, kept | fresh)

    def delete(self, event_id: str, if_match: str | None = None) -> None:
        """Delete an event, a whole series or one instance of a series.

        Raises GoogleError: 404, 410 when it is deleted already, 412.
        """
        current = self.get(event_id)
        if current.get("status") == "cancelled":
            raise deleted()
        self._demand(if_match, current)
        if "recurringEventId" in current:
            self._cancel_instance(event_id, current)
            return
        for exception in self.calendar.exceptions_of(event_id):
            # Only the master's tombstone is ever reported; its exceptions go silently.
            exception.is_buried = True
        self.save(event_id, current | {"status": "cancelled"}, "deleted")
        self.calendar.items[event_id].is_gone = True

    def series(self, master: Json) -> Series:
        """Return the recurrence of a master."""
        return series_of(master, self.calendar)

    def computed(self, master: Json, after: datetime, before: datetime, most: int) -> list[Json]:
        """Return the instances of a master in a window, without those that have a stored exception.

        Raises BadRecurrenceError.
        """
        series = self.series(master)
        stored = self.calendar.children.get(master["id"], set())
        found = ((slot, instance_id(series, master["id"], slot)) for slot in slots(series, after, before, most))
        return [self._instance_body(master, series, slot) for slot, name in found if name not in stored]

    def _instance(self, event_id: str) -> Json | None:
        parsed = _INSTANCE.match(event_id)
        if parsed is None:
            return None
        found = (self._instance_of(master, parsed[2], parsed[3]) for master in self._parts(parsed[1]))
        return next((body for body in found if body is not None), None)

    def _parts(self, series_id: str) -> Iterator[Json]:
        """Yield the living masters whose instances begin with this id: the series and what was split off from it."""
        items = self.calendar.items
        if series_id in items and _is_series(items[series_id]):
            yield items[series_id].body
        prefix = f"{series_id}_R"
        yield from (item.body for name, item in items.items() if name.startswith(prefix) and _is_series(item))

    def _instance_of(self, master: Json, day: str, clock: str | None) -> Json | None:
        series = self.series(master)
        if series.is_all_day == bool(clock):
            return None
        try:
            stamp = datetime.fromisoformat(day + (clock or "T000000"))
            slot = stamp.replace(tzinfo=None) if series.is_all_day else wall_clock(stamp, series.zone)
            return self._instance_body(master, series, slot) if has_slot(series, slot) else None
        except (ValueError, BadRecurrenceError):
            return None

    def _instance_body(self, master: Json, series: Series, slot: datetime) -> Json:
        start = slot_time(series, slot, master["start"], self.calendar, _NO_LENGTH)
        body = {name: value for name, value in master.items() if name != "recurrence"}
        return body | {
            "id": instance_id(series, master["id"], slot),
            "recurringEventId": master["id"],
            "originalStartTime": start,
            "start": start,
            "end": slot_time(series, slot, master["end"], self.calendar, series.length),
        }

    def _new_body(self, event_id: str, sent: Json) -> Json:
        owner = {"email": self.owner_email, "self": True}
        now = self._now()
        given = {name: value for name, value in sent.items() if name not in _READ_ONLY and value is not None}
        return {
            "kind": "calendar#event",
            "id": event_id,
            "status": "confirmed",
            "htmlLink": f"https://www.google.com/calendar/event?eid={event_id}",
            "created": now,
            "creator": owner,
            "organizer": sent.get("organizer") or owner,
            "iCalUID": sent.get("iCalUID") or f"{event_id}@google.com",
            "sequence": 0,
            "reminders": {"useDefault": True},
            "eventType": "default",
        } | given

    def _validate(self, body: Json, sent: Json) -> None:
        for end in ("start", "end"):
            if not body.get(end):
                raise required(end)
            body[end] = normal(body[end], self.calendar)
        if is_all_day(body["start"]) != is_all_day(body["end"]):
            raise invalid("Start and end times must either both be date or both be dateTime.")
        span = span_of(body, self.calendar)
        if span.end < span.start or (span.end == span.start and is_all_day(body["start"])):
            raise range_empty()
        if body.get("recurrence"):
            self._validate_recurrence(body, sent)

    def _validate_recurrence(self, body: Json, sent: Json) -> None:
        start = sent.get("start") or body["start"]
        if not is_all_day(start) and not start.get("timeZone"):
            raise invalid("Missing time zone definition for start time.", "start.timeZone")
        try:
            check(self.series(body))
        except BadRecurrenceError as error:
            raise invalid("Invalid recurrence rule.", "recurrence") from error

    def _current(self, event_id: str, if_match: str | None) -> Json:
        current = self.get(event_id)
        self._demand(if_match, current)
        if current.get("status") == "cancelled" and "recurringEventId" in current:
            # A cancelled instance is stored bare; to revive it, the series has the rest.
            return (self._instance(event_id) or current) | {"status": "cancelled"}
        return current

    @staticmethod
    def _demand(if_match: str | None, current: Json) -> None:
        if if_match not in (None, "*", current.get("etag")):
            raise condition_not_met()

    def _replace(self, event_id: str, current: Json, merged: Json) -> Json:
        if "recurringEventId" in current:
            merged.pop("recurrence", None)
        if merged.get("status") == "cancelled":
            self.delete(event_id)
            return self.get(event_id)
        self._validate(merged, merged)
        times = ("start", "end", "recurrence")
        is_moved = any(current.get(name) != merged.get(name) for name in times)
        if is_moved:
            merged["sequence"] = current.get("sequence", 0) + 1
        saved = self.save(event_id, merged, "updated")
        if current.get("status") == "cancelled":
            self._unbury(event_id)
        if is_moved and current.get("recurrence"):
            self._drop_lost_exceptions(event_id, saved)
            self._regain_instances(event_id, saved)
        return saved

    def _cancel_instance(self, event_id: str, current: Json) -> Json:
        bare = {
            name: current[name] for name in ("kind", "id", "recurringEventId", "originalStartTime") if name in current
        }
        return self.save(event_id, bare | {"status": "cancelled"}, "deleted")

    def _drop_lost_exceptions(self, series_id: str, master: Json) -> None:
        series = self.series(master) if master.get("recurrence") else None
        for item in self.calendar.exceptions_of(series_id):
            if series is None or not self._has_place(series, item.body["originalStartTime"]):
                self.tell_away(item, series_id)

    def tell_away(self, item: Item, series_id: str) -> None:
        """Part an exception from its series; Google reports what fell out of a series as a bare tombstone."""
        item.body = {"kind": "calendar#event", "id": item.body["id"], "status": "cancelled"}
        self.calendar.children[series_id].discard(item.body["id"])
        self.world.touch(self.calendar, item)
        item.is_gone, item.is_buried = True, False

    def _unbury(self, series_id: str) -> None:
        for exception in self.calendar.exceptions_of(series_id):
            exception.is_buried = False
            self.world.touch(self.calendar, exception)

    def _regain_instances(self, series_id: str, master: Json) -> None:
        """Send instances again that a tombstone told away and that the rules give now: as exceptions like any other."""
        family = lineage(series_id)
        told_away = [name for name, item in self.calendar.items.items() if item.is_gone and name.startswith(family)]
        for name in told_away:
            parsed = _INSTANCE.match(name)
            if parsed is not None and parsed[1] == family and master.get("recurrence"):
                found = self._instance_of(master, parsed[2], parsed[3])
                if found is not None:
                    self.save(name, found, "updated")

    def _has_place(self, series: Series, original: Json) -> bool:
        if series.is_all_day != is_all_day(original):
            return False
        if series.is_all_day:
            return has_slot(series, datetime.fromisoformat(original["date"]))
        return has_slot(series, wall_clock(moment_of(original, self.calendar), series.zone))

    def save(self, event_id: str, body: Json, kind: str) -> Json:
        """Store an event past the rules for clients, and tell; `kind` as `Change` names it. Return it as stored."""
        series_id = body.get("recurringEventId")
        item = self.world.store(self.calendar, event_id, body, series_id=series_id)
        self._stamp(item)
        self.world.tell(Change(self.mailbox, self.calendar, event_id, kind, item.body["etag"]))
        return item.body

    def _stamp(self, item: Item) -> None:
        item.body["etag"] = f'"{3_400_000_000_000_000 + item.sequence * 2}"'
        item.body["updated"] = self._now()

    def _now(self) -> str:
        return self.world.clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _is_series(item: Item) -> bool:
    return not item.is_gone and bool(item.body.get("recurrence"))


def _merge(current: Json, changes: Json) -> Json:
    merged = dict(current)
    for name, value in changes.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict) and isinstance(merged.get(name), dict):
            merged[name] = _merge(merged[name], value)
        else:
            merged[name] = value
    return merged


def _answered(attendees: list[Json], answers: list[Json]) -> list[Json]:
    by_email = {answer.get("email"): answer for answer in answers}
    return [attendee | by_email.get(attendee.get("email"), {}) for attendee in attendees]
