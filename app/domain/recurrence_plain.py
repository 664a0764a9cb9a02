"""The days of the plain rules, computed from the window's edge instead of walked from DTSTART.

Plain are the rules calendar programs offer: by days; by weeks with BYDAY; by months and years with BYMONTHDAY (negative
too), BYDAY (n-th weekdays too), BYMONTH and BYSETPOS; each with INTERVAL, COUNT and WKST. They make one instance a day
at most, all at the time of DTSTART, so a day says it all. Days are proleptic ordinals (``date.toordinal``).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Final

from dateutil.rrule import DAILY, MONTHLY, WEEKLY, YEARLY

from app.domain.errors import Unrepresentable
from app.domain.recurrence_rules import Rule
from app.domain.recurrence_walk import MOST_STEPS, with_defaults

_MONTH_PARTS: Final = frozenset({"bymonth", "bymonthday", "bysetpos"})
_PARTS: Final[Mapping[int, frozenset[str]]] = {
    DAILY: frozenset(),
    WEEKLY: frozenset(),
    MONTHLY: _MONTH_PARTS,
    YEARLY: _MONTH_PARTS,
}
"""The BYxxx parts a plain rule may have, beside BYDAY."""
_MOST: Final[Mapping[str, int]] = {"bymonth": 12, "bymonthday": 31, "bysetpos": 366}
_ALL_MONTHS: Final = tuple(range(1, 13))
_LONGEST_MONTH: Final = 31


def plain_days(rule: Rule, first: datetime, low: datetime, high: datetime) -> Sequence[int] | None:
    """Return the days of the rule's instances in [``low``, ``high``], ascending; null when the rule is not plain.

    ``first`` is the naive DTSTART. It counts towards COUNT even beside its rule, but its day is only returned when the
    rule names it. UNTIL is left to the caller, as in ``recurrence_walk.walk``, whose results these are; only BYDAY
    with n-th and other weekdays mixed is better here, where it means both. Raises ``Unrepresentable``.
    """
    spelled = with_defaults(rule, first)
    if not _is_plain(spelled):
        return None
    # A day belongs to the span when its instance does.
    begin = max(low.toordinal() + (low.time() > first.time()), first.toordinal())
    end = high.toordinal() - (high.time() < first.time())
    return _DAYS[rule.frequency](spelled, first.toordinal(), begin, end) if begin <= end else ()


def _is_plain(rule: Rule) -> bool:
    parts = {name for name, values in rule.by.items() if values}
    if not parts <= _PARTS.get(rule.frequency, frozenset()) or rule.frequency not in _PARTS:
        return False
    if any(not _is_in_range(name, value) for name in parts for value in rule.by[name]):
        return False
    if rule.frequency == YEARLY:
        months = len(set(rule.by.get("bymonth", ())))
        # Without months, an n-th weekday is that of the year; positions count in the whole year.
        return (months > 0 or not rule.weekdays) and (months == 1 or "bysetpos" not in parts)
    return rule.frequency != DAILY or not rule.weekdays or rule.count is None


def _is_in_range(name: str, value: int) -> bool:
    least = 1 if name == "bymonth" else -_MOST[name]
    return value != 0 and least <= value <= _MOST[name]


def _daily(rule: Rule, first: int, begin: int, end: int) -> Sequence[int]:
    step = rule.interval
    stop = end + 1 if rule.count is None else min(end + 1, first + rule.count * step)
    days = _bounded(range(first + -((first - begin) // step) * step, stop, step))
    wanted = {day.weekday for day in rule.weekdays}
    return [day for day in days if (day - 1) % 7 in wanted] if wanted else days


def _weekly(rule: Rule, first: int, begin: int, end: int) -> Sequence[int]:
    week = first - (first - 1 - rule.week_start) % 7
    offsets = sorted({(day.weekday - rule.week_start) % 7 for day in rule.weekdays})
    step = 7 * rule.interval
    ahead = (begin - week) // step
    weeks = _bounded(range(week + ahead * step, end + 1, step))
    days = [start + offset for start in weeks for offset in offsets]
    if rule.count is not None:
        before = sum(offset < first - week for offset in offsets)
        beside = first - week not in offsets
        del days[max(before + rule.count - beside - ahead * len(offsets), 0) :]
    return _between(days, begin, end)


def _monthly(rule: Rule, first: int, begin: int, end: int) -> Sequence[int]:
    wanted = frozenset(rule.by.get("bymonth") or _ALL_MONTHS)
    start = _month_number(first)
    if rule.count is None:
        start += (_month_number(begin) - start) // rule.interval * rule.interval
    months = range(start, _month_number(end) + 1, rule.interval)
    return _by_months(rule, (month for month in months if month % 12 + 1 in wanted), first, begin, end)


def _yearly(rule: Rule, first: int, begin: int, end: int) -> Sequence[int]:
    wanted = sorted(set(rule.by.get("bymonth") or _ALL_MONTHS))
    start = date.fromordinal(first).year
    if rule.count is None:
        start += (date.fromordinal(begin).year - start) // rule.interval * rule.interval
    years = range(start, date.fromordinal(end).year + 1, rule.interval)
    return _by_months(rule, (year * 12 + month - 1 for year in years for month in wanted), first, begin, end)


_DAYS: Final[Mapping[int, Callable[[Rule, int, int, int], Sequence[int]]]] = {
    DAILY: _daily,
    WEEKLY: _weekly,
    MONTHLY: _monthly,
    YEARLY: _yearly,
}


def _by_months(rule: Rule, months: Iterable[int], first: int, begin: int, end: int) -> Sequence[int]:
    """Collect the days of the given months; with a COUNT the months begin at DTSTART's."""
    days: list[int] = []
    enough = MOST_STEPS if rule.count is None else min(rule.count + _LONGEST_MONTH, MOST_STEPS)
    patterns: dict[tuple[int, int], tuple[int, ...]] = {}
    for month in months:
        year, shape = month // 12, monthrange(month // 12, month % 12 + 1)
        if shape not in patterns:
            patterns[shape] = _days_of_month(rule, *shape)
        start = date(year, month % 12 + 1, 1).toordinal() - 1
        days += [start + day for day in patterns[shape]]
        if len(days) > enough:
            break
    days = days[bisect_left(days, first) :]
    if rule.count is not None:
        del days[max(rule.count - (days[:1] != [first]), 0) :]
    return _between(_bounded(days), begin, end)


def _days_of_month(rule: Rule, weekday: int, length: int) -> tuple[int, ...]:
    """Return the rule's days in a month of ``length`` days whose first is that ``weekday`` (Monday is 0)."""
    numbers = rule.by.get("bymonthday")
    named = {number if number > 0 else length + 1 + number for number in numbers or range(1, length + 1)}
    days = [
        day
        for day in range(1, length + 1)
        if day in named and (not rule.weekdays or _is_named(rule, day, weekday, length))
    ]
    positions = rule.by.get("bysetpos")
    if not positions:
        return tuple(days)
    indexes = {position - 1 if position > 0 else len(days) + position for position in positions}
    return tuple(day for index, day in enumerate(days) if index in indexes)


def _is_named(rule: Rule, day: int, weekday: int, length: int) -> bool:
    """Return whether BYDAY names a day of the month: by its weekday, or as the n-th from either end."""
    nth, nth_last = (day + 6) // 7, -((length - day) // 7 + 1)
    return any(
        named.weekday == (weekday + day - 1) % 7 and (not named.n or named.n in (nth, nth_last))
        for named in rule.weekdays
    )


def _month_number(day: int) -> int:
    moment = date.fromordinal(day)
    return moment.year * 12 + moment.month - 1


def _between(days: Sequence[int], begin: int, end: int) -> Sequence[int]:
    return days[bisect_left(days, begin) : bisect_right(days, end)]


def _bounded(days: Sequence[int]) -> Sequence[int]:
    if len(days) > MOST_STEPS:
        raise Unrepresentable("too_many_instances")
    return days
