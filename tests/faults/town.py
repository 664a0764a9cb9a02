"""Many calendars at both providers, and the product that follows them: what is here, what there, what is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import requests

from app.domain.features import Feature
from app.sandbox.calendar.chaos import Place
from app.sandbox.calendar.chaos_hands import SHELTERED
from app.sandbox.calendar.judging import occurrences
from app.sandbox.calendar.state import side_of
from tests.faults.crowds import settle
from tests.faults.followers import Row
from tests.faults.troupe import Troupe
from tests.running_product import eventually

KINDS = ("google", "microsoft")
FEATURES = (Feature.IDENTITY, Feature.CALENDAR_READ)
EDGE = timedelta(days=2)
"""At the very edges of a window providers decide by the owner's zone what is inside."""
KEPT_EACH = 12
"""Events in each calendar that nobody edits: whoever reads a calendar must find them, always."""


FAULTS = (
    ("push.google", "drop", {}),
    ("push.graph", "drop", {}),
    ("push.google", "duplicate", {}),
    ("push.graph", "duplicate", {}),
    ("push.google", "forge", {}),
    ("push.graph", "forge", {}),
    ("google.events", "gone_410", {}),
    ("graph.delta", "gone_410", {}),
    ("google.events", "status", {"status": 429, "retry_after": "1"}),
    ("graph.delta", "status", {"status": 429, "retry_after": "1"}),
    ("google.events", "status", {"status": 503}),
    ("graph.delta", "status", {"status": 503}),
    ("graph.events", "truncate", {}),
    ("google.events", "reset", {}),
)
"""Operation, kind and members of what can go wrong at the providers."""


@dataclass(frozen=True)
class Size:
    """How much of it."""

    accounts: int
    """Of each provider."""
    calendars: int
    """Of each account."""
    seconds: float
    edits_per_s: float
    kill_every_s: float


@dataclass
class Town:
    """Many calendars at both providers, and the product that follows them."""

    troupe: Troupe
    size: Size
    redis_url: str
    accounts: dict[UUID, tuple[str, str]] = field(default_factory=dict)
    """Provider and account's key by connection."""

    @property
    def place(self):
        return self.troupe.place

    @property
    def side(self):
        return side_of(self.place.sandbox.app)

    def settle(self) -> None:
        """Give everybody their calendars, connect them, and wait until all have been read."""
        for kind in KINDS:
            for settled in settle(
                self.place, kind, self.size.accounts, lifetime_s=3600, due_in_s=1800, features=FEATURES
            ):
                self.accounts[settled.connection] = (kind, settled.account)
        for kind in KINDS:
            keys = [key for found, key in self.accounts.values() if found == kind]
            self._control("mailboxes", provider=kind, accounts=keys, calendars=self.size.calendars)
        for place in self.places():
            for number in range(KEPT_EACH):
                self._keep(place, number)
        self.place.rows("UPDATE connections SET calendar_list_due_at = now()")
        eventually(self._all_read, within_s=180, what="the first syncs", every_s=0.5)

    def places(self) -> list[Place]:
        """Return every calendar that is edited."""
        found = []
        for kind, key in self.accounts.values():
            box = self.side.world.mailbox(kind, key)
            found += [Place(kind, key, name) for name, calendar in box.calendars.items() if _is_own(calendar.entry)]
        return found

    def calendars(self) -> dict[UUID, Place]:
        """Return every calendar that is edited, by its id here."""
        rows = self.place.rows("SELECT id, connection_id, provider_id FROM calendars WHERE removed_at IS NULL")
        wanted = set(self.places())
        found = {row[0]: Place(*self.accounts[row[1]], row[2]) for row in rows}
        return {key: place for key, place in found.items() if place in wanted}

    def windows(self) -> dict[UUID, tuple[datetime, datetime]]:
        """Return the windows less their edges, of calendars that have one: none, until a lost cursor is mended."""
        rows = self.place.rows("SELECT calendar_id, window_start, window_end FROM sync_states WHERE cursor IS NOT NULL")
        return {key: (low + EDGE, high - EDGE) for key, low, high in rows}

    def here(self, windows: dict[UUID, tuple[datetime, datetime]]) -> dict[UUID, set[Row]]:
        """Return what is stored, by calendar."""
        found: dict[UUID, set[Row]] = {key: set() for key in windows}
        for key, *row in self.place.rows(_STORED):
            if key in windows and _touches(tuple(row), *windows[key]):
                found[key].add(tuple(row))
        return found

    def there(self, place: Place, low: datetime, high: datetime) -> set[Row]:
        """Return what the provider shows of a calendar in a window."""
        account = self.place.sandbox.state.accounts.by_key(place.provider, place.account)
        shown = occurrences(self.side, account, place.calendar_id, low - EDGE, high + EDGE)["occurrences"]
        rows = {
            (
                row["series_id"],
                row["recurrence_id"],
                _moment(row["start"]),
                _moment(row["end"]),
                row["busy"],
                row["title"],
            )
            for row in shown
        }
        return {row for row in rows if _touches(row, low, high)}

    def told(self) -> dict[UUID, set[Row]]:
        """Return what is stored, as the feed is to tell it."""
        found: dict[UUID, set[Row]] = {}
        for key, *row in self.place.rows(_TOLD):
            found.setdefault(key, set()).add(tuple(row))
        return found

    def kept_here(self) -> dict[UUID, int]:
        """Return how many of the untouched events a reader finds in each calendar, with one statement."""
        return dict(self.place.rows(_KEPT, SHELTERED))

    def _all_read(self) -> bool:
        kept = self.kept_here()
        return len(self.calendars()) == len(self.places()) and all(
            kept.get(key) == KEPT_EACH for key in self.calendars()
        )

    def _keep(self, place: Place, number: int) -> None:
        day = (datetime.now(UTC) + timedelta(days=3 + number)).date()
        self._control(
            "events", provider=place.provider, account=place.account, calendar=place.calendar_id, action="add",
            title=SHELTERED, start=f"{day}T04:00", end=f"{day}T04:30",
        )  # fmt: skip

    def _control(self, path: str, **body: object) -> None:
        answer = requests.post(f"{self.place.sandbox.base_url}/_control/{path}", json=body, timeout=60)
        assert answer.ok, answer.text


_STORED = """
    SELECT o.calendar_id, o.series_id, o.recurrence_id,
           coalesce(o.start_at, o.start_date::timestamp AT TIME ZONE 'UTC'),
           coalesce(o.end_at, o.end_date::timestamp AT TIME ZONE 'UTC'), o.busy, coalesce(e.summary, '')
    FROM occurrences o
    LEFT JOIN events e ON e.calendar_id = o.calendar_id AND e.provider_id = o.source_id
"""
# Of private events times alone are told.
_TOLD = _STORED.replace(
    "coalesce(e.summary, '')", "CASE WHEN e.privacy = 'private' THEN '' ELSE coalesce(e.summary, '') END"
)
_KEPT = """
    SELECT o.calendar_id, count(*) FROM occurrences o
    JOIN events e ON e.calendar_id = o.calendar_id AND e.provider_id = o.source_id
    WHERE e.summary = %s GROUP BY o.calendar_id
"""


def _is_own(entry: Mapping[str, object]) -> bool:
    return entry.get("accessRole") in ("owner", "writer") or bool(entry.get("canEdit"))


def _moment(text: str) -> datetime:
    """Return an instant; of a date its midnight in UTC."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _touches(row: Row, low: datetime, high: datetime) -> bool:
    return row[2] < high and (row[3] > low or row[2] >= low)
