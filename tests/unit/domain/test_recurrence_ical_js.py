"""Expansion against ical.js, the library of Thunderbird, over drawn rules; `ICAL_JS` names its CommonJS file.

Known disagreements, kept out of what is compared; in each recurring-ical-events agrees with this code:
- ical.js takes BYSETPOS of a yearly rule for a position in the month, counts yearly month days from the end
  of other months, and takes them for those of the start's month alone;
- it takes BYMONTH of a monthly rule for months whatever the interval, and leaves some of them out;
- it goes to the next month for a fifth weekday that a month of the interval does not have;
- it refuses days of the week beside days of the month, and takes BYSETPOS beside days of the month for each of them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from app.domain.calendars import Window
from app.domain.recurrence import expand
from tests.unit.domain.drawn_rules import LENGTH, rules, series, walls

WINDOW = Window(datetime(2024, 3, 4, 5, 7, tzinfo=UTC), datetime(2025, 2, 3, 4, 7, tzinfo=UTC))
"""Between quarters of an hour, so that nothing starts or ends at its edges."""
JUDGE = Path(__file__).with_name("ical_js_judge.cjs")
STAMP = "%Y%m%dT%H%M%S"


@pytest.fixture(scope="module", autouse=True)
def _has_judge():
    if not os.environ.get("ICAL_JS"):
        pytest.skip("ICAL_JS names no copy of ical.js")
    assert shutil.which("node"), "ical.js needs node"


def is_read_alike(line):
    """Return whether ical.js reads a rule as RFC 5545 has it."""
    if "FREQ=YEARLY" in line:
        return "BYSETPOS" not in line and "BYMONTHDAY" not in line
    if "FREQ=MONTHLY" in line:
        of_days = "BYMONTHDAY" in line and ("BYDAY" in line or "BYSETPOS" in line)
        return "BYMONTH=" not in line and "BYDAY=5" not in line and not of_days
    return True


def judged(drawn):
    """Return what the judge finds, a list of starts for each rule; null where it gives up."""
    asked = (
        {
            "start": f"{wall:{STAMP}}",
            "rule": line,
            "from": f"{WINDOW.start - LENGTH:{STAMP}}",
            "to": f"{WINDOW.end:{STAMP}}",
        }
        for line, wall in drawn
    )
    lines = "\n".join(map(json.dumps, asked))
    done = subprocess.run(["node", str(JUDGE)], input=lines, capture_output=True, text=True, check=True, timeout=100)
    return [json.loads(line) for line in done.stdout.splitlines()]


# The same rules each time, and none made smaller: each example starts a program.
@settings(max_examples=8, deadline=None, derandomize=True, phases=[Phase.generate])
@given(st.lists(st.tuples(rules().filter(is_read_alike), walls), min_size=20, max_size=40))
def test_drawn_rules_have_the_starts_ical_js_finds(drawn):
    found = [
        sorted({f"{one.start:{STAMP}}" for one in expand(series(wall, "UTC", line), WINDOW)}) for line, wall in drawn
    ]
    theirs = judged(drawn)

    rows = zip(drawn, found, theirs, strict=True)
    apart = [(rule, own, other) for rule, own, other in rows if other not in (own, None)]
    assert apart == []
    assert sum(other is not None for other in theirs) > len(theirs) / 2
