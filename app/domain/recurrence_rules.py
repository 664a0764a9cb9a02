"""Read and repair recurrence lines: RRULE, EXRULE, RDATE and EXDATE (RFC 5545 section 3.8.5).

Providers keep what people imported, so lines come with vendor parameters, wrong value types and typing errors. What
can be understood is repaired; what cannot raises ``Unrepresentable``, for the one series it belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo
from typing import Literal

from dateutil.rrule import (
    DAILY,
    FR,
    HOURLY,
    MO,
    MONTHLY,
    SA,
    SU,
    TH,
    TU,
    WE,
    WEEKLY,
    YEARLY,
    weekday,
)

from app.domain.errors import Unrepresentable
from app.domain.zones import find_zone

Frequency = Literal[0, 1, 2, 3, 4]
"""The constants of ``dateutil.rrule``, YEARLY to HOURLY."""

_FREQUENCIES: Mapping[str, Frequency] = {
    "YEARLY": YEARLY,
    "MONTHLY": MONTHLY,
    "WEEKLY": WEEKLY,
    "DAILY": DAILY,
    "HOURLY": HOURLY,
}
_WEEKDAYS: Mapping[str, weekday] = {"MO": MO, "TU": TU, "WE": WE, "TH": TH, "FR": FR, "SA": SA, "SU": SU}
_NUMBER_PARTS = frozenset(
    {"BYSECOND", "BYMINUTE", "BYHOUR", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYMONTH", "BYSETPOS"}
)
_MOST_INTERVAL = 100_000
"""Anything larger is a typing error, and only makes the walk overflow."""
_MOST_RULES = 10
"""Rules in one series: nobody makes more than two, and each may cost half a second."""
_STAMP = re.compile(r"(\d{4})(\d{2})(\d{2})(?:T(\d{2})(\d{2})(\d{2})(Z?))?")
_BYDAY = re.compile(r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
_LINE = re.compile(r"(RRULE|EXRULE|RDATE|EXDATE)((?:;[^:]*)?):(.+)", re.IGNORECASE | re.DOTALL)
# Seen from Google for imported series: dates in the place of a rule.
_DATES_IN_RULE = re.compile(r"RRULE:DATE(?=[;:])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Moment:
    """A date or time as written in a line, before it meets the series it belongs to."""

    day: date
    clock: time | None
    """Null for a value of type DATE."""
    zone: tzinfo | None
    """UTC for the ``Z`` form, the zone of ``TZID``; null when floating, or when that zone is unknown."""

    def instant(self, home: tzinfo, clock: time) -> datetime:
        """Return the UTC instant; ``home`` serves floating values, ``clock`` values of type DATE."""
        zone = self.zone if self.clock is not None and self.zone is not None else home
        return datetime.combine(self.day, clock if self.clock is None else self.clock, zone).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Rule:
    """One RRULE or EXRULE."""

    frequency: Frequency
    interval: int
    count: int | None
    until: Moment | None
    week_start: int
    """Monday is 0."""
    weekdays: tuple[weekday, ...]
    by: Mapping[str, tuple[int, ...]]
    """Other BY parts, keyed as ``dateutil`` wants them (``bymonth``)."""


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The lines of one master."""

    rules: tuple[Rule, ...] = ()
    excluded_rules: tuple[Rule, ...] = ()
    dates: tuple[Moment, ...] = ()
    excluded_dates: tuple[Moment, ...] = ()


def repair_lines(lines: Iterable[object]) -> tuple[str, ...]:
    """Return the usable lines in clean form: vendor parameters, stray semicolons, blanks and foreign lines dropped."""
    return tuple(line for line in map(_repair_line, lines) if line is not None)


def parse_lines(lines: Iterable[str]) -> RuleSet:
    """Read repaired lines; raises ``Unrepresentable`` (``bad_rule``, ``bad_date``, ``unsupported_rule``)."""
    found: dict[str, list[Rule]] = {"RRULE": [], "EXRULE": []}
    dates: dict[str, list[Moment]] = {"RDATE": [], "EXDATE": []}
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            raise Unrepresentable("bad_rule")
        name = match[1].upper()
        if name in found:
            found[name].append(_rule(match[3]))
        else:
            dates[name].extend(_moments(match[2], match[3]))
    if len(found["RRULE"]) + len(found["EXRULE"]) > _MOST_RULES:
        raise Unrepresentable("unsupported_rule")
    return RuleSet(tuple(found["RRULE"]), tuple(found["EXRULE"]), tuple(dates["RDATE"]), tuple(dates["EXDATE"]))


def with_start_month(line: str, month: int) -> str:
    """Add ``BYMONTH`` to a yearly rule that names days of the month only.

    RFC 5545 reads such a rule as that day of all twelve months; Google means the month of the start.
    """
    upper = line.upper()
    if not upper.startswith("RRULE:") or "FREQ=YEARLY" not in upper or "BYMONTHDAY=" not in upper:
        return line
    if any(f"{part}=" in upper for part in ("BYMONTH", "BYDAY", "BYYEARDAY", "BYWEEKNO")):
        return line
    return f"{line};BYMONTH={month}"


def read_moment(text: str, zone: tzinfo | None = None) -> Moment:
    """Read one value such as ``20250326T130000Z``; ``zone`` is that of its TZID. Raises ``Unrepresentable``."""
    match = _STAMP.fullmatch(text.strip().upper())
    if match is None:
        raise Unrepresentable("bad_date")
    try:
        day = date(int(match[1]), int(match[2]), int(match[3]))
        if match[4] is None:
            return Moment(day, None, None)
        # A leap second is legal in the format and unknown to the clock of the library.
        clock = time(int(match[4]), int(match[5]), min(int(match[6]), 59))
    except ValueError as error:
        raise Unrepresentable("bad_date") from error
    return Moment(day, clock, UTC if match[7] else zone)


def _repair_line(line: object) -> str | None:
    if not isinstance(line, str):
        return None
    text = re.sub(r"\r?\n[ \t]", "", line).strip().rstrip(";")
    text = _DATES_IN_RULE.sub("RDATE", text)
    match = _LINE.fullmatch(text)
    if match is None:
        return None
    name = match[1].upper()
    # A rule has no parameters of its own; those seen (X-EVOLUTION-ENDDATE) repeat what the rule says.
    parameters = "" if name in ("RRULE", "EXRULE") else _known_parameters(match[2])
    return f"{name}{parameters}:{match[3].strip()}"


def _known_parameters(text: str) -> str:
    pairs = (pair.partition("=") for pair in text.split(";") if pair)
    return "".join(f";{key.upper()}={value}" for key, _, value in pairs if key.upper() in ("TZID", "VALUE"))


def _rule(text: str) -> Rule:
    parts = _parts(text)
    name = parts.pop("FREQ", "").upper()
    frequency = _FREQUENCIES.get(name)
    if frequency is None:
        # No calendar offers rules by the minute, and a crafted one keeps the walk busy for minutes.
        raise Unrepresentable("unsupported_rule" if name in ("MINUTELY", "SECONDLY") else "bad_rule")
    if frequency == HOURLY and "BYSETPOS" in parts:
        # The same, when the position lies beyond the few instances of an hour.
        raise Unrepresentable("unsupported_rule")
    until = parts.pop("UNTIL", None)
    return Rule(
        frequency=frequency,
        interval=_interval(parts.pop("INTERVAL", "1")),
        count=_count(parts.pop("COUNT", None)),
        until=None if until is None else read_moment(until),
        week_start=_week_start(parts.pop("WKST", "MO")),
        weekdays=_weekdays(parts.pop("BYDAY", "")),
        by={name.lower(): _numbers(value) for name, value in parts.items() if value},
    )


def _parts(text: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for pair in filter(None, text.split(";")):
        name, _, value = pair.partition("=")
        parts[name.strip().upper()] = value.strip()
    # RFC 7529: the Gregorian scale without skipping is what RFC 5545 says anyway.
    if parts.pop("RSCALE", "GREGORIAN").upper() != "GREGORIAN" or parts.pop("SKIP", "OMIT").upper() != "OMIT":
        raise Unrepresentable("unsupported_rule")
    for name in [name for name in parts if name.startswith("X-")]:
        del parts[name]
    known = _NUMBER_PARTS | {"FREQ", "UNTIL", "INTERVAL", "COUNT", "WKST", "BYDAY"}
    if not parts.keys() <= known:
        raise Unrepresentable("unsupported_rule")
    return parts


def _interval(text: str) -> int:
    (value,) = _numbers(text) or (1,)
    if value > _MOST_INTERVAL:
        raise Unrepresentable("bad_rule")
    return max(value, 1)


def _count(text: str | None) -> int | None:
    # Calendar programs write COUNT=-1 for "no limit".
    (value,) = _numbers(text) if text else (0,)
    return value if value > 0 else None


def _week_start(text: str) -> int:
    day = _WEEKDAYS.get(text.upper())
    return MO.weekday if day is None else day.weekday


def _weekdays(text: str) -> tuple[weekday, ...]:
    found = []
    for item in filter(None, text.upper().replace(" ", "").split(",")):
        match = _BYDAY.fullmatch(item)
        if match is None or (match[1] is not None and int(match[1]) == 0):
            raise Unrepresentable("bad_rule")
        day = _WEEKDAYS[match[2]]
        found.append(day if match[1] is None else day(int(match[1])))
    return tuple(found)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(item) for item in text.split(",") if item.strip())
    except ValueError as error:
        raise Unrepresentable("bad_rule") from error


def _moments(parameters: str, text: str) -> list[Moment]:
    named = {key.upper(): value for key, _, value in (pair.partition("=") for pair in parameters.split(";"))}
    zone = find_zone(named.get("TZID", "").strip('"'))
    # Of a PERIOD only the start says when; the length stays that of the series.
    return [read_moment(value.split("/")[0], zone) for value in text.split(",") if value.strip()]
