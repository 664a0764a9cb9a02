"""Do what a person does with one gesture in Google Calendar and what is more than one call of its API."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

from app.sandbox.calendar.google_errors import invalid
from app.sandbox.calendar.google_events import GoogleEvents, lineage
from app.sandbox.calendar.google_times import slot_time
from app.sandbox.calendar.recurrence import Series, instant, slots
from app.sandbox.calendar.world import Json, new_id

_FAR_PAST = datetime(1900, 1, 1, tzinfo=UTC)
_OF_THE_PART = ("etag", "updated", "created", "recurringEventId", "originalStartTime", "sequence")


def split(events: GoogleEvents, series_id: str, slot: datetime, changes: Json) -> Json:
    """Change a series from the instance at `slot` on ("this and following"); return the new part.

    The old series gets an UNTIL and loses its later exceptions as bare tombstones. The new part is called
    `<id>_R<start>`; when its time changes it gets an id of its own, and nothing links the two. Raises GoogleError.
    """
    master = events.get(series_id)
    series = events.series(master)
    if slot <= series.first or not master.get("recurrence"):
        raise invalid("There is nothing before this instance to split off.")
    old_lines, new_lines = _divided(series, slot)
    body = {name: value for name, value in master.items() if name not in _OF_THE_PART}
    part_id = _part_id(events, series, series_id, slot, is_moved="start" in changes)
    body |= {
        "recurrence": new_lines,
        "start": slot_time(series, slot, master["start"], events.calendar, timedelta()),
        "end": slot_time(series, slot, master["end"], events.calendar, series.length),
    }
    events.patch(series_id, {"recurrence": old_lines})
    events.save(part_id, body | {"id": part_id, "iCalUID": f"{part_id}@google.com", "sequence": 0}, "created")
    return events.patch(part_id, changes) if changes else events.get(part_id)


def move(source: GoogleEvents, target: GoogleEvents, event_id: str) -> Json:
    """Hand an event or a whole series with its exceptions to another calendar, which becomes its organizer.

    The id stays; the old calendar keeps a tombstone. Raises GoogleError.
    """
    body = source.get(event_id)
    if "recurringEventId" in body or body.get("status") == "cancelled":
        raise invalid("Only single events and whole series can be moved.")
    kept = [item.body for item in source.calendar.exceptions_of(event_id)]
    source.delete(event_id)
    organizer = {"email": target.calendar.calendar_id, "self": True}
    for each in (body, *kept):
        changed = {"organizer": organizer} if "organizer" in each else {}
        target.save(each["id"], each | changed, "created")
    for item in target.calendar.exceptions_of(event_id):
        if item.is_buried:
            # It was here before, and the series came back without this exception.
            target.tell_away(item, event_id)
    return target.get(event_id)


def hand_over(events: GoogleEvents, event_id: str, email: str) -> Json:
    """Make somebody else the organizer of an event; return it.

    Raises GoogleError.
    """
    body = events.get(event_id)
    if body.get("status") == "cancelled":
        raise invalid("The event is deleted.")
    return events.save(event_id, body | {"organizer": {"email": email}}, "updated")


def _part_id(events: GoogleEvents, series: Series, series_id: str, slot: datetime, *, is_moved: bool) -> str:
    start = f"{slot:%Y%m%d}" if series.is_all_day else f"{instant(slot, series.zone):%Y%m%dT%H%M%S}"
    wanted = f"{lineage(series_id)}_R{start}"
    return new_id(13) if is_moved or wanted in events.calendar.items else wanted


def _divided(series: Series, slot: datetime) -> tuple[list[str], list[str]]:
    """Return the lines of a series up to `slot` and from it on."""
    old, new = [], []
    for line in series.lines:
        if line.upper().startswith("RRULE"):
            old.append(_ended(series, line, slot))
            new.append(_resumed(series, line, slot))
        else:
            early, late = _dates(line, slot)
            old += early
            new += late
    return old, new


def _ended(series: Series, line: str, slot: datetime) -> str:
    if series.is_all_day:
        until = f"{slot - timedelta(days=1):%Y%m%d}"
    else:
        # The last second of the day before, as Google writes it.
        midnight = instant(datetime.combine(slot.date(), time()), series.zone)
        until = f"{midnight - timedelta(seconds=1):%Y%m%dT%H%M%SZ}"
    return _with(line, f"UNTIL={until}")


def _resumed(series: Series, line: str, slot: datetime) -> str:
    counts = [part for part in line.split(";") if "COUNT=" in part.upper()]
    if not counts:
        return line
    # COUNT counts what the rule gives, whatever was cancelled or added besides.
    rule_alone = replace(series, lines=(line,))
    passed = [other for other in slots(rule_alone, _FAR_PAST, instant(slot, series.zone)) if other < slot]
    left = int(counts[0].upper().partition("COUNT=")[2]) - len(passed)
    return _with(line, f"COUNT={max(left, 1)}")


def _with(line: str, ending: str) -> str:
    name, _, value = line.partition(":")
    parts = [part for part in value.split(";") if part.partition("=")[0].upper() not in ("UNTIL", "COUNT")]
    return f"{name}:{';'.join([*parts, ending])}"


def _dates(line: str, slot: datetime) -> tuple[list[str], list[str]]:
    """Return an RDATE or EXDATE line with the dates before the day of `slot`, and one with the others."""
    head, _, value = line.partition(":")
    day = f"{slot:%Y%m%d}"
    early = [text for text in value.split(",") if text[:8] < day]
    late = [text for text in value.split(",") if text[:8] >= day]
    return [f"{head}:{','.join(early)}"] * bool(early), [f"{head}:{','.join(late)}"] * bool(late)
