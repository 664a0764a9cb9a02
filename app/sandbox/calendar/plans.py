"""Describe the events that every seeded calendar starts with, in neither provider's words.

Dates are counted from the Monday of the week the sandbox starts in, so that there is always something around now.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from zlib import crc32


class Show(StrEnum):
    """How an event counts in free/busy times."""

    BUSY = "busy"
    FREE = "free"
    TENTATIVE = "tentative"
    OUT_OF_OFFICE = "out_of_office"


class Every(StrEnum):
    """How often an event comes back."""

    DAY = "DAILY"
    WEEK = "WEEKLY"
    MONTH = "MONTHLY"
    YEAR = "YEARLY"


@dataclass(frozen=True)
class Plan:
    """One event to be."""

    title: str
    day: int
    """Days from the Monday of this week; negative is the past."""
    at: str | None = None
    """Local start such as `09:30`; None makes it all-day."""
    minutes: int = 30
    """Length of a timed event."""
    days: int = 1
    """Length of an all-day event."""
    every: Every | None = None
    weekdays: tuple[int, ...] = ()
    """Weekly only: 0 is Monday; empty is the weekday of the start."""
    times: int | None = None
    """How often a series happens; None is endless."""
    zone: str | None = None
    """IANA name; None is the person's own zone."""
    show: Show = Show.BUSY
    is_private: bool = False
    is_declined: bool = False
    is_cancelled: bool = False
    place: str = ""
    notes: str = ""
    guests: tuple[str, ...] = ()
    skipped: tuple[int, ...] = ()
    """Places in the series, counted from its first instance in or after this week, that are cancelled."""
    moved: tuple[tuple[int, int], ...] = ()
    """Pairs of such a place and by how many minutes its instance is moved."""

    def start(self, monday: date) -> datetime:
        """Return the naive local start; midnight when all-day."""
        clock = time.fromisoformat(self.at) if self.at else time()
        return datetime.combine(monday + timedelta(days=self.day), clock)

    def length(self) -> timedelta:
        """Return how long the event takes."""
        return timedelta(minutes=self.minutes) if self.at else timedelta(days=self.days)


_GUESTS = ("guest.one@example.net", "guest.two@example.net")

OWN = (
    Plan("Stand-up", -28, "09:15", 15, every=Every.WEEK, weekdays=(0, 1, 2, 3, 4), skipped=(2,), moved=((4, 45),)),
    Plan("Water the plants", -14, "18:00", 10, every=Every.DAY, times=90, show=Show.FREE),
    Plan(
        "Team meeting",
        -56,
        "10:00",
        60,
        every=Every.WEEK,
        skipped=(2,),
        moved=((1, 120),),
        guests=_GUESTS,
        place="Room Birch",
    ),
    Plan("One to one", -20, "14:00", 30, every=Every.WEEK, weekdays=(1, 3), times=30, guests=_GUESTS[:1]),
    Plan("Month in numbers", -60, "16:00", 45, every=Every.MONTH, times=24),
    # Begins years back: a client must find this week's instance without reading the years between.
    Plan("Swimming", -7 * 260 + 2, "07:00", 60, every=Every.WEEK, weekdays=(2,), place="Pool"),
    # Half a year of mornings crosses at least one clock change in most zones.
    Plan("Early call with Sydney", -14, "06:30", 30, every=Every.WEEK, times=40, zone="Australia/Sydney"),
    Plan("Call with New York", 1, "11:00", 60, zone="America/New_York", guests=_GUESTS),
    Plan("Budget review", 2, "13:00", 90, guests=_GUESTS, notes="Bring the numbers of the last quarter."),
    Plan("Planning", 3, "09:30", 120, place="Room Ash"),
    Plan("Lunch", 3, "12:00", 60, show=Show.FREE),
    Plan("Maybe: talk on heat pumps", 4, "17:00", 90, show=Show.TENTATIVE),
    Plan("Dentist", 1, "16:30", 45, is_private=True),
    Plan("Workshop nobody needs", 2, "15:00", 120, is_declined=True, guests=_GUESTS[:1]),
    Plan("Called off", 4, "10:30", 30, is_cancelled=True),
    Plan("Conference", 8, days=3, place="Gothenburg"),
    Plan("Moving day", 5, days=1, show=Show.FREE),
    Plan("Out of office", 10, "09:00", 8 * 60, show=Show.OUT_OF_OFFICE),
    Plan("Interview", 7, "11:00", 60, is_private=True, guests=_GUESTS[1:]),
    Plan("Night train", 11, "22:30", 9 * 60),
    Plan("Retrospective", -4, "15:00", 60, guests=_GUESTS),
    Plan("Kick-off", -9, "10:00", 90, place="Room Ash"),
    Plan("Quarter plan", 15, "13:00", 120),
    Plan("Handover", 21, "09:00", 30, guests=_GUESTS[:1]),
    Plan("A title with ümlauts, 漢字 and <b>marks</b>", 6, "18:00", 30, notes="<p>HTML &amp; more</p>"),
)

FAMILY = (
    Plan("Choir", -32, "19:30", 90, every=Every.WEEK, weekdays=(3,), skipped=(3,)),
    Plan("Birthday of Grandmother", -7 * 52 * 9, every=Every.YEAR, show=Show.FREE),
    Plan("School holidays", 12, days=9, show=Show.FREE),
    Plan("Parents' evening", 9, "18:30", 60),
    Plan("Bring glass to the container", -20, "08:00", 15, every=Every.MONTH, show=Show.FREE),
)

HOLIDAYS = (
    Plan("Day of the Birch", 4, show=Show.FREE),
    Plan("Long Night", 33, show=Show.FREE),
    Plan("Founders' Day", -7 * 52 * 5, every=Every.YEAR, show=Show.FREE),
)


_STEP = timedelta(minutes=15)
_EARLIEST, _LATEST = time(7), time(20)


def for_person(chosen: tuple[Plan, ...], key: str) -> tuple[Plan, ...]:
    """Return the plans with each timed event up to an hour off its time, so that no two people's weeks are alike.

    The same `key` gets the same times at every start. What begins early or late in the day stays where it is.
    """
    return tuple(_shifted(plan, crc32(f"{key} {plan.title}".encode()) % 9 - 4) for plan in chosen)


def _shifted(plan: Plan, steps: int) -> Plan:
    if plan.at is None or not _EARLIEST < time.fromisoformat(plan.at) < _LATEST:
        return plan
    moment = datetime.combine(date.min, time.fromisoformat(plan.at)) + steps * _STEP
    return replace(plan, at=f"{moment:%H:%M}")


def monday_of(day: date) -> date:
    """Return the Monday of a day's week."""
    return day - timedelta(days=day.weekday())
