"""Random edits, in random order, with a comparison after every sync."""

from datetime import timedelta

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from app.domain.errors import CursorExpired
from tests.integration.sync.desk import Desk, monday

ACCOUNTS = {"google": "ada", "microsoft": "chiara"}
WEEKS = st.sampled_from([-20, -1, 1, 2, 3, 4, 5, 6, 150])
HOURS = st.integers(0, 22)
CHOICE = st.integers(0, 99)
NO_INSTANCE = ("has no instance on", "was not found", "Not Found", "has been deleted", "400 Bad")
"""How the sandbox says that a series has no instance on a day (any more)."""


class Edits(RuleBasedStateMachine):
    """Edits one calendar at the sandbox; `desk` is set by the test."""

    mailbox = None

    def __init__(self):
        super().__init__()
        self.desk = Desk(self.mailbox, self.mailbox.new_calendar())
        self.singles, self.series = [], []

    @rule(week=WEEKS, hour=HOURS)
    def add(self, week, hour):
        self.singles.append(self.desk.add(f"Single {len(self.singles)}", monday(week, hour)))

    @rule(week=WEEKS)
    def add_all_day(self, week):
        self.singles.append(self.desk.add("Whole day", monday(week, 0), all_day_for=1))

    @rule(week=st.integers(1, 3), hour=HOURS, repeat=st.sampled_from(["daily", "weekly"]))
    def add_series(self, week, hour, repeat):
        self.series.append(self.desk.add(f"Series {len(self.series)}", monday(week, hour), repeat=repeat, times=6))

    @rule(which=CHOICE, week=WEEKS, hour=HOURS)
    def move(self, which, week, hour):
        if self.singles:
            self.desk.change(self.singles[which % len(self.singles)], "Moved", monday(week, hour))

    @rule(which=CHOICE)
    def remove(self, which):
        if self.singles:
            self.desk.remove(self.singles.pop(which % len(self.singles)))

    @rule(which=CHOICE)
    def remove_series(self, which):
        if self.series:
            self.desk.remove(self.series.pop(which % len(self.series)))

    @rule(which=CHOICE, times=st.integers(2, 9))
    def change_rule(self, which, times):
        if self.series:
            rule_of = self.desk.rule(monday(), "daily", times=times)
            self.desk.change(self.series[which % len(self.series)], recurrence=rule_of)

    @rule(which=CHOICE, instance=st.integers(0, 5), week=WEEKS, hour=HOURS)
    def move_instance(self, which, instance, week, hour):
        self._on_instance(
            which, instance, lambda series, day: self.desk.change_instance(series, day, "Odd one", monday(week, hour))
        )

    @rule(which=CHOICE, instance=st.integers(0, 5))
    def cancel_instance(self, which, instance):
        self._on_instance(which, instance, self.desk.cancel_instance)

    @rule()
    def lose_cursor(self):
        mailbox = self.mailbox
        mailbox.house.sandbox.control("/expire_sync_tokens", provider=mailbox.provider, account=mailbox.account)

    @rule()
    def sync(self):
        try:
            self.desk.sync()
        except CursorExpired:
            self.desk.sync()

    def teardown(self):
        self.sync()

    def _on_instance(self, which, instance, act):
        if not self.series:
            return
        series = self.series[which % len(self.series)]
        try:
            act(series, monday(1 + instance // 3, days=0) + timedelta(days=instance))
        except AssertionError as error:
            if not any(words in str(error) for words in NO_INSTANCE):
                raise


@pytest.mark.parametrize("provider", sorted(ACCOUNTS))
def test_random_edits_are_all_here_after_a_sync(house, provider):
    mailbox = house.connect(provider, ACCOUNTS[provider])
    machine = type("Machine", (Edits,), {"mailbox": mailbox})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=8, stateful_step_count=18, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck), print_blob=False,
        ),
    )  # fmt: skip
