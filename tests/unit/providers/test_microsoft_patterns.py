"""The days Graph's recurrence patterns stand for, through their rule."""

from datetime import UTC, datetime

import pytest

from app.domain.calendars import Series, Window
from app.domain.recurrence import expand
from app.providers.microsoft.parse import parse_event

ENDLESS = {"type": "noEnd", "startDate": "2026-01-01", "endDate": "0001-01-01", "numberOfOccurrences": 0}
YEAR = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
HALF = {"type": "endDate", "startDate": "2026-01-01", "endDate": "2026-06-30", "numberOfOccurrences": 0}


def days(first, pattern, span):
    """Return month and day of every start, in the zone of the series."""
    # 23:30 in Berlin is the same day in UTC, and the last half hour of an inclusive end date.
    start, end = (
        {"dateTime": f"{first}T{clock}:00.0000000", "timeZone": "Europe/Berlin"} for clock in ("23:30", "23:45")
    )
    recurrence = {"pattern": {"interval": 1, **pattern}, "range": span}
    item = {"id": "m", "type": "seriesMaster", "start": start, "end": end, "recurrence": recurrence}
    event = parse_event(item | {"originalStartTimeZone": "W. Europe Standard Time"})
    return " ".join(f"{one.start:%m-%d}" for one in expand(Series(event), YEAR))


@pytest.mark.parametrize(
    ("first", "pattern", "found"),
    [
        (
            "2026-01-31",
            {"type": "absoluteMonthly", "dayOfMonth": 31},
            "01-31 02-28 03-31 04-30 05-31 06-30",
        ),
        ("2026-01-29", {"type": "absoluteMonthly", "dayOfMonth": 29}, "01-29 02-28 03-29 04-29 05-29 06-29"),
        ("2024-02-29", {"type": "absoluteYearly", "dayOfMonth": 29, "month": 2}, "02-28"),
        ("2025-04-30", {"type": "absoluteYearly", "dayOfMonth": 31, "month": 4}, "04-30"),
        (
            "2026-01-01",
            {"type": "relativeMonthly", "daysOfWeek": ["thursday", "friday"], "index": "first"},
            "01-01 02-05 03-05 04-02 05-01 06-04",
        ),
        (
            "2026-01-30",
            {"type": "relativeMonthly", "daysOfWeek": ["monday", "friday"], "index": "last"},
            "01-30 02-27 03-30 04-27 05-29 06-29",
        ),
        (
            "2025-03-03",
            {"type": "relativeYearly", "daysOfWeek": ["monday", "sunday"], "index": "first", "month": 3},
            "03-01",
        ),
        (
            "2026-06-01",
            {"type": "weekly", "interval": 2, "daysOfWeek": ["sunday", "monday"], "firstDayOfWeek": "sunday"},
            "06-01 06-14 06-15 06-28 06-29",
        ),
        (
            "2026-06-01",
            {"type": "weekly", "interval": 2, "daysOfWeek": ["sunday", "monday"], "firstDayOfWeek": "monday"},
            "06-01 06-07 06-15 06-21 06-29",
        ),
        ("2026-06-28", {"type": "daily"}, "06-28 06-29 06-30"),
    ],
)
def test_a_pattern_with_an_inclusive_end_date(first, pattern, found):
    assert days(first, pattern, HALF) == found


def test_a_number_of_occurrences_counts_and_no_end_runs_on():
    numbered = {"type": "numbered", "numberOfOccurrences": 3, "endDate": "0001-01-01"}
    monthly = {"type": "absoluteMonthly", "dayOfMonth": 31}

    assert days("2026-01-31", monthly, numbered) == "01-31 02-28 03-31"
    assert len(days("2020-01-31", monthly, ENDLESS).split()) == 12
