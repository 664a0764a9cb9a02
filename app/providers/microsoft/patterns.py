"""Turn Graph's ``patternedRecurrence`` into an RRULE line (RFC 5545 section 3.3.10).

Inside the synchronised window Graph's own occurrences count; the line serves beyond it, and for comparison.
Outlook clamps a monthly day 29 to 31 to the end of shorter months, where a plain BYMONTHDAY would skip them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time, tzinfo
from typing import Final

from app.providers.fields import Item, child, listed, text, whole

_DAYS: Final[Mapping[str, str]] = {
    "monday": "MO",
    "tuesday": "TU",
    "wednesday": "WE",
    "thursday": "TH",
    "friday": "FR",
    "saturday": "SA",
    "sunday": "SU",
}
_INDEXES: Final[Mapping[str, int]] = {"first": 1, "second": 2, "third": 3, "fourth": 4, "last": -1}
_OCCURRENCE_DATE: Final = re.compile(r"\.(\d{4})-(\d{2})-(\d{2})$", re.ASCII)
_SHORTEST_MONTH: Final = 28
_SHORT_MONTHS: Final[Mapping[int, int]] = {2: _SHORTEST_MONTH, 4: 30, 6: 30, 9: 30, 11: 30}


class UnknownPattern(ValueError):
    """The pattern has no rule: a type or a value nobody documented."""


def rule_lines(recurrence: Item, zone: tzinfo | None) -> tuple[str, ...]:
    """Return the RRULE line of a ``recurrence``; empty when the pattern is not understood.

    ``zone`` is the series' own, for the UTC form of an end date; null for an all-day series, which ends on a date.
    """
    pattern = child(recurrence, "pattern")
    build = _BUILDERS.get(text(pattern, "type") or "")
    if build is None:
        return ()
    try:
        parts = [*build(pattern), *_interval(pattern), *_limit(child(recurrence, "range"), zone)]
    except (UnknownPattern, ValueError, OverflowError):
        return ()
    return ("RRULE:" + ";".join(parts),)


def excluded_lines(occurrence_ids: Iterable[object]) -> tuple[str, ...]:
    """Return the EXDATE line for a master's ``cancelledOccurrences``: ids that end in the local date."""
    ids = (occurrence_id for occurrence_id in occurrence_ids if isinstance(occurrence_id, str))
    days = [match[1] + match[2] + match[3] for match in map(_OCCURRENCE_DATE.search, ids) if match is not None]
    return (f"EXDATE;VALUE=DATE:{','.join(days)}",) if days else ()


def _daily(_pattern: Item) -> list[str]:
    return ["FREQ=DAILY"]


def _weekly(pattern: Item) -> list[str]:
    # Graph's week starts on Sunday, RFC 5545's on Monday: it matters from an interval of two on.
    start = _DAYS.get(text(pattern, "firstDayOfWeek") or "sunday", "SU")
    return ["FREQ=WEEKLY", f"BYDAY={_days(pattern)}", f"WKST={start}"]


def _absolute_monthly(pattern: Item) -> list[str]:
    return ["FREQ=MONTHLY", *_month_day(_number(pattern, "dayOfMonth", 31), _SHORTEST_MONTH)]


def _absolute_yearly(pattern: Item) -> list[str]:
    month = _number(pattern, "month", 12)
    day = _number(pattern, "dayOfMonth", 31)
    return ["FREQ=YEARLY", f"BYMONTH={month}", *_month_day(day, _SHORT_MONTHS.get(month, 31))]


def _relative_monthly(pattern: Item) -> list[str]:
    # One instance a month, however many days are listed: the n-th among them all.
    return ["FREQ=MONTHLY", f"BYDAY={_days(pattern)}", f"BYSETPOS={_position(pattern)}"]


def _relative_yearly(pattern: Item) -> list[str]:
    month = _number(pattern, "month", 12)
    return ["FREQ=YEARLY", f"BYMONTH={month}", f"BYDAY={_days(pattern)}", f"BYSETPOS={_position(pattern)}"]


_BUILDERS: Final[Mapping[str, Callable[[Item], list[str]]]] = {
    "daily": _daily,
    "weekly": _weekly,
    "absoluteMonthly": _absolute_monthly,
    "absoluteYearly": _absolute_yearly,
    "relativeMonthly": _relative_monthly,
    "relativeYearly": _relative_yearly,
}


def _month_day(day: int, shortest: int) -> list[str]:
    if day <= shortest:
        return [f"BYMONTHDAY={day}"]
    return ["BYMONTHDAY=" + ",".join(str(each) for each in range(shortest, day + 1)), "BYSETPOS=-1"]


def _days(pattern: Item) -> str:
    days = [_DAYS[name] for name in listed(pattern, "daysOfWeek") if isinstance(name, str) and name in _DAYS]
    if not days:
        raise UnknownPattern("daysOfWeek")
    return ",".join(dict.fromkeys(days))


def _position(pattern: Item) -> int:
    position = _INDEXES.get(text(pattern, "index") or "first")
    if position is None:
        raise UnknownPattern("index")
    return position


def _number(pattern: Item, name: str, most: int) -> int:
    value = whole(pattern, name)
    if value is None or not 1 <= value <= most:
        raise UnknownPattern(name)
    return value


def _interval(pattern: Item) -> list[str]:
    interval = whole(pattern, "interval") or 1
    return [] if interval == 1 else [f"INTERVAL={interval}"]


def _limit(span: Item, zone: tzinfo | None) -> list[str]:
    """Return COUNT or UNTIL. Members that do not belong to the range's type hold 0 and 0001-01-01."""
    match text(span, "type"):
        case "numbered":
            return [f"COUNT={_number(span, 'numberOfOccurrences', 2**31 - 1)}"]
        case "endDate":
            last = date.fromisoformat((text(span, "endDate") or "")[:10])
            if zone is None:
                return [f"UNTIL={last:%Y%m%d}"]
            end_of_day = datetime.combine(last, time(23, 59, 59), zone).astimezone(UTC)
            return [f"UNTIL={end_of_day:%Y%m%dT%H%M%SZ}"]
        case _:
            return []
