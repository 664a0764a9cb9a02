"""Keep the calendars of all accounts, each in the JSON shape of its own provider.

Every change of a calendar gets the next number of that calendar; sync tokens and delta tokens name such a number, and a
delta is "everything with a higher one". Deleted items stay as tombstones for that reason. Whoever wants to hear about
changes (push) subscribes. The caller holds the sandbox's lock around every call.
"""

import hashlib
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from app.sandbox.clock import Clock

Json = dict[str, Any]
"""One JSON object of a provider."""


class UnknownCalendarError(LookupError):
    """No such calendar in this mailbox."""


@dataclass
class Item:
    """One stored event: a single event, a series, or an exception of a series."""

    body: Json
    ordinal: int
    """Order of creation within the calendar; lists page by it."""
    sequence: int
    """Number of the last change of the calendar that touched this item."""
    is_gone: bool = False
    """Deleted; kept because deltas have to tell."""
    is_buried: bool = False
    """An exception whose series is deleted: nobody is told of it, and it comes back with its series."""
    is_verbatim: bool = False
    """Read from a file: fields that are missing stay missing."""


@dataclass
class Calendar:
    """One calendar with its events."""

    calendar_id: str
    entry: Json
    """Google: a calendarList entry. Microsoft: a Graph calendar."""
    time_zone: str
    """IANA name."""
    items: dict[str, Item] = field(default_factory=dict)
    children: dict[str, set[str]] = field(default_factory=dict)
    """Ids of stored exceptions by id of their series."""
    sequence: int = 0
    next_ordinal: int = 1
    listed_at: int = 1
    """Number of the last change of this calendar's entry in the calendar list."""
    generation: int = 0
    """Added to the mailbox's; raised when the rights on this calendar change."""

    def exceptions_of(self, series_id: str) -> list[Item]:
        """Return the stored exceptions of a series, tombstones included, oldest first."""
        mine = (self.items[child] for child in self.children.get(series_id, ()))
        return sorted(mine, key=lambda item: item.ordinal)


@dataclass
class Mailbox:
    """All calendars of one account."""

    provider: str
    account_key: str
    time_zone: str
    """IANA name of the person's own zone."""
    calendars: dict[str, Calendar] = field(default_factory=dict)
    settings: Json = field(default_factory=dict)
    """Google: values by setting id. Microsoft: the mailboxSettings object."""
    generation: int = 1
    """Sync and delta tokens of older generations are refused."""
    list_sequence: int = 1
    """Number of the last change of the calendar list."""

    def calendar(self, calendar_id: str) -> Calendar:
        """Return a calendar by id.

        Raises UnknownCalendarError.
        """
        found = self.calendars.get(calendar_id)
        if found is None:
            raise UnknownCalendarError(calendar_id)
        return found

    @property
    def main(self) -> Calendar:
        """Return the person's own calendar: the first one."""
        return next(iter(self.calendars.values()))


@dataclass(frozen=True)
class Change:
    """What listeners are told."""

    mailbox: Mailbox
    calendar: Calendar
    item_id: str
    kind: str
    """`created`, `updated` or `deleted`."""
    etag: str


Listener = Callable[[Change], None]


class World:
    """The calendars of all accounts, and who listens to their changes."""

    def __init__(self, clock: Clock, seed: int) -> None:
        """Start empty; `seed` makes ids and seeded events repeatable."""
        self.clock = clock
        self.seed = seed
        self.mailboxes: dict[tuple[str, str], Mailbox] = {}
        self.channels: dict[str, Json] = {}
        """Google push channels by id."""
        self.stopped: list[Json] = []
        """Google push channels that were stopped; in memory only."""
        self.subscriptions: dict[str, Json] = {}
        """Graph subscriptions by id."""
        self.listeners: list[Listener] = []
        self.files: Json = {}
        """What was read from the world directory, for the control interface."""

    def mailbox(self, provider: str, account_key: str) -> Mailbox:
        """Return the mailbox of an account.

        Raises UnknownCalendarError.
        """
        found = self.mailboxes.get((provider, account_key))
        if found is None:
            raise UnknownCalendarError(f"{provider}/{account_key}")
        return found

    def add_mailbox(self, mailbox: Mailbox) -> Mailbox:
        """Add the mailbox of an account."""
        self.mailboxes[mailbox.provider, mailbox.account_key] = mailbox
        return mailbox

    def rng(self, *parts: str) -> random.Random:
        """Return a random source that depends on the seed and `parts` alone; not for secrets."""
        text = "/".join((str(self.seed), *parts))
        return random.Random(hashlib.sha256(text.encode()).digest())

    def store(self, calendar: Calendar, item_id: str, body: Json, *, series_id: str | None = None) -> Item:
        """Add or replace one event under the next number of the calendar, without telling the listeners."""
        known = calendar.items.get(item_id)
        calendar.sequence += 1
        if known is None:
            known = Item(body, calendar.next_ordinal, calendar.sequence)
            calendar.next_ordinal += 1
            calendar.items[item_id] = known
        known.body, known.sequence, known.is_gone, known.is_buried = body, calendar.sequence, False, False
        if series_id is not None:
            calendar.children.setdefault(series_id, set()).add(item_id)
        return known

    def touch(self, calendar: Calendar, item: Item) -> None:
        """Give an item the next number of its calendar."""
        calendar.sequence += 1
        item.sequence = calendar.sequence

    def forget(self, calendar: Calendar, item_id: str, *, series_id: str | None = None) -> None:
        """Remove an item without a trace: no delta will tell of it."""
        calendar.items.pop(item_id, None)
        if series_id is not None:
            calendar.children.get(series_id, set()).discard(item_id)

    def tell(self, change: Change) -> None:
        """Tell the listeners of a change that is now stored."""
        for listener in self.listeners:
            listener(change)

    def expire_tokens(self, mailbox: Mailbox) -> int:
        """Make all sync and delta tokens given out so far invalid; return the new generation."""
        mailbox.generation += 1
        return mailbox.generation

    def dump(self) -> Json:
        """Return everything as a JSON object, for `load`."""
        return {
            "mailboxes": [_dump_mailbox(box) for box in self.mailboxes.values()],
            "channels": self.channels,
            "subscriptions": self.subscriptions,
            "files": self.files,
        }

    def load(self, body: Json) -> None:
        """Take over what `dump` returned; mailboxes it does not know keep their seeded events."""
        boxes = [_load_mailbox(box) for box in body["mailboxes"]]
        self.mailboxes |= {(box.provider, box.account_key): box for box in boxes}
        self.channels = body["channels"]
        self.subscriptions = body["subscriptions"]
        self.files = body.get("files", {})


def new_id(byte_count: int = 16) -> str:
    """Return a fresh id of hexadecimal digits."""
    return secrets.token_hex(byte_count)


def _dump_mailbox(box: Mailbox) -> Json:
    plain = {name: value for name, value in vars(box).items() if name != "calendars"}
    return plain | {"calendars": [_dump_calendar(calendar) for calendar in box.calendars.values()]}


def _dump_calendar(calendar: Calendar) -> Json:
    plain = {name: value for name, value in vars(calendar).items() if name not in ("items", "children")}
    children = {series: sorted(ids) for series, ids in calendar.children.items()}
    items = [[item_id, dict(vars(item))] for item_id, item in calendar.items.items()]
    return plain | {"children": children, "items": items}


def _load_mailbox(body: Json) -> Mailbox:
    calendars = [_load_calendar(calendar) for calendar in body["calendars"]]
    return Mailbox(**(body | {"calendars": {calendar.calendar_id: calendar for calendar in calendars}}))


def _load_calendar(body: Json) -> Calendar:
    items = {item_id: Item(**item) for item_id, item in body["items"]}
    children = {series: set(ids) for series, ids in body["children"].items()}
    return Calendar(**(body | {"items": items, "children": children}))
