"""Read and change the events of one Microsoft 365 calendar, in the JSON of Graph v1.0.

A series is one stored master; its occurrences are computed. An occurrence becomes a stored exception when somebody
changes it; when somebody deletes it, only the master remembers, in `cancelledOccurrences`, and nothing else tells.
"""

import base64
from collections.abc import Iterator
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from app.sandbox.calendar.graph_errors import bad_request, changed_meanwhile, not_found
from app.sandbox.calendar.graph_ids import MOVES, new_event_id, occurrence_id, split_occurrence_id
from app.sandbox.calendar.graph_times import moment_of, naive, named_zone, series_of, slot_times, written
from app.sandbox.calendar.recurrence import (
    MOST_SLOTS,
    BadRecurrenceError,
    Series,
    check,
    has_slot,
    instant,
    slots,
    wall_clock,
)
from app.sandbox.calendar.world import Calendar, Change, Item, Json, Mailbox, World
from app.sandbox.calendar.zones import find_zone

_NEVER: Final = "0001-01-01T00:00:00Z"
_UNANSWERED: Final = {"type": "required", "status": {"response": "none", "time": _NEVER}}
_READ_ONLY: Final = frozenset(
    {"id", "@odata.etag", "@odata.type", "@odata.context", "changeKey", "createdDateTime", "lastModifiedDateTime",
     "type", "seriesMasterId", "iCalUId", "originalStart", "webLink", "isOrganizer", "organizer", "responseStatus",
     "cancelledOccurrences", "bodyPreview", MOVES}
)  # fmt: skip


class GraphEvents:
    """The events of one calendar, with the rules of Graph. The caller holds the sandbox's lock."""

    def __init__(self, world: World, mailbox: Mailbox, calendar: Calendar, owner: Json) -> None:
        """Work on `calendar`; `owner` is the `emailAddress` of the person, organizer of new events."""
        self.world = world
        self.mailbox = mailbox
        self.calendar = calendar
        self.owner = owner

    @property
    def generation(self) -> int:
        """The generation of tokens that are good for this calendar."""
        return self.mailbox.generation + self.calendar.generation

    @property
    def zone(self) -> ZoneInfo:
        """The zone of the mailbox."""
        return named_zone(self.mailbox.time_zone)

    def get(self, event_id: str) -> Json:
        """Return a stored event or a computed occurrence, full.

        Raises GraphError (404).
        """
        item = self.calendar.items.get(event_id)
        if item is not None and not item.is_gone:
            return item.body
        found = self._occurrence(event_id) if item is None else None
        if found is None:
            raise not_found()
        return found

    def create(self, sent: Json) -> Json:
        """Add an event; a `transactionId` seen before returns the event made then.

        Raises GraphError (400).
        """
        repeated = self._by_transaction(sent.get("transactionId"))
        if repeated is not None:
            return repeated
        body = self._new_body(sent)
        body["attendees"] = [_UNANSWERED | attendee for attendee in body["attendees"]]
        self._validate(body)
        return self.save(body["id"], body, "created")

    def update(self, event_id: str, changes: Json, if_match: str | None = None) -> Json:
        """Change some members of an event, a series or one occurrence.

        Raises GraphError: 400, 404, 412.
        """
        current = self.get(event_id)
        _demand(if_match, current)
        body = current | {name: value for name, value in changes.items() if name not in _READ_ONLY}
        if current.get("seriesMasterId"):
            return self.keep(body)
        body["type"] = "seriesMaster" if body.get("recurrence") else "singleInstance"
        if "start" in changes:
            body["originalStartTimeZone"] = changes["start"].get("timeZone") or "UTC"
        self._validate(body)
        if any(current.get(name) != body.get(name) for name in ("start", "end", "recurrence")):
            self._reset_series(event_id, body)
        return self.save(event_id, body, "updated")

    def delete(self, event_id: str, if_match: str | None = None) -> None:
        """Delete an event, a whole series or one occurrence.

        Raises GraphError: 404, 412.
        """
        current = self.get(event_id)
        _demand(if_match, current)
        series_id = current.get("seriesMasterId")
        if series_id and series_id in self.calendar.items:
            self._cancel_occurrence(event_id, current)
            return
        for exception in self.calendar.exceptions_of(event_id):
            exception.is_gone = True
            self.world.touch(self.calendar, exception)
        item = self.calendar.items[event_id]
        item.is_gone = True
        self.world.touch(self.calendar, item)
        self._tell(event_id, "deleted", item.body)

    def series(self, master: Json) -> Series:
        """Return the recurrence of a master.

        Raises BadRecurrenceError.
        """
        return series_of(master, self.zone)

    def occurrences(self, master: Json, low: datetime, high: datetime) -> list[Json]:
        """Return the computed occurrences of a series in a window, full, without exceptions and cancelled ones.

        Raises BadRecurrenceError.
        """
        series = self.series(master)
        taken = {self.original_date(item.body, series) for item in self.exceptions(master["id"])}
        taken |= _cancelled_dates(master)
        found = slots(series, low, high, MOST_SLOTS)
        return [self._occurrence_body(master, series, slot) for slot in found if slot.date() not in taken]

    def exceptions(self, series_id: str) -> list[Item]:
        """Return the stored exceptions of a series that are not deleted."""
        return [item for item in self.calendar.exceptions_of(series_id) if not item.is_gone]

    def touches(self, body: Json, low: datetime, high: datetime) -> bool:
        """Tell whether a stored event lies in a window."""
        start, end = self.span(body)
        return start < high and (end > low or (end == start and start >= low))

    def span(self, body: Json) -> tuple[datetime, datetime]:
        """Return the aware UTC start and end; all-day events are the days of the mailbox's zone."""
        if body.get("isAllDay"):
            return instant(naive(body["start"]), self.zone), instant(naive(body["end"]), self.zone)
        return moment_of(body["start"]), moment_of(body["end"])

    def view(self, low: datetime, high: datetime) -> list[Json]:
        """Return single events, occurrences and exceptions in a window, full, in order of start."""
        return sorted(self._in_view(low, high), key=lambda body: self.span(body)[0])

    def original_date(self, body: Json, series: Series) -> date | None:
        """Return the date in its series that an exception stands for, None when it does not say."""
        parts = split_occurrence_id(body["id"])
        if parts is not None:
            return parts[1]
        if not body.get("originalStart"):
            return None
        return wall_clock(moment_of({"dateTime": body["originalStart"]}), series.zone).date()

    def _in_view(self, low: datetime, high: datetime) -> Iterator[Json]:
        for item in list(self.calendar.items.values()):
            if item.is_gone or "start" not in item.body:
                continue
            if not item.body.get("recurrence"):
                if self.touches(item.body, low, high):
                    yield item.body
                continue
            try:
                yield from self.occurrences(item.body, low, high)
            except BadRecurrenceError:
                continue

    def _occurrence(self, event_id: str) -> Json | None:
        parts = split_occurrence_id(event_id)
        item = self.calendar.items.get(parts[0]) if parts else None
        if parts is None or item is None or item.is_gone or not item.body.get("recurrence"):
            return None
        try:
            series = self.series(item.body)
            slot = datetime.combine(parts[1], series.first.time())
            is_there = has_slot(series, slot) and parts[1] not in _cancelled_dates(item.body)
        except BadRecurrenceError:
            return None
        return self._occurrence_body(item.body, series, slot) if is_there else None

    def _occurrence_body(self, master: Json, series: Series, slot: datetime) -> Json:
        start, end = slot_times(series, slot)
        body = {name: value for name, value in master.items() if name not in ("cancelledOccurrences", "transactionId")}
        original = instant(slot, series.zone)
        return body | {
            "id": occurrence_id(master["id"], slot.date()),
            "seriesMasterId": master["id"],
            "type": "occurrence",
            "recurrence": None,
            "originalStart": f"{original:%Y-%m-%dT%H:%M:%SZ}",
            "start": start,
            "end": end,
        }

    def _by_transaction(self, transaction_id: str | None) -> Json | None:
        if not transaction_id:
            return None
        bodies = (item.body for item in self.calendar.items.values() if not item.is_gone)
        return next((body for body in bodies if body.get("transactionId") == transaction_id), None)

    def _new_body(self, sent: Json) -> Json:
        now = self._now()
        given = {name: value for name, value in sent.items() if name not in _READ_ONLY}
        zone = (sent.get("start") or {}).get("timeZone") or "UTC"
        event_id = new_event_id()
        return (
            _defaults()
            | {
                "@odata.type": "#microsoft.graph.event",
                "id": event_id,
                "createdDateTime": now,
                "originalStartTimeZone": zone,
                "originalEndTimeZone": (sent.get("end") or {}).get("timeZone") or zone,
                "iCalUId": base64.b16encode(event_id[-60:].encode()).decode(),
                "organizer": {"emailAddress": self.owner},
                "type": "seriesMaster" if given.get("recurrence") else "singleInstance",
                "webLink": f"https://outlook.office365.com/owa/?itemid={event_id}",
                "bodyPreview": str((given.get("body") or {}).get("content", ""))[:255],
            }
            | given
        )

    def _validate(self, body: Json) -> None:
        for name in ("start", "end"):
            if not isinstance(body.get(name), dict):
                raise bad_request(f"The required property '{name}' is missing.", "ErrorPropertyValidationFailure")
            if find_zone(body[name].setdefault("timeZone", "UTC")) is None:
                raise bad_request("A valid TimeZone value must be specified.", "TimeZoneNotSupportedException")
            body[name] = written(naive(body[name]), body[name]["timeZone"])
        start, end = self.span(body)
        if end < start:
            raise bad_request(
                "The start date must be before the end date.", "ErrorCalendarEndDateIsEarlierThanStartDate"
            )
        if body.get("isAllDay"):
            midnights = all(naive(body[name]).time().isoformat() == "00:00:00" for name in ("start", "end"))
            if not midnights or start == end:
                message = "The Event.Start and End properties of an all-day event need to be midnight."
                raise bad_request(message, "ErrorInvalidRequest")
        if body.get("recurrence"):
            self._validate_recurrence(body)

    def _validate_recurrence(self, body: Json) -> None:
        limits = body["recurrence"].setdefault("range", {})
        if not limits.get("recurrenceTimeZone"):
            limits["recurrenceTimeZone"] = body["start"]["timeZone"]
        try:
            check(self.series(body))
        except (BadRecurrenceError, KeyError, TypeError, ValueError) as error:
            raise bad_request("The recurrence pattern is not valid.", "ErrorInvalidRecurrencePattern") from error

    def keep(self, body: Json) -> Json:
        """Store a changed event that is no series, or whose times stay; an occurrence becomes an exception.

        Raises GraphError.
        """
        if not body.get("seriesMasterId"):
            return self.save(body["id"], body, "updated")
        exception = body | {"type": "exception", "recurrence": None}
        self._validate(exception)
        saved = self.save(exception["id"], exception, "updated")
        self._touch_series(exception["seriesMasterId"])
        return saved

    def _cancel_occurrence(self, event_id: str, current: Json) -> None:
        series_id = current["seriesMasterId"]
        master = self.calendar.items[series_id]
        day = self.original_date(current, self.series(master.body))
        self.world.forget(self.calendar, event_id, series_id=series_id)
        cancelled = [*master.body.get("cancelledOccurrences", []), f"OID.{series_id}.{day}"]
        # The master is all that tells of it: no tombstone of the occurrence will ever come.
        self.save(series_id, master.body | {"cancelledOccurrences": cancelled}, "updated")

    def _touch_series(self, series_id: str) -> None:
        master = self.calendar.items.get(series_id)
        if master is not None:
            self.world.touch(self.calendar, master)

    def _reset_series(self, series_id: str, body: Json) -> None:
        # Exchange drops all exceptions when the times or the pattern of a series change.
        for exception in self.calendar.exceptions_of(series_id):
            self.world.forget(self.calendar, exception.body["id"], series_id=series_id)
        body.pop("cancelledOccurrences", None)

    def save(self, event_id: str, body: Json, kind: str) -> Json:
        """Store an event past the rules for clients, and tell; `kind` as `Change` names it. Return it as stored."""
        series_id = body.get("seriesMasterId")
        item = self.world.store(self.calendar, event_id, body, series_id=series_id)
        key = base64.b64encode(f"sandbox-{self.calendar.calendar_id[-6:]}-{item.sequence:08x}".encode()).decode()
        item.body |= {"changeKey": key, "@odata.etag": f'W/"{key}"', "lastModifiedDateTime": self._now()}
        self._tell(event_id, kind, item.body)
        return item.body

    def _tell(self, event_id: str, kind: str, body: Json) -> None:
        self.world.tell(Change(self.mailbox, self.calendar, event_id, kind, body.get("@odata.etag", "")))

    def _now(self) -> str:
        return f"{self.world.clock.now():%Y-%m-%dT%H:%M:%S.%f}0Z"


def _demand(if_match: str | None, current: Json) -> None:
    if if_match not in (None, "*", current.get("@odata.etag")):
        raise changed_meanwhile()


def _cancelled_dates(master: Json) -> set[date]:
    return {date.fromisoformat(name.rpartition(".")[2]) for name in master.get("cancelledOccurrences", ())}


def _defaults() -> Json:
    return {
        "categories": [],
        "subject": "",
        "bodyPreview": "",
        "importance": "normal",
        "sensitivity": "normal",
        "isAllDay": False,
        "isCancelled": False,
        "isDraft": False,
        "isOrganizer": True,
        "isReminderOn": True,
        "reminderMinutesBeforeStart": 15,
        "responseRequested": True,
        "showAs": "busy",
        "seriesMasterId": None,
        "hasAttachments": False,
        "hideAttendees": False,
        "allowNewTimeProposals": True,
        "isOnlineMeeting": False,
        "onlineMeetingProvider": "unknown",
        "onlineMeeting": None,
        "onlineMeetingUrl": None,
        "recurrence": None,
        "originalStart": None,
        "responseStatus": {"response": "organizer", "time": _NEVER},
        "body": {"contentType": "html", "content": ""},
        "location": {"displayName": "", "locationType": "default"},
        "locations": [],
        "attendees": [],
    }
