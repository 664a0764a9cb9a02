"""Judges of a history: each returns what is wrong, in words that lead to the place; nothing when all is well.

`C7` (local calendars equal the provider's) has its own comparison in `tests/integration/sync/compare.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

from tests.faults.history import Attempt, Call, HandOut, History, Kept

Checker = Callable[[History], Iterator[str]]


ANSWERLESS = frozenset({"ambiguous"})
"""Outcomes of attempts whose answer never reached us."""


def every_refresh_token_is_accounted_for(history: History) -> Iterator[str]:
    """C1: stored, or superseded by a stored descendant, or of an attempt that is labelled as without answer."""
    calls = {call.refresh: call for call in history.calls if call.refresh is not None}
    for digest, issued in history.issued.items():
        kept = history.of_account.get((issued.provider, issued.account))
        if kept is None or kept.status == "disconnected" or digest in kept.stored:
            continue
        if not kept.stored.isdisjoint(history.descendants(digest)):
            continue
        call = calls.get(digest)
        attempt = history.attempt_of.get(call.number) if call else None
        if attempt is None or attempt.outcome not in ANSWERLESS:
            yield f"refresh token {digest[:8]} of {kept.id} was issued and is nowhere"


def no_two_calls_at_once(history: History) -> Iterator[str]:
    """C2: one refresh in flight per connection, but for calls whose attempt had been given up as without answer."""
    rotations = {kept.id: kept.rotation for kept in history.connections}
    for connection, calls in history.refreshes.items():
        for earlier, later in _overlapping(calls):
            attempt = history.attempt_of.get(earlier.number)
            was_given_up = attempt is not None and _given_up_before(attempt, later)
            if rotations[connection] == "strict" or not was_given_up:
                yield f"calls {earlier.number} and {later.number} of {connection} were in flight at once"


def _overlapping(calls: tuple[Call, ...]) -> Iterator[tuple[Call, Call]]:
    longest: Call | None = None
    for call in sorted(calls, key=lambda call: call.began_at):
        if longest is not None and call.began_at < longest.ended_at:
            yield longest, call
        if longest is None or call.ended_at > longest.ended_at:
            longest = call


def _given_up_before(attempt: Attempt, call: Call) -> bool:
    return attempt.outcome in ANSWERLESS and attempt.finished_at is not None and attempt.finished_at <= call.began_at


def every_call_was_written_down_first(history: History) -> Iterator[str]:
    """C3: each refresh call has an attempt of its own, committed before it; no attempt is left open."""
    for connection, calls in history.refreshes.items():
        for call in calls:
            # A provider that refused our secret has not looked at the token: the next secret of the same attempt.
            if call.number not in history.attempt_of and call.status != 401:
                yield f"call {call.number} of {connection} has no attempt before it"
    for attempt in history.attempts:
        if attempt.outcome is None:
            yield f"attempt {attempt.id} of {attempt.connection} is open"


def every_token_is_of_the_account_asked_for(history: History) -> Iterator[str]:
    """C4: the provider says whom an access token is for; another account's is the worst that can happen."""
    accounts = {kept.id: (kept.provider, kept.account) for kept in history.connections}
    for hand_out in _given(history):
        said = history.access.get(hand_out.access or "")
        if said != accounts.get(hand_out.connection):
            yield f"{hand_out.connection} was asked for, and a token of {said} came"


def nobody_sees_an_older_token_after_a_newer(history: History) -> Iterator[str]:
    """C5: a request that begins after another has ended gets the same generation or a later one."""
    newest: dict[object, int] = {}
    events = [(h.began_at, 1, h) for h in _given(history)] + [(h.ended_at, 0, h) for h in _given(history)]
    floor: dict[int, int] = {}
    for _, is_begin, hand_out in sorted(events, key=lambda event: event[:2]):
        generation = hand_out.generation or 0
        if is_begin:
            floor[id(hand_out)] = newest.get(hand_out.connection, 0)
            continue
        newest[hand_out.connection] = max(newest.get(hand_out.connection, 0), generation)
    for hand_out in _given(history):
        if (hand_out.generation or 0) < floor[id(hand_out)]:
            yield f"{hand_out.connection}: generation {hand_out.generation} after {floor[id(hand_out)]}"


def every_status_is_true(history: History) -> Iterator[str]:
    """C6: what is active can be refreshed, what needs the person cannot, and nothing is held by anybody."""
    for kept in history.connections:
        issued = history.issued.get(kept.refresh or "")
        is_alive = issued is not None and issued.is_accepted
        if kept.status == "active" and not is_alive:
            yield f"{kept.id} is called active, and the provider would refuse it"
        if kept.status == "needs_reconnect" and is_alive:
            yield f"{kept.id} is called {kept.reason}, and the provider would accept it"
        if kept.is_leased:
            yield f"{kept.id} is still leased"


def no_secret_is_written_anywhere(history: History) -> Iterator[str]:
    """C8: no token and no client secret in any output."""
    for name, secret in history.secrets.items():
        for place, text in history.places.items():
            if secret.encode() in text:
                yield f"{name} stands in {place}"


def every_hand_out_is_in_the_log(history: History) -> Iterator[str]:
    """C9: the log is whole, and has at least one release for every token that left, counted by fingerprint.

    At least: an answer may be lost on its way to the caller after it was written down.
    """
    if not history.is_chain_whole:
        yield "the audit log does not verify"
    released = Counter((entry.connection, entry.fingerprint) for entry in history.releases)
    left = Counter((h.connection, h.fingerprint) for h in _given(history) if h.fingerprint is not None)
    for (connection, fingerprint), count in left.items():
        if released[connection, fingerprint] < count:
            yield f"{connection}: {count} tokens left, {released[connection, fingerprint]} releases are written down"


def the_provider_was_asked_within_its_budget(history: History) -> Iterator[str]:
    """C10: in no stretch of time more calls than the burst plus what the rate allows."""
    for provider, budget in history.budgets.items():
        began = sorted(call.began_at for call in history.calls if call.provider == provider and call.sent is not None)
        # A bucket: filled at the rate, emptied by calls. The highest level it would have needed is what counts.
        used, worst = 0.0, 0.0
        for earlier, later in pairwise([began[0], *began] if began else []):
            used = max(0.0, used - (later - earlier) * budget.rate_per_s) + 1
            worst = max(worst, used)
        if worst > budget.burst + 1:
            yield f"{provider}: {worst:.0f} calls beyond the rate, {budget.burst:.0f} allowed"


def _given(history: History) -> tuple[HandOut, ...]:
    return tuple(hand_out for hand_out in history.hand_outs if hand_out.access is not None)


def lost(history: History) -> list[Kept]:
    """Return the connections that no refresh can bring back."""
    accepted = {digest for digest, issued in history.issued.items() if issued.is_accepted}
    return [kept for kept in history.connections if kept.status != "disconnected" and kept.refresh not in accepted]


CHECKERS: Mapping[str, Checker] = {
    "C1": every_refresh_token_is_accounted_for,
    "C2": no_two_calls_at_once,
    "C3": every_call_was_written_down_first,
    "C4": every_token_is_of_the_account_asked_for,
    "C5": nobody_sees_an_older_token_after_a_newer,
    "C6": every_status_is_true,
    "C8": no_secret_is_written_anywhere,
    "C9": every_hand_out_is_in_the_log,
    "C10": the_provider_was_asked_within_its_budget,
}


def violations(history: History) -> dict[str, list[str]]:
    """Return what each checker objects to; checkers that do not are absent."""
    found = {name: list(checker(history)) for name, checker in CHECKERS.items()}
    return {name: wrong for name, wrong in found.items() if wrong}
