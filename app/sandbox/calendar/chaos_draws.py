"""Draw what a person might do next: times, rules, titles. Everything follows from the random source alone."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TypeVar

from app.sandbox.calendar.world import Json
from app.sandbox.calendar.zones import windows_name

T = TypeVar("T")

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Sydney",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "Asia/Kolkata",
    "Pacific/Auckland",
    "Etc/UTC",
)
"""Zones with clock changes of an hour and of half an hour, on both halves of the earth, and without any."""
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_INDEX = ("first", "second", "third", "fourth", "last")
_LAST = 4
_NEVER = "0001-01-01"
_EARLIEST_DAYS, _LATEST_DAYS = -25, 120
_LENGTHS_MIN = (15, 30, 45, 60, 90, 240, 600, 1500)
_SERIES_LENGTHS_MIN = (15, 30, 60, 90, 240)
"""Shorter than a day: Exchange refuses a series whose instances overlap."""


class NothingToDoError(Exception):
    """The calendar holds nothing that this kind of edit could touch."""


@dataclass(frozen=True)
class Span:
    """When an event shall be."""

    start: datetime
    """Naive wall-clock time in `zone`; midnight when all-day."""
    end: datetime
    """As `start`; exclusive."""
    zone: str
    """IANA name."""
    is_all_day: bool = False

    def at(self, start: datetime, zone: str | None = None) -> "Span":
        """Return the same length and kind at another start, and in another zone when one is given."""
        return Span(start, start + (self.end - self.start), zone or self.zone, self.is_all_day)


@dataclass(frozen=True)
class Rule:
    """How a series comes back; days follow from its start, so that the start always belongs to the series."""

    kind: str
    """`daily`, `weekly`, `monthly`, `monthly_weekday` or `yearly`."""
    interval: int = 1
    more_days: tuple[int, ...] = ()
    """Weekly: days besides the start's, 0 is Monday."""
    times: int | None = None
    until_after: timedelta | None = None
    """How long after its start the series ends; None, as for `times`: not so."""


class Dice:
    """A person's whims."""

    def __init__(self, source: random.Random, today: date) -> None:
        """Draw from `source`; times lie around `today`."""
        self.source = source
        self.today = today
        self._titles = 0

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of `choices`.

        Raises NothingToDoError when there is none.
        """
        if not choices:
            raise NothingToDoError
        return choices[self.source.randrange(len(choices))]

    def title(self, what: str) -> str:
        """Return a title nobody had before."""
        self._titles += 1
        return f"{what} {self._titles}"

    def span(self, *, is_all_day: bool = False, zone: str | None = None, is_series: bool = False) -> Span:
        """Return a time within some weeks of today; one for a series is shorter than a day, or a day."""
        day = self.today + timedelta(days=self.source.randrange(_EARLIEST_DAYS, _LATEST_DAYS))
        chosen = zone or self.pick(ZONES)
        if is_all_day:
            start = datetime.combine(day, time())
            days = 1 if is_series else self.source.randint(1, 3)
            return Span(start, start + timedelta(days=days), chosen, is_all_day=True)
        start = datetime.combine(day, time(self.source.randrange(24), self.source.choice((0, 15, 30, 45))))
        minutes = self.pick(_SERIES_LENGTHS_MIN if is_series else _LENGTHS_MIN)
        return Span(start, start + timedelta(minutes=minutes), chosen)

    def rule(self) -> Rule:
        """Return a way to come back."""
        kind = self.source.choices(
            ("daily", "weekly", "monthly", "monthly_weekday", "yearly"), weights=(2, 5, 2, 2, 1)
        )[0]
        days = tuple(sorted(self.source.sample(range(7), self.source.randrange(3)))) if kind == "weekly" else ()
        interval = self.source.choice((1, 1, 1, 2, 3)) if kind != "yearly" else 1
        ending = self.source.randrange(3)
        times = self.source.randint(2, 20) if ending == 0 else None
        until = timedelta(days=self.source.randint(10, 200)) if ending == 1 else None
        return Rule(kind, interval, days, times, until)


def google_lines(rule: Rule, span: Span) -> list[str]:
    """Return the `recurrence` of a Google event that starts at `span`."""
    start = span.start
    parts = [f"FREQ={_frequency(rule)}"]
    if rule.interval > 1:
        parts.append(f"INTERVAL={rule.interval}")
    if rule.kind == "weekly":
        parts.append("BYDAY=" + ",".join(_DAYS[day][:2].upper() for day in _weekdays(rule, start)))
    if rule.kind == "monthly_weekday":
        place = (start.day - 1) // 7
        parts.append(f"BYDAY={-1 if place == _LAST else place + 1}{_DAYS[start.weekday()][:2].upper()}")
    if rule.times is not None:
        parts.append(f"COUNT={rule.times}")
    if rule.until_after is not None:
        last = start + rule.until_after
        parts.append(f"UNTIL={last:%Y%m%d}" if span.is_all_day else f"UNTIL={last:%Y%m%d}T235959Z")
    return ["RRULE:" + ";".join(parts)]


def graph_recurrence(rule: Rule, span: Span) -> Json:
    """Return the `recurrence` of a Graph event that starts at `span`."""
    start = span.start
    pattern: Json = {"type": _graph_type(rule), "interval": rule.interval, "firstDayOfWeek": "monday"}
    if rule.kind == "weekly":
        pattern["daysOfWeek"] = [_DAYS[day] for day in _weekdays(rule, start)]
    if rule.kind in ("monthly", "yearly"):
        pattern["dayOfMonth"] = start.day
    if rule.kind == "yearly":
        pattern["month"] = start.month
    if rule.kind == "monthly_weekday":
        pattern |= {"daysOfWeek": [_DAYS[start.weekday()]], "index": _INDEX[(start.day - 1) // 7]}
    limits: Json = {"type": "noEnd", "endDate": _NEVER, "numberOfOccurrences": 0}
    if rule.times is not None:
        limits |= {"type": "numbered", "numberOfOccurrences": rule.times}
    if rule.until_after is not None:
        limits |= {"type": "endDate", "endDate": (start + rule.until_after).date().isoformat()}
    named = {"startDate": start.date().isoformat(), "recurrenceTimeZone": windows_name(span.zone)}
    return {"pattern": pattern, "range": limits | named}


def _frequency(rule: Rule) -> str:
    return rule.kind.partition("_")[0].upper()


def _graph_type(rule: Rule) -> str:
    names = {"monthly": "absoluteMonthly", "monthly_weekday": "relativeMonthly", "yearly": "absoluteYearly"}
    return names.get(rule.kind, rule.kind)


def _weekdays(rule: Rule, start: datetime) -> list[int]:
    return sorted({start.weekday(), *rule.more_days})
