"""Events as services see them: names and forms of JSCalendar (RFC 8984) where it has them, ours in snake case.

Two departures, both on purpose: an all-day event begins on a date, not at a midnight, and rules stay RFC 5545 lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal, NotRequired, cast

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from app.domain.calendar_reading import ShownOccurrence, ShownSeries, begins
from app.domain.calendars import Busy, EventStatus, Occurrence, RemoteEvent
from app.domain.zones import find_zone
from app.web.api.openapi import Identifier, Timestamp
from app.web.api.token_answers import timestamp

Duration = Annotated[str, WithJsonSchema({"type": "string", "format": "duration"})]
"""ISO 8601."""

_MEETINGS_FIT = frozenset({Busy.FREE, Busy.ELSEWHERE})
_RESPONSES = {"needs_action": "needs-action", "organizer": "accepted"}


class LocationItem(TypedDict):
    """A place."""

    name: str


class VirtualLocationItem(TypedDict):
    """Where to meet on line."""

    uri: str


class ParticipantItem(TypedDict):
    """Somebody who takes part."""

    name: NotRequired[str]
    email: NotRequired[str]
    roles: dict[str, bool]
    """`owner` for the organizer, `attendee` for all who are invited."""
    participationStatus: NotRequired[str]
    """`needs-action`, `accepted`, `declined` or `tentative`."""


class TimesItem(TypedDict):
    """When something is."""

    start: str
    """Local time in `timeZone` such as `2026-11-23T10:00:00`; a date such as `2026-11-23` when it lasts whole days."""
    timeZone: str | None
    """IANA name; null for whole days, which are the same date everywhere."""
    duration: Duration
    showWithoutTime: bool
    """Whether it lasts whole days."""
    utcStart: NotRequired[Timestamp]
    """The same instant; absent for whole days."""
    utcEnd: NotRequired[Timestamp]
    freeBusyStatus: Literal["free", "busy"]
    """Whether somebody who looks for a time for a meeting has to go around it."""
    busy_class: Busy
    """Why, in finer steps."""


class ContentItem(TypedDict):
    """What something is. Absent as a whole or in part where only times may be seen."""

    status: NotRequired[EventStatus]
    privacy: NotRequired[Literal["public", "private"]]
    """Of a `private` event times alone leave its owner's view: title, place, people and links are absent."""
    uid: NotRequired[str]
    """The same for every copy of a meeting, in all calendars; no key of a row."""
    title: NotRequired[str]
    description: NotRequired[str]
    locations: NotRequired[dict[str, LocationItem]]
    virtualLocations: NotRequired[dict[str, VirtualLocationItem]]
    participants: NotRequired[dict[str, ParticipantItem]]
    participants_omitted: NotRequired[Literal[True]]
    """The provider did not give all of them."""
    self_response: NotRequired[str]
    """What the calendar's owner answered: `accepted`, `declined`, `tentative`, `needs_action` or `organizer`."""
    event_type: NotRequired[str]
    """The provider's own word, such as `focusTime`."""
    html_link: NotRequired[str]
    """Page of the event at the provider."""
    sequence: NotRequired[int]
    updated: NotRequired[Timestamp]


class OccurrenceItem(TimesItem, ContentItem):
    """One occurrence on the time line. `calendar_id`, `event_id` and `recurrence_id` together name it for good."""

    calendar_id: Identifier
    person_id: Identifier
    event_id: NotRequired[str]
    """Of the series, or of the single event; opaque. Absent where only times may be seen."""
    recurrence_id: NotRequired[str]
    """When the instance was first meant to be, as `20261123T090000Z` or `20261123`; absent for single events."""


class InstanceItem(TimesItem):
    """One occurrence of an event that is told beside it."""

    recurrence_id: NotRequired[str]
    """As in an occurrence of `/v1/events`; absent for single events."""
    exception_id: NotRequired[str]
    """`id` of the exception whose content it has; absent when it has that of the event itself."""


class ExceptionItem(ContentItem):
    """An instance that deviates from its series: moved, changed, or (`status` is `cancelled`) taken out."""

    id: str
    recurrence_id: NotRequired[str]
    """Which instance; absent when the provider never said."""
    start: NotRequired[str]
    timeZone: NotRequired[str | None]
    duration: NotRequired[Duration]
    showWithoutTime: NotRequired[bool]
    busy_class: Busy


class EventItem(ContentItem):
    """One event: a single one, or a series with everything that deviates from it."""

    calendar_id: Identifier
    person_id: Identifier
    event_id: str
    """Names it for good, together with `calendar_id`."""
    start: NotRequired[str]
    """Of the event, or of a series' first instance. Absent, like all that says when, for exceptions without a series:
    somebody was invited to one instance of a series they cannot see."""
    timeZone: NotRequired[str | None]
    duration: NotRequired[Duration]
    showWithoutTime: NotRequired[bool]
    busy_class: NotRequired[Busy]
    rules: Annotated[list[str], Field(description="RRULE, RDATE and EXDATE (RFC 5545) of a series; else empty.")]
    exceptions: list[ExceptionItem]
    problem: NotRequired[str]
    """Why it cannot be put on the time line: it has no occurrences then."""


def occurrence_item(found: ShownOccurrence, person_id: str, *, is_bare: bool) -> OccurrenceItem:
    """Return one occurrence; ``is_bare``: the reader may see times alone."""
    one, event = found.occurrence, found.event
    item: dict[str, object] = {
        "calendar_id": str(found.calendar_id),
        "person_id": person_id,
        **_times(one, None if event is None else event.time_zone),
    }
    if not is_bare:
        item["event_id"] = one.series_id
        if one.recurrence_id:
            item["recurrence_id"] = one.recurrence_id
        if event is not None:
            item |= _content(event)
    return cast("OccurrenceItem", item)


def event_item(found: ShownSeries, person_id: str) -> EventItem:
    """Return one event without its occurrences."""
    item: dict[str, object] = {
        "calendar_id": str(found.calendar_id),
        "person_id": person_id,
        "event_id": found.event_id,
        "rules": [],
        "exceptions": [_exception_item(one) for one in found.exceptions],
    }
    if found.event is not None:
        item |= _own_times(found.event) | _content(found.event)
        item |= {"rules": list(found.event.rules), "busy_class": found.event.busy}
        if found.event.problem is not None:
            item["problem"] = found.event.problem
    return cast("EventItem", item)


def instance_items(found: ShownSeries) -> list[InstanceItem]:
    """Return all occurrences of an event that are told beside it."""
    zones = {event.provider_id: event.time_zone for event in (found.event, *found.exceptions) if event is not None}
    return [_instance_item(one, zones, found.event_id) for one in found.occurrences]


def _instance_item(one: Occurrence, zones: Mapping[str, str | None], event_id: str) -> InstanceItem:
    item = _times(one, zones.get(one.source_id))
    if one.recurrence_id:
        item["recurrence_id"] = one.recurrence_id
    if one.source_id != event_id:
        item["exception_id"] = one.source_id
    return cast("InstanceItem", item)


def _exception_item(event: RemoteEvent) -> ExceptionItem:
    item: dict[str, object] = {
        "id": event.provider_id,
        "busy_class": event.busy,
        **_own_times(event),
        **_content(event),
    }
    if event.recurrence_id is not None:
        item["recurrence_id"] = event.recurrence_id
    return cast("ExceptionItem", item)


def _times(one: Occurrence, zone_name: str | None) -> dict[str, object]:
    item = _placed(one.start, one.end, zone_name)
    item["freeBusyStatus"] = "free" if one.busy in _MEETINGS_FIT else "busy"
    item["busy_class"] = one.busy
    if isinstance(one.start, datetime) and isinstance(one.end, datetime):
        item |= {"utcStart": timestamp(one.start), "utcEnd": timestamp(one.end)}
    return item


def _own_times(event: RemoteEvent) -> dict[str, object]:
    if event.start is None or event.end is None:
        return {}
    return _placed(event.start, event.end, event.time_zone)


def _placed(start: datetime | date, end: datetime | date, zone_name: str | None) -> dict[str, object]:
    if not (isinstance(start, datetime) and isinstance(end, datetime)):
        length = duration_text(begins(end) - begins(start))
        return {"start": start.isoformat(), "timeZone": None, "duration": length, "showWithoutTime": True}
    zone = find_zone(zone_name)
    local = start.astimezone(zone or UTC).replace(tzinfo=None)
    return {
        "start": local.isoformat(timespec="seconds"),
        "timeZone": zone_name if zone is not None else "Etc/UTC",
        # In hours: a day of a duration is a day of the calendar, and has 23 or 25 of them now and then.
        "duration": duration_text(end - start, in_days=False),
        "showWithoutTime": False,
    }


def _content(event: RemoteEvent) -> dict[str, object]:
    is_private = event.privacy == "private"
    told: dict[str, object] = {
        "uid": event.ical_uid,
        "title": event.summary,
        "description": event.description,
        "locations": {"1": {"name": event.location}} if event.location else None,
        "virtualLocations": {"1": {"uri": event.conference_url}} if event.conference_url else None,
        "participants": _participants(event),
        "participants_omitted": event.attendees_omitted and not is_private,
        "self_response": event.self_response,
        "event_type": event.event_type if event.event_type != "default" else None,
        "html_link": event.html_link,
        "updated": None if event.updated_at is None else timestamp(event.updated_at),
    }
    item: dict[str, object] = {"status": event.status, "privacy": "private" if is_private else "public"}
    item |= {name: value for name, value in told.items() if value}
    if event.sequence is not None:
        item["sequence"] = event.sequence
    return item


def _participants(event: RemoteEvent) -> dict[str, ParticipantItem]:
    """Return the organizer first, then the attendees, each under a number."""
    organizer = dict(event.organizer or {})
    found = [_participant(one, is_owner=_is_same(one, organizer)) for one in event.attendees]
    if organizer and not any("owner" in one["roles"] for one in found):
        alone = _participant(organizer, is_owner=True)
        del alone["roles"]["attendee"]
        found.insert(0, alone)
    return {str(number): one for number, one in enumerate(found, 1)}


def _participant(person: Mapping[str, str], *, is_owner: bool) -> ParticipantItem:
    item: ParticipantItem = {"roles": {"attendee": True, **({"owner": True} if is_owner else {})}}
    if person.get("name"):
        item["name"] = person["name"]
    if person.get("email"):
        item["email"] = person["email"]
    if person.get("response"):
        item["participationStatus"] = _RESPONSES.get(person["response"], person["response"])
    return item


def _is_same(attendee: Mapping[str, str], organizer: Mapping[str, str]) -> bool:
    return bool(organizer.get("email")) and attendee.get("email", "").casefold() == organizer["email"].casefold()


def duration_text(length: timedelta, *, in_days: bool = True) -> str:
    """Return an ISO 8601 duration, longest unit days or hours; ``PT0S`` for none. Fractions are dropped."""
    seconds = int(length.total_seconds())
    days, rest = divmod(seconds, 86_400) if in_days else (0, seconds)
    clock = "".join(
        f"{count}{unit}" for count, unit in ((rest // 3600, "H"), (rest % 3600 // 60, "M"), (rest % 60, "S")) if count
    )
    if not seconds:
        return "PT0S"
    return f"P{f'{days}D' if days else ''}{f'T{clock}' if clock else ''}"
