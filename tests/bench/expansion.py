"""Expansion of a thousand series over a year against recurring-ical-events, in the same run.

``python3 dev.py bench expansion [--masters 1000] [--rounds 3]``. Prints one line per figure: name, value, unit,
settings. The series start in 2021 to 2025 in six zones and are weekly (55 %), on weekdays (15 %), biweekly (10 %),
monthly (13 %), daily (5 %) and yearly (2 %); the window is 2026. Rounds alternate between the two, so that a busy
machine disturbs both alike; neither time contains the reading of a file. Both must find the same instances.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from statistics import median
from time import process_time
from zoneinfo import ZoneInfo

import recurring_ical_events
from icalendar import Calendar, Event, vRecur

from app.domain.calendars import EventKind, EventStatus, RemoteEvent, Series, Window
from app.domain.recurrence import expand

Found = list[tuple[str, datetime]]
"""Series and start of every instance."""
ZONES = (
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/Los_Angeles",
    "Asia/Kolkata",
    "Australia/Sydney",
)
DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
WINDOW = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
MIX: tuple[tuple[int, Callable[[datetime], str]], ...] = (
    (55, lambda _: "FREQ=WEEKLY"),
    (15, lambda _: "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"),
    (10, lambda start: f"FREQ=WEEKLY;INTERVAL=2;BYDAY={DAYS[start.weekday()]}"),
    (7, lambda start: f"FREQ=MONTHLY;BYMONTHDAY={start.day}"),
    (6, lambda start: f"FREQ=MONTHLY;BYDAY={(start.day + 6) // 7}{DAYS[start.weekday()]}"),
    (5, lambda _: "FREQ=DAILY"),
    (2, lambda _: "FREQ=YEARLY"),
)


def masters(count: int) -> list[RemoteEvent]:
    """Return ``count`` masters, the same in every run."""
    chance = random.Random(5545)
    shapes = [shape for share, shape in MIX for _ in range(share)]
    return [_master(number, shapes[number * 100 // count], chance) for number in range(count)]


def _master(number: int, shape: Callable[[datetime], str], chance: random.Random) -> RemoteEvent:
    zone = chance.choice(ZONES)
    wall = datetime(2021, 1, 4, tzinfo=ZoneInfo(zone)) + timedelta(days=chance.randrange(1800))
    # People meet on weekdays, and a rule for weekdays must name its own first day.
    wall -= timedelta(days=max(wall.weekday() - 4, 0))
    wall = wall.replace(hour=chance.randrange(7, 20), minute=chance.choice((0, 15, 30, 45)))
    start, length = wall.astimezone(UTC), timedelta(minutes=chance.choice((15, 30, 45, 60, 90)))
    kind, status, rule = EventKind.MASTER, EventStatus.CONFIRMED, f"RRULE:{shape(wall)}"
    times = {"start": start, "end": start + length, "time_zone": zone}
    return RemoteEvent(f"m{number}", kind, status, None, None, rules=(rule,), **times)


def calendar(events: Sequence[RemoteEvent]) -> Calendar:
    """Return the masters as one iCalendar object, as read from a file."""
    whole = Calendar()
    for event in events:
        zone, item = ZoneInfo(event.time_zone), Event()
        item.add("UID", event.provider_id)
        item.add("DTSTART", event.start.astimezone(zone))
        item.add("DTEND", event.end.astimezone(zone))
        item.add("RRULE", vRecur.from_ical(event.rules[0].removeprefix("RRULE:")))
        whole.add_component(item)
    return Calendar.from_ical(whole.to_ical())


def ours(events: Sequence[RemoteEvent]) -> Found:
    """Expand with the product."""
    found = chain.from_iterable(expand(Series(event), WINDOW) for event in events)
    return [(one.series_id, one.start) for one in found]


def theirs(whole: Calendar) -> Found:
    """Expand with recurring-ical-events."""
    found = recurring_ical_events.of(whole).between(WINDOW.start, WINDOW.end)
    return [(str(one["UID"]), one.start.astimezone(UTC)) for one in found]


def timed(work: Callable[[], Found]) -> tuple[float, Found]:
    """Return the seconds of processor time some work took, and its result."""
    began = process_time()
    result = work()
    return process_time() - began, result


def main(arguments: Sequence[str]) -> int:
    """Measure and print; 1 when the two disagree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--masters", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    events = masters(options.masters)
    whole = calendar(events)
    settings = f"{options.masters:,} masters, {len(ZONES)} zones, one year, median of {options.rounds} rounds"
    ours_s, theirs_s, is_equal = [], [], True
    for _ in range(options.rounds):
        took_s, expected = timed(lambda: theirs(whole))
        theirs_s.append(took_s)
        took_s, found = timed(lambda: ours(events))
        ours_s.append(took_s)
        is_equal = is_equal and sorted(found) == sorted(expected)
    ratio = median(slow / quick for slow, quick in zip(theirs_s, ours_s, strict=True))
    print(f"expansion: {median(ours_s):.3f} s processor time, {settings}")
    print(f"recurring-ical-events: {median(theirs_s):.3f} s processor time, {settings}")
    print(f"recurring-ical-events / expansion: {ratio:.1f} ratio, {settings}")
    print(f"expansion per instance: {median(ours_s) / len(found) * 1e6:.2f} us, {len(found):,} instances")
    print(f"same instances: {'yes' if is_equal else 'NO'}, {settings}")
    return 0 if is_equal else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
