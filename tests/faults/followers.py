"""A service that follows ``/v1/changes`` and keeps what it is told, as the description of the feed says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import requests

from app.domain.features import Feature
from tests.faults.troupe import Troupe

PAGE = 500

Row = tuple[str, str, datetime, datetime, str, str]
"""Series, recurrence id, start, end, busy, title; of dates their midnights in UTC."""


@dataclass
class Follower:
    """Keeps a copy of every calendar the service may see."""

    address: str
    auth: tuple[str, str]
    cursor: str | None = None
    events: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """The newest change of each event by calendar and event id; of one that is gone as well."""

    def follow(self) -> None:
        """Read until nothing more is there."""
        has_more = True
        while has_more:
            page = self._page()
            for change in page["changes"]:
                self._take(change)
            if "calendars" in page:
                seen = set(page["calendars"])
                self.events = {key: one for key, one in self.events.items() if key[0] in seen}
            self.cursor, has_more = page["next_cursor"], page["has_more"]

    def replay(self) -> Follower:
        """Return somebody who has read everything from the beginning."""
        other = Follower(self.address, self.auth)
        other.follow()
        return other

    def rows(self) -> dict[UUID, set[Row]]:
        """Return the occurrences by calendar; none for a calendar without."""
        found: dict[UUID, set[Row]] = {}
        for (calendar, _), change in self.events.items():
            if not change["removed"]:
                found.setdefault(UUID(calendar), set()).update(_rows(change))
        return found

    def _take(self, change: dict[str, Any]) -> None:
        key = change["calendar_id"], change["event_id"]
        if key not in self.events or self.events[key]["seq"] < change["seq"]:
            self.events[key] = change

    def _page(self) -> dict[str, Any]:
        cursor = {} if self.cursor is None else {"cursor": self.cursor}
        query = {"purpose": "follow", "limit": PAGE, **cursor}
        while True:
            answer = requests.get(self.address, query, auth=self.auth, timeout=30)
            if answer.status_code not in (429, 503):
                assert answer.status_code == 200, answer.text
                return answer.json()
            time.sleep(float(answer.headers["Retry-After"]))


def follower_of(troupe: Troupe) -> Follower:
    """Register a service that may read every calendar of ``troupe``'s installation."""
    registry = troupe.place.services.callers.registry
    secret = registry.add("follower", (Feature.CALENDAR_READ,), None, act_as=True).reveal()
    return Follower(f"http://localhost:{troupe.port}/v1/changes", ("follower", secret))


def _rows(change: dict[str, Any]) -> Iterator[Row]:
    title = change["event"].get("title", "")
    titles = {one["id"]: one.get("title", "") for one in change["event"]["exceptions"]}
    for one in change["occurrences"]:
        start, end = _times(one)
        shown = titles[one["exception_id"]] if "exception_id" in one else title
        yield change["event_id"], one.get("recurrence_id", ""), start, end, one["busy_class"], shown


def _times(one: dict[str, Any]) -> tuple[datetime, datetime]:
    if "utcStart" in one:
        return datetime.fromisoformat(one["utcStart"]), datetime.fromisoformat(one["utcEnd"])
    start = datetime.fromisoformat(one["start"]).replace(tzinfo=UTC)
    return start, start + timedelta(days=int(one["duration"].removeprefix("P").removesuffix("D")))
