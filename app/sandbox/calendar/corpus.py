"""Fill two extra mailboxes with provider payloads read from files, served as they stand.

Google `events` lists, single events and calendar list entries, and Graph events and pages of events are recognised by
their shape; a file may also hold them as members `google_events_list` and `graph_events`. Every file gets a calendar of
its own, named after it, as ids are only unique within a file.
"""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from app.sandbox.calendar.google_errors import GoogleError
from app.sandbox.calendar.google_times import series_of as google_series
from app.sandbox.calendar.graph_errors import GraphError
from app.sandbox.calendar.graph_times import named_zone
from app.sandbox.calendar.graph_times import series_of as graph_series
from app.sandbox.calendar.recurrence import BadRecurrenceError, Series, check
from app.sandbox.calendar.world import Calendar, Item, Json, Mailbox, World
from app.sandbox.calendar.zones import find_zone

CORPUS_KEY = "corpus"
"""Key of the accounts that own what was read from files."""
_MOST_BYTES = 5_000_000


class UnusablePayloadError(ValueError):
    """A file holds nothing that can be served; the message says why."""


def load_files(world: World, directory: Path) -> Json:
    """Read every JSON file below `directory`; return what was read, skipped and served.

    The mailboxes `google/corpus` and `microsoft/corpus` must exist.
    """
    boxes = {provider: world.mailbox(provider, CORPUS_KEY) for provider in ("google", "microsoft")}
    skipped: dict[str, str] = {}
    unexpandable: dict[str, str] = {}
    served: Counter[str] = Counter()
    calendars: Counter[str] = Counter()
    read = 0
    for path in sorted(directory.rglob("*.json")):
        name = str(path.relative_to(directory))
        try:
            for provider, payload in list(_payloads(_read(path))):
                for calendar in _add(boxes[provider], name, provider, payload):
                    served[provider] += len(calendar.items)
                    calendars[provider] += 1
                    unexpandable |= {f"{name}#{item_id}": why for item_id, why in _bad_series(provider, calendar)}
            read += 1
        except UnusablePayloadError as error:
            skipped[name] = str(error)
    return {
        "read": read,
        "skipped": skipped,
        "served": dict(served),
        "calendars": dict(calendars),
        "unexpandable": unexpandable,
    }


def _read(path: Path) -> Json:
    if path.stat().st_size > _MOST_BYTES:
        raise UnusablePayloadError("larger than 5 MB")
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UnusablePayloadError(f"not JSON: {error}") from error
    if not isinstance(body, dict):
        raise UnusablePayloadError("not a JSON object")
    return body


def _payloads(body: Json) -> Iterator[tuple[str, Json]]:
    """Yield provider and a list payload for everything in a file that can be served."""
    members = (("google", "google_events_list"), ("microsoft", "graph_events"))
    if any(isinstance(body.get(member), dict) for _, member in members):
        yield from ((provider, body[member]) for provider, member in members if isinstance(body.get(member), dict))
        return
    if _is_graph_page(body):
        yield "microsoft", body
    elif isinstance(body.get("items"), list):
        yield "google", body
    elif _is_graph_event(body):
        yield "microsoft", {"value": [body]}
    elif _is_google_event(body):
        yield "google", {"items": [body]}
    elif _is_calendar(body):
        yield ("google" if "summary" in body else "microsoft"), {"items": [body]}
    else:
        raise UnusablePayloadError(_why_not(body))


def _is_graph_page(body: Json) -> bool:
    value = body.get("value")
    return isinstance(value, list) and any(
        isinstance(m, dict) and (_is_graph_event(m) or "@removed" in m or "canEdit" in m) for m in value
    )


def _is_graph_event(body: Json) -> bool:
    is_timed = isinstance(body.get("start"), dict) and isinstance(body.get("end"), dict)
    return (
        "id" in body and is_timed and "dateTime" in body["start"] and "summary" not in body and _has_graph_member(body)
    )


def _has_graph_member(body: Json) -> bool:
    return any(
        name in body for name in ("subject", "@odata.etag", "@odata.context", "isAllDay", "seriesMasterId", "type")
    )


def _is_google_event(body: Json) -> bool:
    return "id" in body and ("start" in body or body.get("status") == "cancelled") and not _has_graph_member(body)


def _is_calendar(body: Json) -> bool:
    return "id" in body and ("accessRole" in body or "canEdit" in body or body.get("kind") == "calendar#calendar")


def _why_not(body: Json) -> str:
    if "error" in body:
        return "an error answer"
    if "id" not in body and "start" in body:
        return "an event without id: a request, not an answer"
    return "no calendar, event or list of events: " + ", ".join(sorted(body)[:5])


def _add(mailbox: Mailbox, name: str, provider: str, payload: Json) -> list[Calendar]:
    members = [body for body in payload.get("items") or payload.get("value") or [] if isinstance(body, dict)]
    entries = [body for body in members if _is_calendar(body)]
    if entries:
        return [_open(mailbox, _entry(provider, name, mailbox.time_zone) | entry, "") for entry in entries]
    zone_name = str(payload.get("timeZone") or "")
    zone_name = zone_name if find_zone(zone_name) else mailbox.time_zone
    calendar = _open(mailbox, _entry(provider, name, zone_name), zone_name)
    for body in members:
        if "id" in body:
            _store(calendar, provider, body)
    return [calendar]


def _open(mailbox: Mailbox, entry: Json, zone_name: str) -> Calendar:
    wanted = str(entry["id"])
    # Ids of different files collide; `primary` is the alias of the person's own calendar.
    taken = {*mailbox.calendars, "primary"}
    numbered = (wanted if number == 1 else f"{wanted}-{number}" for number in count(1))
    calendar_id = next(candidate for candidate in numbered if candidate not in taken)
    named = str(entry.get("timeZone") or "")
    calendar = Calendar(calendar_id, entry | {"id": calendar_id}, zone_name or named or mailbox.time_zone)
    mailbox.calendars[calendar_id] = calendar
    return calendar


def _store(calendar: Calendar, provider: str, body: Json) -> None:
    calendar.sequence += 1
    item_id = str(body["id"])
    is_gone = "@removed" in body or (body.get("status") == "cancelled" and "recurringEventId" not in body)
    item = Item(dict(body), calendar.next_ordinal, calendar.sequence, is_gone=is_gone, is_verbatim=True)
    calendar.next_ordinal += 1
    # A later item of the same id wins, as it does when a client reads the list.
    calendar.items[item_id] = item
    series = body.get("recurringEventId" if provider == "google" else "seriesMasterId")
    if series:
        calendar.children.setdefault(str(series), set()).add(item_id)


def _entry(provider: str, name: str, zone_name: str) -> Json:
    calendar_id = f"file-{name.replace('/', '-')}"
    if provider == "google":
        return {
            "kind": "calendar#calendarListEntry",
            "etag": '"1"',
            "id": calendar_id,
            "summary": name,
            "timeZone": zone_name,
            "accessRole": "owner",
            "defaultReminders": [],
        }
    return {"id": calendar_id, "name": name, "color": "auto", "isDefaultCalendar": False, "canEdit": True}


def _bad_series(provider: str, calendar: Calendar) -> Iterator[tuple[str, str]]:
    for item_id, item in calendar.items.items():
        if item.is_gone or not item.body.get("recurrence"):
            continue
        try:
            check(_series(provider, calendar, item.body))
        except (BadRecurrenceError, GoogleError, GraphError, KeyError, TypeError, ValueError) as error:
            yield item_id, str(error) or type(error).__name__


def _series(provider: str, calendar: Calendar, body: Json) -> Series:
    zone: Any = named_zone(calendar.time_zone)
    return google_series(body, calendar) if provider == "google" else graph_series(body, zone)
