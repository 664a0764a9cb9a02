"""Read an iCalendar file into events as the product knows them: the part of a provider, for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from icalendar import Calendar

from app.domain.calendars import EventKind, EventStatus, RemoteEvent, canonical_recurrence_id
from app.domain.recurrence_rules import repair_lines
from app.providers.microsoft.zones import zone_name

_RULES = ("RRULE", "EXRULE", "RDATE", "EXDATE")


def read_ics(text):
    """Return the events of a file, an exception linked to the series with its UID."""
    return [_event(component) for component in Calendar.from_ical(text).walk("VEVENT")]


def _event(component):
    written = component.decoded("DTSTART")
    start = _instant(written)
    lines = repair_lines(line for line in component.content_lines() if line.upper().startswith(_RULES))
    uid, replaced = str(component["UID"]), component.get("RECURRENCE-ID")
    kind = EventKind.EXCEPTION if replaced is not None else EventKind.MASTER if lines else EventKind.SINGLE
    identity = None if replaced is None else canonical_recurrence_id(_instant(replaced.dt))
    return RemoteEvent(
        uid if identity is None else f"{uid}_{identity}",
        kind,
        EventStatus(str(component.get("STATUS", "CONFIRMED")).lower()),
        uid if identity is not None else None,
        identity,
        all_day=not isinstance(start, datetime),
        start=start,
        end=_end(component, written),
        time_zone=_zone(component["DTSTART"].params.get("TZID")),
        # A rule inside an exception means nothing.
        rules=lines if kind is EventKind.MASTER else (),
    )


def _end(component, written):
    if "DTEND" in component:
        return _instant(component.decoded("DTEND"))
    if "DURATION" in component:
        return _instant(written) + component.decoded("DURATION")
    # RFC 5545 section 3.6.1: a day for a date, nothing for a time.
    return _instant(written) + timedelta(days=not isinstance(written, datetime))


def _zone(name):
    """Return the IANA name of a TZID, which Outlook writes as a Windows name; floating and UTC times have none."""
    return "UTC" if name is None else zone_name(name)


def _instant(moment):
    """Return a time in UTC, floating ones read as UTC; dates as they are."""
    if not isinstance(moment, datetime):
        return moment
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
