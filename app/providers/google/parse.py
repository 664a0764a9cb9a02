"""Read Google events and calendar list entries into the domain's words. Nothing here raises, whatever comes.

An item that cannot be represented becomes an event with a ``problem``; only an item without an id is dropped.
Source: the Event and CalendarListEntry resources of the Calendar API v3.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from app.domain.calendars import (
    Busy,
    EventKind,
    EventStatus,
    RemoteCalendar,
    RemoteEvent,
    canonical_recurrence_id,
)
from app.domain.errors import Unrepresentable
from app.domain.recurrence_rules import parse_lines, repair_lines, with_start_month
from app.domain.zones import find_zone, iana_name
from app.providers.fields import (
    Item,
    child,
    children,
    flag,
    instant,
    link,
    listed,
    storable,
    text,
    unknown_values,
    whole,
)
from app.providers.google.times import BadTime, Zone, read_point, read_span, read_zone

MOST_ATTENDEES: Final = 200
"""Kept per event; Google itself propagates no answers beyond."""

_ROLES: Final[Mapping[str, str]] = {
    "freeBusyReader": "free_busy",
    "reader": "reader",
    "writerWithoutPrivateAccess": "writer",
    "writer": "writer",
    "owner": "owner",
}
_RESPONSES: Final[Mapping[str, str]] = {
    "accepted": "accepted",
    "declined": "declined",
    "tentative": "tentative",
    "needsAction": "needs_action",
}
_KNOWN: Final[Mapping[str, Collection[str]]] = {
    "status": tuple(EventStatus),
    "transparency": ("opaque", "transparent"),
    "visibility": ("default", "public", "private", "confidential"),
    "responseStatus": _RESPONSES,
}
_PRIVACY: Final[Mapping[str, str]] = {"default": "default", "public": "public"}
"""Any other word is private: one nobody knows yet must not show what it was meant to hide."""


@dataclass(frozen=True, slots=True)
class ParsedItems:
    """What a list of events held."""

    events: tuple[RemoteEvent, ...]
    removed: tuple[str, ...]
    """Ids of tombstones: deleted events and masters."""
    dropped: int
    """Items without an id."""


def parse_items(items: Sequence[object], calendar_zone: str | None) -> ParsedItems:
    """Read the ``items`` of an event list; ``calendar_zone`` is the ``timeZone`` beside them."""
    objects = [item for item in items if isinstance(item, Mapping) and text(item, "id")]
    gone = [item for item in objects if _is_tombstone(item)]
    events = tuple(parse_event(item, calendar_zone) for item in objects if not _is_tombstone(item))
    return ParsedItems(events, tuple(text(item, "id") or "" for item in gone), len(items) - len(objects))


def parse_event(item: Item, calendar_zone: str | None) -> RemoteEvent:
    """Read one event that has an id: single, master, exception or cancelled exception."""
    zone = read_zone(child(item, "start"), calendar_zone)
    event = _described(item, zone)
    try:
        start, end = read_span(item, zone)
    except BadTime as error:
        # A cancelled exception may come bare: only its identity is guaranteed.
        bare = event.status is EventStatus.CANCELLED
        return event if bare else replace(event, problem=str(error))
    event = replace(event, start=start, end=end, all_day=not isinstance(start, datetime))
    return _with_rules(event, item, zone) if event.kind is EventKind.MASTER else event


def parse_calendar(item: Item) -> RemoteCalendar | None:
    """Read one calendar list entry; null without an id."""
    provider_id = text(item, "id")
    if provider_id is None:
        return None
    return RemoteCalendar(
        provider_id=provider_id,
        name=text(item, "summaryOverride") or text(item, "summary") or provider_id,
        time_zone=iana_name(text(item, "timeZone")),
        # Unknown roles appear now and then; reading is the least they give.
        access_role=_ROLES.get(text(item, "accessRole") or "", "reader"),
        is_primary=flag(item, "primary"),
        color=text(item, "backgroundColor"),
    )


def _is_tombstone(item: Item) -> bool:
    return text(item, "status") == "cancelled" and text(item, "recurringEventId") is None


def _described(item: Item, zone: Zone) -> RemoteEvent:
    """Return everything but times and rules."""
    attendees = children(item, "attendees")
    organizer = child(item, "organizer")
    return RemoteEvent(
        provider_id=text(item, "id") or "",
        kind=_kind(item),
        status=_status(item),
        series_id=text(item, "recurringEventId"),
        recurrence_id=_recurrence_id(item, zone),
        time_zone=zone.name,
        time_zone_raw=zone.raw,
        busy=_busy(item),
        event_type=text(item, "eventType") or "default",
        unknown_values=_unknown_values(item),
        privacy=_PRIVACY.get(text(item, "visibility") or "default", "private"),
        self_response=_self_response(item),
        is_organizer=flag(organizer, "self"),
        organizer=_person(organizer) or None,
        attendees=tuple(_attendee(attendee) for attendee in attendees[:MOST_ATTENDEES]),
        attendees_omitted=flag(item, "attendeesOmitted") or len(attendees) > MOST_ATTENDEES,
        summary=text(item, "summary"),
        location=text(item, "location"),
        description=text(item, "description"),
        html_link=link(item, "htmlLink"),
        conference_url=_conference_url(item),
        ical_uid=text(item, "iCalUID"),
        etag=text(item, "etag"),
        sequence=whole(item, "sequence"),
        updated_at=instant(item, "updated"),
    )


def _kind(item: Item) -> EventKind:
    if text(item, "recurringEventId") is not None:
        return EventKind.EXCEPTION
    return EventKind.MASTER if listed(item, "recurrence") else EventKind.SINGLE


def _status(item: Item) -> EventStatus:
    status = text(item, "status")
    return EventStatus(status) if status in tuple(EventStatus) else EventStatus.CONFIRMED


def _recurrence_id(item: Item, zone: Zone) -> str | None:
    if text(item, "recurringEventId") is None:
        return None
    original = child(item, "originalStartTime")
    try:
        point = read_point(original, read_zone(original, zone.name))
    except BadTime:
        return None
    return None if point is None else canonical_recurrence_id(point)


def _with_rules(event: RemoteEvent, item: Item, zone: Zone) -> RemoteEvent:
    """Return a master with its repaired rules, or with the reason why they cannot be used."""
    raw = [storable(line) for line in listed(item, "recurrence") if isinstance(line, str)]
    month = _start_month(event, zone)
    rules = tuple(with_start_month(line, month) for line in repair_lines(raw))
    master = replace(event, rules=rules, rules_raw=raw)
    if not rules:
        return replace(master, problem="bad_rule")
    if not event.all_day and not zone.is_known:
        return replace(master, problem="unknown_time_zone")
    try:
        parse_lines(rules)
    except Unrepresentable as error:
        return replace(master, problem=error.detail)
    return master


def _start_month(event: RemoteEvent, zone: Zone) -> int:
    if not isinstance(event.start, datetime):
        return event.start.month if event.start else 1
    try:
        return event.start.astimezone(find_zone(zone.name) or find_zone(zone.raw)).month
    except OverflowError:
        return event.start.month


def _busy(item: Item) -> Busy:
    event_type, response = text(item, "eventType"), _self_response(item)
    if event_type == "workingLocation":
        return Busy.ELSEWHERE
    # Google leaves a declined event opaque.
    if text(item, "transparency") == "transparent" or response == "declined":
        return Busy.FREE
    if event_type == "outOfOffice":
        return Busy.OUT_OF_OFFICE
    if response == "tentative" or text(item, "status") == "tentative":
        return Busy.TENTATIVE
    return Busy.BUSY


def _unknown_values(item: Item) -> dict[str, str] | None:
    said = {name: text(item, name) for name in ("status", "transparency", "visibility")}
    return unknown_values(said | {"responseStatus": text(_own_attendee(item) or {}, "responseStatus")}, _KNOWN)


def _own_attendee(item: Item) -> Item | None:
    return next((attendee for attendee in children(item, "attendees") if flag(attendee, "self")), None)


def _self_response(item: Item) -> str | None:
    """Return the person's own answer; an organizer who is no attendee has none but that."""
    own = _own_attendee(item)
    if own is not None:
        return _RESPONSES.get(text(own, "responseStatus") or "")
    return "organizer" if flag(child(item, "organizer"), "self") else None


def _attendee(attendee: Item) -> Mapping[str, str]:
    response = _RESPONSES.get(text(attendee, "responseStatus") or "")
    return _person(attendee) | ({"response": response} if response else {})


def _person(person: Item) -> dict[str, str]:
    known = {"name": text(person, "displayName"), "email": text(person, "email")}
    return {key: value for key, value in known.items() if value is not None}


def _conference_url(item: Item) -> str | None:
    entries = children(child(item, "conferenceData"), "entryPoints")
    video = (link(entry, "uri") for entry in entries if text(entry, "entryPointType") == "video")
    return next((url for url in video if url is not None), None) or link(item, "hangoutLink")
