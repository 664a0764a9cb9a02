"""A stored calendar as an iCalendar file (RFC 5545). Escaping, folding and time zones are the library's."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, tzinfo

from icalendar import Calendar, Event, vCalAddress, vRecur, vText

from app.domain.calendar_reading import ShownSeries
from app.domain.calendars import Busy, EventKind, EventStatus, Occurrence, RemoteEvent, Window
from app.domain.errors import RateLimited
from app.services.calendar_export import WholeCalendar
from app.web.icalendar_series import dates_of, is_nameless, recurrence_start, zone_of_event

ICALENDAR = "text/calendar; charset=utf-8"

_BUSY_STATUS = {Busy.OUT_OF_OFFICE: "OOF", Busy.TENTATIVE: "TENTATIVE", Busy.ELSEWHERE: "WORKINGELSEWHERE"}
"""X-MICROSOFT-CDO-BUSYSTATUS, for what TRANSP has no word for."""
_RESPONSES = {"needs_action": "NEEDS-ACTION", "organizer": "ACCEPTED"}
_TURN = threading.Lock()
_PATIENCE_S = 5.0
_CONTROLS = {code: None for code in (*range(32), 127) if chr(code) not in "\t\n"}


def icalendar_text(whole: WholeCalendar) -> bytes:
    """Return the file. What takes place nowhere is left out: cancelled events, and those with a ``problem``.

    One at a time in a process, so that files do not take its processor from hand-outs; raises ``RateLimited``.
    """
    if not _TURN.acquire(timeout=_PATIENCE_S):
        raise RateLimited("export", retry_after_s=_PATIENCE_S)
    try:
        return _text(whole)
    finally:
        _TURN.release()


def _text(whole: WholeCalendar) -> bytes:
    calendar = Calendar()
    calendar.add("prodid", "-//Latchkey//Calendar//EN")
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", _clean(whole.calendar.name))
    if whole.calendar.time_zone:
        calendar.add("x-wr-timezone", _clean(whole.calendar.time_zone))
    stamp = whole.calendar.synced_at or datetime(1970, 1, 1, tzinfo=UTC)
    taken: set[str] = set()
    for found in whole.series:
        uid = _uid(found, taken)
        for event in _components(found, whole.calendar.window):
            event.add("uid", uid)
            event.add("dtstamp", stamp)
            calendar.add_component(event)
    calendar.add_missing_timezones()
    return bytes(calendar.to_ical())


def _uid(found: ShownSeries, taken: set[str]) -> str:
    """Return the UID of an event, another for each: providers' parts of a divided series may share one."""
    event = found.event or next(iter(found.exceptions), None)
    own = _clean((event and event.ical_uid) or "")
    uid = own if own and own not in taken else _clean(found.event_id)
    taken.add(uid)
    return uid


def _components(found: ShownSeries, window: Window | None) -> Iterator[Event]:
    master = found.event
    if master is not None and not _takes_place(master):
        return
    if master is not None and master.start is not None and master.end is not None:
        yield _own(found, master, window)
    for exception in found.exceptions:
        if _takes_place(exception) and exception.start is not None and exception.end is not None:
            event = _described(exception)
            _place(event, exception.start, exception.end, zone_of_event(exception))
            instance = recurrence_start(exception, master)
            if instance is not None:
                _add_times(event, "recurrence-id", (instance,), zone_of_event(master or exception))
            yield event
    if master is None and not found.exceptions:
        yield from map(_block, found.occurrences)


def _own(found: ShownSeries, master: RemoteEvent, window: Window | None) -> Event:
    event, zone = _described(master), zone_of_event(master)
    assert master.start is not None  # noqa: S101  # the caller has looked; tells the type checker
    assert master.end is not None  # noqa: S101  # as above
    _place(event, master.start, master.end, zone)
    if master.kind is EventKind.MASTER or found.exceptions:
        dates = dates_of(found, master, window)
        for rule in dates.rules:
            event.add("rrule", vRecur.from_ical(rule))
        _add_times(event, "exdate", dates.excluded, zone)
        _add_times(event, "rdate", dates.added, zone)
    return event


def _block(one: Occurrence) -> Event:
    """Return a time that is taken, when no more is known."""
    event = Event()
    _place(event, one.start, one.end, UTC)
    _add_busy(event, one.busy)
    return event


def _described(source: RemoteEvent) -> Event:
    event = Event()
    texts: Mapping[str, str | None] = {
        "summary": source.summary,
        "location": source.location,
        "description": source.description,
        "url": source.html_link,
    }
    for name, text in texts.items():
        if text:
            event.add(name, _clean(text))
    event.add("status", source.status.value.upper())
    event.add("class", "PRIVATE" if source.privacy == "private" else "PUBLIC")
    _add_busy(event, source.busy)
    if source.sequence is not None:
        event.add("sequence", source.sequence)
    if source.updated_at is not None:
        event.add("last-modified", source.updated_at)
    _add_people(event, source)
    return event


def _add_busy(event: Event, busy: Busy) -> None:
    event.add("transp", "TRANSPARENT" if busy is Busy.FREE else "OPAQUE")
    if busy in _BUSY_STATUS:
        event.add("x-microsoft-cdo-busystatus", _BUSY_STATUS[busy])


def _add_people(event: Event, source: RemoteEvent) -> None:
    organizer = source.organizer or {}
    if organizer.get("email"):
        event.add("organizer", _address(organizer))
    for attendee in source.attendees:
        if attendee.get("email"):
            address = _address(attendee)
            response = attendee.get("response", "")
            address.params["PARTSTAT"] = vText(_RESPONSES.get(response, response.upper()) or "NEEDS-ACTION")
            event.add("attendee", address)


def _address(person: Mapping[str, str]) -> vCalAddress:
    address = vCalAddress(f"mailto:{_clean(person['email'])}")
    if person.get("name"):
        # A parameter's value has no escapes: quotes and line ends cannot be in it.
        address.params["CN"] = vText(_clean(person["name"]).replace('"', "'").replace("\n", " "))
    return address


def _place(event: Event, start: datetime | date, end: datetime | date, zone: tzinfo) -> None:
    # Both in one form: programs take the two for times of one zone.
    is_written_in_utc = any(isinstance(one, datetime) and is_nameless(one, zone) for one in (start, end))
    event.add("dtstart", _local(start, UTC if is_written_in_utc else zone))
    event.add("dtend", _local(end, UTC if is_written_in_utc else zone))


def _add_times(event: Event, name: str, times: Iterable[datetime | date], zone: tzinfo) -> None:
    """Add a property for each time: programs read lists of them less well."""
    for one in times:
        event.add(name, _local(one, zone), parameters={} if isinstance(one, datetime) else {"VALUE": "DATE"})


def _local(moment: datetime | date, zone: tzinfo) -> datetime | date:
    """Return a time as it is written: in its zone, or in UTC where a zone cannot say it."""
    if not isinstance(moment, datetime):
        return moment
    return moment.astimezone(UTC if is_nameless(moment, zone) else zone)


def _takes_place(event: RemoteEvent) -> bool:
    return event.status is not EventStatus.CANCELLED and event.problem is None


def _clean(text: str) -> str:
    """Return ``text`` without the characters that RFC 5545 section 3.1 keeps out."""
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_CONTROLS)
