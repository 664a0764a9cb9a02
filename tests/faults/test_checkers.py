"""Every checker turns red when a sound history is spoilt in its way, and says nothing about a sound one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest

from tests.faults.checkers import CHECKERS, violations
from tests.faults.history import Attempt, Budget, Call, HandOut, History, IssuedRefresh, Kept, Release

STRICT, PLAIN = UUID(int=1), UUID(int=2)


def sound() -> History:
    """Return two refreshes of a strict connection, one of which got lost at a plain one, and what callers saw."""
    return History(
        calls=(
            Call(1, "oidc", "farid", None, 0.0, 0.1, 0.2, 200, "a0", "r0"),
            Call(2, "oidc", "farid", "r0", 10.0, 10.2, 10.3, 200, "a1", "r1"),
            Call(3, "oidc", "farid", "r1", 20.0, 20.2, 20.3, 200, "a2", "r2"),
            Call(4, "microsoft", "chiara", None, 0.0, 0.1, 0.2, 200, "b0", "s0"),
            Call(5, "microsoft", "chiara", "s0", 10.0, 10.2, 15.0, 200, "b1", "s1"),
            Call(6, "microsoft", "chiara", "s0", 14.0, 14.2, 14.3, 200, "b2", "s2"),
        ),
        issued={
            "r0": IssuedRefresh("oidc", "farid", is_accepted=False),
            "r1": IssuedRefresh("oidc", "farid", is_accepted=False),
            "r2": IssuedRefresh("oidc", "farid", is_accepted=True),
            "s0": IssuedRefresh("microsoft", "chiara", is_accepted=True),
            "s1": IssuedRefresh("microsoft", "chiara", is_accepted=True),
            "s2": IssuedRefresh("microsoft", "chiara", is_accepted=True),
        },
        access={
            **dict.fromkeys(("a0", "a1", "a2"), ("oidc", "farid")),
            **dict.fromkeys(("b0", "b1", "b2"), ("microsoft", "chiara")),
        },
        connections=(
            # The oldest generation is deleted by now.
            Kept(STRICT, "oidc", "strict", "farid", "active", None, "r2", stored=frozenset({"r1", "r2"})),
            Kept(PLAIN, "microsoft", "overlap", "chiara", "active", None, "s2", stored=frozenset({"s0", "s2"})),
        ),
        attempts=(
            Attempt(UUID(int=11), STRICT, 9.9, 10.4, "stored", None),
            Attempt(UUID(int=12), STRICT, 19.9, 20.4, "stored", "r1"),
            # Its process died, and somebody else asked while the provider was still at it.
            Attempt(UUID(int=13), PLAIN, 9.9, 13.5, "ambiguous", "s0"),
            Attempt(UUID(int=14), PLAIN, 13.9, 14.4, "stored", "s0"),
        ),
        hand_outs=(
            HandOut(STRICT, 9.0, 10.5, "a1", 2, "f1"),
            # Began before the newer one was there.
            HandOut(STRICT, 20.1, 20.6, "a1", 2, "f1"),
            HandOut(STRICT, 20.2, 20.5, "a2", 3, "f2"),
            HandOut(PLAIN, 15.0, 15.1, "b2", 3, None),
            HandOut(PLAIN, 12.0, 12.1, error="refresh_in_progress"),
        ),
        releases=(Release(STRICT, "f1"), Release(STRICT, "f1"), Release(STRICT, "f2"), Release(STRICT, "f2")),
        budgets={"oidc": Budget(rate_per_s=0.1, burst=1)},
        secrets={"a refresh token": "the-token"},
        places={"output": b"nothing to see"},
    )  # fmt: skip


def test_nobody_objects_to_a_sound_history() -> None:
    assert violations(sound()) == {}


def with_call(history: History, number: int, **changes: object) -> History:
    calls = tuple(replace(call, **changes) if call.number == number else call for call in history.calls)
    return replace(history, calls=calls)


def with_connection(history: History, connection: UUID, **changes: object) -> History:
    kept = tuple(replace(kept, **changes) if kept.id == connection else kept for kept in history.connections)
    return replace(history, connections=kept)


def with_attempt(history: History, number: int, **changes: object) -> History:
    wanted = UUID(int=number)
    return replace(history, attempts=tuple(replace(a, **changes) if a.id == wanted else a for a in history.attempts))


def with_hand_out(history: History, *more: HandOut) -> History:
    return replace(history, hand_outs=(*history.hand_outs, *more))


SPOILT: dict[str, tuple[set[str], Callable[[History], History]]] = {
    "an answer was thrown away": (
        # What is thrown away cannot be used either.
        {"C1", "C6"}, lambda h: with_connection(h, STRICT, stored=frozenset({"r1"}), refresh="r1"),
    ),
    "an answer of a living process that is nowhere": (
        {"C1"}, lambda h: replace(h, issued={**h.issued, "s3": IssuedRefresh("microsoft", "chiara", is_accepted=True)}),
    ),
    "an answer got lost and its attempt is called stored": (
        # Nor had it been given up before the next call.
        {"C1", "C2"}, lambda h: with_attempt(h, 13, outcome="stored"),
    ),
    "two calls at once for a strict connection": ({"C2"}, lambda h: with_call(h, 2, ended_at=20.1)),
    "two calls at once, of processes that both lived": ({"C2"}, lambda h: with_attempt(h, 13, finished_at=15.1)),
    "a call that nobody wrote down": (
        {"C3"}, lambda h: replace(h, attempts=tuple(a for a in h.attempts if a.id != UUID(int=12))),
    ),
    "a call that was written down afterwards": ({"C3"}, lambda h: with_attempt(h, 12, started_at=20.05)),
    "an attempt that nobody ended": ({"C3"}, lambda h: with_attempt(h, 12, outcome=None, finished_at=None)),
    "somebody else's token": ({"C4"}, lambda h: with_hand_out(h, HandOut(STRICT, 30.0, 30.1, "b2", 3, "f2"))),
    "a token nobody issued": ({"C4"}, lambda h: with_hand_out(h, HandOut(STRICT, 30.0, 30.1, "zz", 3, "f2"))),
    "an old token after a new one": (
        {"C5"}, lambda h: with_hand_out(h, HandOut(STRICT, 30.0, 30.1, "a1", 2, None)),
    ),
    "a dead connection called active": (
        {"C6"}, lambda h: replace(h, issued={**h.issued, "r2": IssuedRefresh("oidc", "farid", is_accepted=False)}),
    ),
    "a living connection called ended": (
        {"C6"}, lambda h: with_connection(h, PLAIN, status="needs_reconnect", reason="revoked_by_user"),
    ),
    "a lease nobody gave back": ({"C6"}, lambda h: with_connection(h, STRICT, is_leased=True)),
    "a token in a log": ({"C8"}, lambda h: replace(h, places={"output": b"Bearer the-token\n"})),
    "a token that left without a trace": (
        {"C9"}, lambda h: with_hand_out(h, HandOut(STRICT, 30.0, 30.1, "a2", 3, "f3")),
    ),
    "two answers and one entry": ({"C9"}, lambda h: replace(h, releases=h.releases[1:3])),
    "a log that was changed": ({"C9"}, lambda h: replace(h, is_chain_whole=False)),
    "calls beyond the budget": ({"C10"}, lambda h: replace(h, budgets={"oidc": Budget(rate_per_s=0.01, burst=0.5)})),
}  # fmt: skip


@pytest.mark.parametrize("fault", SPOILT)
def test_a_planted_fault_turns_its_checker_red_and_no_other(fault: str) -> None:
    checkers, spoil = SPOILT[fault]

    assert set(violations(spoil(sound()))) == checkers


def test_every_checker_has_a_fault_that_it_alone_finds() -> None:
    alone = [checkers for checkers, _ in SPOILT.values() if len(checkers) == 1]
    assert set.union(*alone) == set(CHECKERS)
