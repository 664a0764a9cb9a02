"""Expansion against recurring-ical-events, which nobody here wrote, over drawn series.

Known disagreements, each kept out of what is drawn or compared:
- a start beside its rule counts towards COUNT here (RFC 5545 section 3.3.10) and comes on top of it there;
- an instance ends by the wall clock there, before its start in a DST gap, and after its exact length here;
- two wall times on one instant (a day that a zone skipped) are two instances there and one here;
- a floating UNTIL, and an UNTIL of type DATE on a timed series, are read as UTC there and in the series' zone here;
- a window cuts all-day instances in UTC there, and where the day is anywhere on Earth here.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import recurring_ical_events
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from icalendar import Calendar

from app.domain.calendars import EventKind, EventStatus, RemoteEvent, Window, canonical_recurrence_id
from app.domain.recurrence import expand
from tests.unit.domain.drawn_rules import LENGTH, ZONES, is_certain, rules, series, walls

WINDOW = Window(datetime(2024, 3, 4, 5, tzinfo=UTC), datetime(2025, 2, 3, 4, tzinfo=UTC))
BEGIN = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\n"


def stamped(name, zone, *instants):
    """Write a property with times of a zone."""
    if zone == "UTC":
        return f"{name}:" + ",".join(f"{instant:%Y%m%dT%H%M%SZ}" for instant in instants)
    local = (instant.astimezone(ZoneInfo(zone)) for instant in instants)
    return f"{name};TZID={zone}:" + ",".join(f"{moment:%Y%m%dT%H%M%S}" for moment in local)


def event(zone, start, *lines):
    """Write a VEVENT of the series."""
    return "\r\n".join(
        ["BEGIN:VEVENT", "UID:m", stamped("DTSTART", zone, start), "DURATION:PT45M", *lines, "END:VEVENT", ""]
    )


def judged(*components):
    """Return the starts the judge finds in the window."""
    calendar = Calendar.from_ical(BEGIN + "".join(components) + "END:VCALENDAR\r\n")
    found = recurring_ical_events.of(calendar).between(WINDOW.start, WINDOW.end)
    return sorted({one.start.astimezone(UTC) for one in found})


def moved(instant, to):
    """Return an exception that moves one instance."""
    identity = canonical_recurrence_id(instant)
    times = {"start": to, "end": to + LENGTH, "time_zone": "UTC"}
    return RemoteEvent(f"m_{identity}", EventKind.EXCEPTION, EventStatus.CONFIRMED, "m", identity, **times)


@st.composite
def limited(draw):
    """Draw local start, zone and rule, where a rule with COUNT names its start."""
    line, wall, zone = draw(rules()), draw(walls), draw(st.sampled_from(ZONES))
    assume(is_certain(wall, zone))
    subject = series(wall, zone, line.split(";COUNT=")[0])
    start = subject.master.start
    if "COUNT" in line:
        named = expand(subject, Window(start + timedelta(days=1), start + timedelta(days=4000)))
        assume(named)
        wall = named[0].start.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        assume(is_certain(wall, zone))
    elif draw(st.booleans()):
        line += f";UNTIL={start + timedelta(days=draw(st.integers(0, 9000))):%Y%m%dT%H%M%SZ}"
    return wall, zone, line


@settings(max_examples=60, deadline=None)
@given(limited(), st.data())
def test_drawn_series_have_the_starts_the_judge_finds(drawn, data):
    wall, zone, line = drawn
    start = series(wall, zone).master.start
    given_ones = [one.start for one in expand(series(wall, zone, line), WINDOW)]
    some = data.draw(st.lists(st.sampled_from(given_ones), max_size=4, unique=True)) if given_ones else []
    out, doubled, elsewhere = some[:1], some[1:2], some[2:]
    added = data.draw(st.lists(st.datetimes(datetime(2024, 4, 1), datetime(2024, 12, 31)), max_size=2))  # noqa: DTZ001
    added = [moment.replace(microsecond=0, tzinfo=UTC) for moment in added]
    other = data.draw(st.sampled_from(ZONES))
    lines = [line]
    if out:
        lines.append(stamped("EXDATE", other, *out))
    if doubled or added:
        lines.append(stamped("RDATE", "UTC", *doubled, *added))
    target = datetime(2024, 8, 8, 8, 8, tzinfo=UTC)
    overrides = [event("UTC", target, stamped("RECURRENCE-ID", zone, instant)) for instant in elsewhere]

    found = expand(series(wall, zone, *lines, exceptions=[moved(i, target) for i in elsewhere]), WINDOW)

    assert sorted({one.start for one in found}) == judged(event(zone, start, *lines), *overrides)
