"""Expand recurring events into the slots they occupy.

A slot is the local wall-clock start that the rules give an instance before anybody moved it. Expansion happens in wall
clock and is turned into instants afterwards, so that a weekly meeting at nine stays at nine across a clock change; a
start that the clock skips is read with the offset before the gap (RFC 5545, 3.3.5), a doubled one is the first of both.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rrulestr

from app.sandbox.calendar.zones import find_zone

MOST_SLOTS = 10_000
"""Bound of one expansion; endless rules are only ever asked for a window."""
_STAMP = re.compile(r"^(\d{4})(\d{2})(\d{2})(?:T(\d{2})(\d{2})(\d{2})(Z?))?$")


class BadRecurrenceError(ValueError):
    """The rules cannot be read or expanded; the message says why."""


@dataclass(frozen=True)
class Series:
    """What is needed to expand one series."""

    first: datetime
    """Naive wall-clock start of the series; midnight when all-day."""
    length: timedelta
    zone: ZoneInfo
    is_all_day: bool
    lines: tuple[str, ...]
    """RRULE, EXRULE, RDATE and EXDATE lines (RFC 5545, 3.8.5), without DTSTART."""


def instant(wall_clock: datetime, zone: ZoneInfo) -> datetime:
    """Return the UTC instant of a naive wall-clock time in `zone`."""
    return wall_clock.replace(tzinfo=zone).astimezone(UTC)


def wall_clock(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return the naive wall-clock time in `zone` of an aware moment."""
    return moment.astimezone(zone).replace(tzinfo=None)


def slots(series: Series, after: datetime, before: datetime, most: int = MOST_SLOTS) -> list[datetime]:
    """Return the slots whose instances touch [`after`, `before`), both aware, in order; at most `most`.

    Raises BadRecurrenceError.
    """
    # A day of margin covers every offset; the exact test below is on instants.
    low = wall_clock(after, series.zone) - series.length - timedelta(days=1)
    high = wall_clock(before, series.zone) + timedelta(days=1)
    found: list[datetime] = []
    for slot in _candidates(series, low, high, most):
        start = instant(slot, series.zone)
        if start < before and (start + series.length > after or (not series.length and start >= after)):
            found.append(slot)
            if len(found) >= most:
                break
    return found


def has_slot(series: Series, slot: datetime) -> bool:
    """Tell whether the rules give an instance at the naive wall-clock time `slot`.

    Raises BadRecurrenceError.
    """
    return slot in _candidates(series, slot, slot)


def check(series: Series) -> None:
    """Raise BadRecurrenceError when the rules cannot be expanded."""
    _candidates(series, series.first, series.first + timedelta(days=1))


def is_endless(series: Series) -> bool:
    """Tell whether a rule of the series has neither an end nor a count."""
    rules = [line.upper() for line in series.lines if line.upper().startswith("RRULE")]
    return any("UNTIL=" not in rule and "COUNT=" not in rule for rule in rules)


def _candidates(series: Series, low: datetime, high: datetime, most: int = MOST_SLOTS) -> list[datetime]:
    chosen: set[datetime] = set()
    excluded: set[datetime] = set()
    for line in series.lines:
        name, parameters, value = _split(line)
        target = excluded if name.startswith("EX") else chosen
        if name in ("RRULE", "EXRULE"):
            # Some more than asked, as exclusions and the margin of the window take some away again.
            target.update(_bounded(_rule(series, value), low, high, most + 200))
        elif name in ("RDATE", "EXDATE"):
            target.update(_dates(series, parameters, value))
    return sorted(slot for slot in chosen if low <= slot <= high and not _is_excluded(series, slot, excluded))


def _bounded(rule: rrule, low: datetime, high: datetime, most: int) -> Iterator[datetime]:
    for count, slot in enumerate(rule.xafter(low, inc=True)):
        if slot > high or count >= most:
            return
        yield slot


def _is_excluded(series: Series, slot: datetime, excluded: set[datetime]) -> bool:
    if slot in excluded:
        return True
    # Two wall-clock times can name one instant (RFC 5545 compares EXDATE by value after applying its zone).
    moment = instant(slot, series.zone)
    return any(abs(other - slot) <= timedelta(hours=2) and instant(other, series.zone) == moment for other in excluded)


def _split(line: str) -> tuple[str, dict[str, str], str]:
    head, separator, value = line.partition(":")
    name, *pairs = head.split(";")
    if not separator or name.upper() not in ("RRULE", "EXRULE", "RDATE", "EXDATE"):
        raise BadRecurrenceError(f"not a recurrence line: {line}")
    if name.upper() == "RRULE" and value.upper().startswith("DATE;"):
        # Google writes such lines: an RDATE in disguise.
        return _split(f"R{value}")
    parameters = {key.upper(): text for key, _, text in (pair.partition("=") for pair in pairs)}
    return name.upper(), parameters, value


def _rule(series: Series, value: str) -> rrule:
    parts = dict(part.upper().split("=", 1) for part in value.split(";") if "=" in part)
    parts = {name: text for name, text in parts.items() if not name.startswith("X-")}
    if parts.get("FREQ") == "YEARLY" and "BYMONTHDAY" in parts and not _limits_months(parts):
        # Google reads such a rule as "in the month of the start"; RFC 5545 would make it twelve a year.
        parts["BYMONTH"] = str(series.first.month)
    if "UNTIL" in parts:
        parts["UNTIL"] = f"{_until(series, parts['UNTIL']):%Y%m%dT%H%M%S}"
    text = ";".join(f"{name}={setting}" for name, setting in parts.items())
    try:
        rule = rrulestr(text, dtstart=series.first)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # dateutil raises all of these for rules it cannot read.
        raise BadRecurrenceError(f"cannot read {value}: {error}") from error
    if not isinstance(rule, rrule):
        raise BadRecurrenceError(f"not one rule: {value}")
    return rule


def _limits_months(parts: dict[str, str]) -> bool:
    return bool({"BYMONTH", "BYWEEKNO", "BYYEARDAY", "BYDAY"} & parts.keys())


def _until(series: Series, value: str) -> datetime:
    moment, is_utc, is_date = _stamp(value)
    if series.is_all_day:
        return datetime.combine(moment.date(), time())
    if is_date:
        # A date on a timed series means to the end of that local day.
        return datetime.combine(moment.date(), time(23, 59, 59))
    return wall_clock(moment.replace(tzinfo=UTC), series.zone) if is_utc else moment


def _dates(series: Series, parameters: dict[str, str], value: str) -> Iterator[datetime]:
    zone = find_zone(parameters["TZID"]) if "TZID" in parameters else series.zone
    if zone is None:
        raise BadRecurrenceError(f"unknown zone: {parameters['TZID']}")
    for text in value.split(","):
        moment, is_utc, is_date = _stamp(text.strip().partition("/")[0])
        if series.is_all_day:
            yield datetime.combine(moment.date(), time())
        elif is_date:
            yield datetime.combine(moment.date(), series.first.time())
        else:
            aware = moment.replace(tzinfo=UTC if is_utc else zone)
            yield wall_clock(aware, series.zone)


def _stamp(text: str) -> tuple[datetime, bool, bool]:
    found = _STAMP.match(text)
    if found is None:
        raise BadRecurrenceError(f"not a date or date-time: {text}")
    year, month, day, hour, minute, second, utc = found.groups()
    try:
        day_part = date(int(year), int(month), int(day))
        moment = datetime.combine(day_part, time(int(hour or 0), int(minute or 0), int(second or 0)))
    except ValueError as error:
        raise BadRecurrenceError(f"no such date: {text}") from error
    return moment, bool(utc), hour is None
