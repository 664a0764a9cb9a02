"""Repair of recurrence lines, and zone names."""

from datetime import UTC, datetime, timedelta

import pytest

from app.domain.recurrence_rules import repair_lines, with_start_month
from app.domain.zones import find_zone, iana_name


@pytest.mark.parametrize(
    ("written", "repaired"),
    [
        (" rrule:FREQ=DAILY; ", "RRULE:FREQ=DAILY"),
        ("RRULE;X-EVOLUTION-ENDDATE=20250101T000000Z:FREQ=DAILY", "RRULE:FREQ=DAILY"),
        ("RRULE:DATE;TZID=Europe/Warsaw:20230818T020000", "RDATE;TZID=Europe/Warsaw:20230818T020000"),
        ("EXDATE;X-VENDOR=1;tzid=Europe/Paris:20250101T090000", "EXDATE;TZID=Europe/Paris:20250101T090000"),
        ("EXDATE:20250101T09\r\n 0000Z", "EXDATE:20250101T090000Z"),
    ],
)
def test_lines_are_repaired(written, repaired):
    assert repair_lines([written]) == (repaired,)


def test_what_is_no_recurrence_line_is_dropped():
    assert repair_lines(["DTSTART:20250101", "RRULE:", "", None, 7, "RRULE"]) == ()


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("RRULE:FREQ=YEARLY;BYMONTHDAY=7", "RRULE:FREQ=YEARLY;BYMONTHDAY=7;BYMONTH=9"),
        ("RRULE:FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=7", None),
        ("RRULE:FREQ=YEARLY;BYMONTHDAY=7;BYDAY=MO", None),
        ("RRULE:FREQ=MONTHLY;BYMONTHDAY=7", None),
    ],
)
def test_only_a_yearly_rule_by_days_of_the_month_takes_the_start_month(line, completed):
    assert with_start_month(line, 9) == (completed or line)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        ("/freeassociation.sourceforge.net/Europe/Berlin", "Europe/Berlin"),
        ("/Europe/Stockholm", "Europe/Stockholm"),
        ("America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"),
        ("UTC", "UTC"),
        ("Europe", None),
        ("../../etc/passwd", None),
        ("localtime", None),
        ("Customized Time Zone", None),
        ("", None),
        (None, None),
    ],
)
def test_only_certain_zone_names_are_known(name, found):
    assert iana_name(name) == found


@pytest.mark.parametrize(
    ("name", "hours"), [("GMT+02:00", 2), ("UTC-5", -5), ("+05:30", 5.5), ("UTC+15", None), ("W. Europe", None)]
)
def test_fixed_offsets_mean_what_they_say(name, hours):
    zone = find_zone(name)

    offset = None if zone is None else zone.utcoffset(datetime(2025, 1, 1, tzinfo=UTC))
    assert offset == (None if hours is None else timedelta(hours=hours))
