"""Tasks delivered ten times, out of order and late, and beats that are three or asleep: the same end, no extra call."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

import pytest

from app.bootstrap import Services
from tests.faults.checkers import violations
from tests.faults.installation import Installation, installation
from tests.faults.recording import record
from tests.running_product import eventually
from workers.failures import run
from workers.tasks import ROW_TASKS, TICK_TASKS, Work

TICKS = ("refresh_due", "list_calendars_due", "sync_due")
TIMES, TIMES_IN_FULL = 10, 50
BEATS = 3
AWAY = "6 hours"
MOST_ROUNDS = 20

STATE = """
    SELECT line FROM (
        SELECT concat_ws('|', 'connection', provider, status, reason, failures, next_attempt_at, suspected_since,
                         lease_owner, granted_scopes) AS line FROM connections
        UNION ALL SELECT concat_ws('|', 'calendar', connection_id, provider_id, removed_at) FROM calendars
        UNION ALL SELECT concat_ws('|', 'event', calendar_id, provider_id, status, summary) FROM events
        UNION ALL SELECT concat_ws('|', 'occurrence', calendar_id, series_id, recurrence_id, start_at, end_at,
                                   start_date) FROM occurrences
        UNION ALL SELECT concat_ws('|', 'sync', calendar_id, requested = completed, last_error, lease_owner)
            FROM sync_states
    ) lines ORDER BY line
"""
"""Everything but times and counts of what was done when."""

DUE = """
    SELECT (SELECT count(*) FROM sync_states WHERE due_at <= now())
        + (SELECT count(*) FROM connections WHERE refresh_due_at <= now() OR calendar_list_due_at <= now())
"""


@dataclass
class Post:
    """Implements ``ports.Nudge``: keeps the messages, for whoever delivers them."""

    messages: list[tuple[str, UUID]] = field(default_factory=list)

    def refresh(self, connection_id: UUID) -> None:
        self.messages.append(("refresh_connection", connection_id))

    def list_calendars(self, connection_id: UUID) -> None:
        self.messages.append(("list_calendars", connection_id))

    def sync_calendar(self, calendar_id: UUID) -> None:
        self.messages.append(("sync_calendar", calendar_id))

    def open_channel(self, calendar_id: UUID) -> None:
        self.messages.append(("open_channel", calendar_id))

    def take(self) -> list[tuple[str, UUID]]:
        taken, self.messages = self.messages, []
        return taken


@dataclass
class Yard:
    """An installation whose beat and broker are the test's."""

    place: Installation
    post: Post
    services: Services
    chance: random.Random
    tasks: Mapping[str, Work] = field(default_factory=lambda: ROW_TASKS)

    def work_off(self, *, times: int, beats: int) -> None:
        """Tick and deliver until nothing is due; what was delivered before comes again in every later round."""
        late: list[tuple[str, UUID]] = []
        with ThreadPoolExecutor(6) as threads:
            for _ in range(MOST_ROUNDS):
                [messages] = eventually(lambda: self._called_for(threads, beats), within_s=30, what="anything to do")
                if not messages:
                    return
                wanted = messages * times + (late if times > 1 else [])
                self.chance.shuffle(wanted)
                list(threads.map(self._deliver, wanted))
                late += messages
        pytest.fail("there is always something due")

    def _called_for(self, threads: ThreadPoolExecutor, beats: int) -> list[list[tuple[str, UUID]]]:
        """Tick; return one list, of the messages that came of it, or none when what is due has been put off a while.

        A connection's third calendar waits some seconds for the two that are read.
        """
        list(threads.map(self._tick, TICKS * beats))
        messages = self.post.take()
        is_put_off = not messages and self.place.rows(DUE) != [(0,)]
        return [] if is_put_off else [messages]

    def _tick(self, name: str) -> None:
        run(name, "tick", lambda: TICK_TASKS[name](self.services))

    def _deliver(self, message: tuple[str, UUID]) -> None:
        name, row_id = message
        run(name, str(row_id), lambda: self.tasks[name](self.services, row_id))

    def sleep_through(self, by: str) -> None:
        """Let all clocks of the rows be `by` later: tokens are over, and everything is due."""
        self.place.rows(
            "UPDATE connections SET access_expires_at = access_expires_at - %s::interval,"
            " last_refreshed_at = last_refreshed_at - %s::interval, refresh_due_at = refresh_due_at - %s::interval,"
            " calendar_list_due_at = now() - %s::interval, refresh_claimed_until = NULL,"
            " calendar_list_claimed_until = NULL",
            by, by, by, by,
        )  # fmt: skip
        self.place.rows("UPDATE sync_states SET due_at = now() - %s::interval, claimed_until = NULL", by)

    def state(self) -> list[str]:
        return [line for (line,) in self.place.rows(STATE)]

    def generations(self) -> list[tuple]:
        return self.place.rows("SELECT provider, generation FROM connections ORDER BY provider")

    def calls(self) -> dict[str, int]:
        """Return how often the providers were asked for what."""
        found: dict[str, int] = {}
        for count in self.place.sandbox.state.request_log.counts():
            found[count["operation"]] = found.get(count["operation"], 0) + count["calls"]
        return found


@pytest.fixture
def yard(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Yard]:
    with installation(tmp_path, database_url, redis_url, LATCHKEY_PUSH_ENABLED="false") as place:
        place.sandbox.state.runtime.update({"access_token_lifetime_s": 3600})
        post = Post()
        person = place.sign_in()
        for kind in ("google", "microsoft", "oidc"):
            place.connect(kind, person)
        yard = Yard(place, post, replace(place.services, nudge=post), random.Random(20261123))
        yard.work_off(times=1, beats=1)
        yield yard


def worked(yard: Yard, *, times: int, beats: int) -> tuple[list[str], dict[str, int], list[tuple]]:
    """Sleep through six hours, work off what is due then, return the state, the calls and the generations."""
    yard.sleep_through(AWAY)
    yard.place.forget_calls()
    yard.work_off(times=times, beats=beats)
    return yard.state(), yard.calls(), yard.generations()


def test_ten_deliveries_and_three_beats_end_where_one_ends_and_ask_nobody_more(yard: Yard, *, is_full: bool) -> None:
    once_state, once_calls, once_generations = worked(yard, times=1, beats=1)
    times = TIMES_IN_FULL if is_full else TIMES
    state, calls, generations = worked(yard, times=times, beats=BEATS)

    # After six hours without a beat every token was renewed once, whoever needed it first.
    assert {name: n for name, n in once_calls.items() if name.endswith(".token")} == dict.fromkeys(
        ("google.token", "microsoft.token", "oidc.token"), 1
    )
    assert calls == once_calls
    assert state == once_state
    assert generations == [(provider, generation + 1) for provider, generation in once_generations]
    assert yard.place.rows("SELECT count(*) > 10 FROM events") == [(True,)]
    assert violations(record(yard.place)) == {}


def careless(name: str) -> Callable[[Services, UUID], object]:
    """Return a task that does what it is told without looking whether it is due."""
    return {
        "list_calendars": lambda services, row_id: services.calendar_lists.read(row_id),
        "sync_calendar": lambda services, row_id: services.calendar_sync.sync(row_id),
    }[name]


@pytest.mark.parametrize("task", ["list_calendars", "sync_calendar"])
def test_a_task_that_does_not_ask_its_row_is_found_out(yard: Yard, task: str) -> None:
    _, once_calls, _ = worked(yard, times=1, beats=1)
    yard.tasks = {**ROW_TASKS, task: careless(task)}

    _, calls, _ = worked(yard, times=3, beats=1)

    assert calls != once_calls
