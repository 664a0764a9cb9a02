"""Read Graph events and calendars into the domain's words. Nothing here raises, whatever comes.

Source: Graph v1.0 reference, resource types event and calendar.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Final

from app.domain.calendars import (
    Busy,
    EventKind,
    EventStatus,
    Occurrence,
    RemoteCalendar,
    RemoteEvent,
    canonical_recurrence_id,
)
from app.domain.recurrence import busy_of
from app.domain.zones import find_zone
from app.providers.fields import Item, child, children, flag, instant, link, listed, storable_json, text, unknown_values
from app.providers.microsoft.patterns import excluded_lines, rule_lines
from app.providers.microsoft.times import BadTime, is_all_day, original_id, own_zone, read_span

MOST_ATTENDEES: Final = 200

_BUSY: Final[Mapping[str, Busy]] = {
    "free": Busy.FREE,
    "tentative": Busy.TENTATIVE,
    "busy": Busy.BUSY,
    "oof": Busy.OUT_OF_OFFICE,
    "workingElsewhere": Busy.ELSEWHERE,
}
_RESPONSES: Final[Mapping[str, str]] = {
    "organizer": "organizer",
    "accepted": "accepted",
    "declined": "declined",
    "tentativelyAccepted": "tentative",
    "notResponded": "needs_action",
    "none": "needs_action",
}
_KNOWN: Final[Mapping[str, Collection[str]]] = {
    "type": ("singleInstance", "occurrence", "exception", "seriesMaster"),
    "showAs": (*_BUSY, "unknown"),
    "sensitivity": ("normal", "personal", "private", "confidential"),
    "response": _RESPONSES,
}
_NOT_PRIVATE: Final = "normal"
"""Any other sensitivity is private: one nobody knows yet must not show what it was meant to hide."""
_HEX_COLOUR_LENGTH: Final = 7


class ItemKind(StrEnum):
    """What an item of a delta page is."""

    REMOVED = "removed"
    SINGLE = "single"
    MASTER = "master"
    EXCEPTION = "exception"
    OCCURRENCE = "occurrence"


_KINDS: Final[Mapping[ItemKind, EventKind]] = {
    ItemKind.MASTER: EventKind.MASTER,
    ItemKind.EXCEPTION: EventKind.EXCEPTION,
}


def kind_of(item: Item) -> ItemKind:
    """Return what an item is; its ``type`` where it has one, else by what it carries."""
    if "@removed" in item:
        return ItemKind.REMOVED
    by_type = {
        "singleInstance": ItemKind.SINGLE,
        "seriesMaster": ItemKind.MASTER,
        "exception": ItemKind.EXCEPTION,
        "occurrence": ItemKind.OCCURRENCE,
    }
    known = by_type.get(text(item, "type") or "")
    if known is ItemKind.EXCEPTION or known is ItemKind.OCCURRENCE:
        # Without its series it is an event like any other.
        return known if text(item, "seriesMasterId") else ItemKind.SINGLE
    if known is not None:
        return known
    if text(item, "seriesMasterId"):
        return ItemKind.EXCEPTION if text(item, "originalStart") else ItemKind.OCCURRENCE
    return ItemKind.MASTER if child(item, "recurrence") else ItemKind.SINGLE


def parse_event(item: Item, *, all_day_series: bool | None = None) -> RemoteEvent:
    """Read one full item that has an id: single, master or exception.

    ``all_day_series`` is the form of the exception's series where that is known: it decides the form of the
    recurrence id.
    """
    kind = kind_of(item)
    all_day = is_all_day(item)
    event = _described(item, _KINDS.get(kind, EventKind.SINGLE))
    if kind is ItemKind.EXCEPTION:
        series_form = all_day if all_day_series is None else all_day_series
        event = replace(
            event,
            series_id=text(item, "seriesMasterId"),
            recurrence_id=original_id(item, all_day_series=series_form),
        )
    if kind is ItemKind.MASTER:
        event = _with_rules(event, item, all_day=all_day)
    try:
        start, end = read_span(item, all_day=all_day)
    except BadTime as error:
        return replace(event, problem=str(error))
    return replace(event, start=start, end=end, all_day=all_day)


def parse_occurrence(item: Item, master: RemoteEvent) -> Occurrence | None:
    """Read one unchanged occurrence of ``master``, usually bare; null when its time cannot be read."""
    try:
        start, end = read_span(item, all_day=master.all_day)
    except BadTime:
        return None
    return Occurrence(
        series_id=master.provider_id,
        recurrence_id=canonical_recurrence_id(start),
        source_id=master.provider_id,
        all_day=master.all_day,
        start=start,
        end=end,
        busy=busy_of(master, start, end),
    )


def parse_calendar(item: Item) -> RemoteCalendar | None:
    """Read one calendar; null without an id. Graph does not say a calendar's zone."""
    provider_id = text(item, "id")
    if provider_id is None:
        return None
    color = text(item, "hexColor")
    return RemoteCalendar(
        provider_id=provider_id,
        name=text(item, "name") or provider_id,
        time_zone=None,
        access_role=_role(item),
        is_primary=flag(item, "isDefaultCalendar"),
        color=color if color is not None and len(color) == _HEX_COLOUR_LENGTH else None,
    )


def _role(item: Item) -> str:
    # Only the owner may share a calendar; nothing in the answer says "owner" outright.
    if flag(item, "isDefaultCalendar") or (flag(item, "canEdit") and flag(item, "canShare")):
        return "owner"
    return "writer" if flag(item, "canEdit") else "reader"


def _described(item: Item, kind: EventKind) -> RemoteEvent:
    """Return everything but times and what belongs to series."""
    attendees = children(item, "attendees")
    is_organizer = flag(item, "isOrganizer")
    return RemoteEvent(
        provider_id=text(item, "id") or "",
        kind=kind,
        status=EventStatus.CANCELLED if flag(item, "isCancelled") else EventStatus.CONFIRMED,
        series_id=None,
        recurrence_id=None,
        time_zone=own_zone(item),
        time_zone_raw=text(item, "originalStartTimeZone"),
        busy=_busy(item),
        unknown_values=_unknown_values(item),
        privacy="default" if (text(item, "sensitivity") or _NOT_PRIVATE) == _NOT_PRIVATE else "private",
        self_response=_self_response(item),
        is_organizer=is_organizer,
        organizer=_person(child(item, "organizer")) or None,
        attendees=tuple(_attendee(attendee) for attendee in attendees[:MOST_ATTENDEES]),
        attendees_omitted=len(attendees) > MOST_ATTENDEES or (flag(item, "hideAttendees") and not is_organizer),
        summary=text(item, "subject"),
        location=text(child(item, "location"), "displayName"),
        # The body is HTML of strangers; the preview is plain text.
        description=text(item, "bodyPreview"),
        html_link=link(item, "webLink"),
        conference_url=link(child(item, "onlineMeeting"), "joinUrl") or link(item, "onlineMeetingUrl"),
        ical_uid=text(item, "iCalUId"),
        etag=text(item, "@odata.etag") or text(item, "changeKey"),
        updated_at=instant(item, "lastModifiedDateTime"),
    )


def _with_rules(event: RemoteEvent, item: Item, *, all_day: bool) -> RemoteEvent:
    recurrence = child(item, "recurrence")
    zone = None if all_day else find_zone(event.time_zone)
    # Without a zone a timed rule cannot be written down; Graph's own occurrences need none.
    lines = rule_lines(recurrence, zone) if all_day or zone is not None else ()
    if lines:
        # Sent only when asked for by name; without it deleted occurrences are known by their absence alone.
        lines += excluded_lines(listed(item, "cancelledOccurrences"))
    zone_raw = text(child(recurrence, "range"), "recurrenceTimeZone") or event.time_zone_raw
    return replace(event, rules=lines, rules_raw=storable_json(recurrence) or None, time_zone_raw=zone_raw)


def _busy(item: Item) -> Busy:
    # An unknown word counts as busy: showing free time that is not there is the worse error.
    shown = _BUSY.get(text(item, "showAs") or "", Busy.BUSY)
    response = _self_response(item)
    if response == "declined":
        return Busy.FREE
    return Busy.TENTATIVE if shown is Busy.BUSY and response == "tentative" else shown


def _unknown_values(item: Item) -> dict[str, str] | None:
    said = {name: text(item, name) for name in ("type", "showAs", "sensitivity")}
    return unknown_values(said | {"response": text(child(item, "responseStatus"), "response")}, _KNOWN)


def _self_response(item: Item) -> str | None:
    if flag(item, "isOrganizer"):
        return "organizer"
    return _RESPONSES.get(text(child(item, "responseStatus"), "response") or "")


def _attendee(attendee: Item) -> Mapping[str, str]:
    response = _RESPONSES.get(text(child(attendee, "status"), "response") or "")
    return _person(attendee) | ({"response": response} if response else {})


def _person(person: Item) -> dict[str, str]:
    address = child(person, "emailAddress")
    known = {"name": text(address, "name"), "email": text(address, "address")}
    return {key: value for key, value in known.items() if value is not None}
