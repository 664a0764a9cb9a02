"""What happened in an experiment, from three sides: the provider's, ours, and the callers'.

Tokens are SHA-256 digests, times seconds since 1970 by this machine's clock, which PostgreSQL shares. A history is
plain data, taken when everything is at rest; `checkers` judge it, and a test can change it to show that they do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from uuid import UUID

# --- the provider's side


@dataclass(frozen=True)
class Call:
    """One call of a token endpoint, as the provider saw it."""

    number: int
    provider: str
    account: str | None
    sent: str | None
    """Refresh token that was sent; None for an exchange of a code."""
    began_at: float
    committed_at: float | None
    """When the provider had done its work; None: it did none."""
    ended_at: float
    status: int
    access: str | None = None
    refresh: str | None = None
    """Refresh token issued, a child of `sent`; None when none was."""


@dataclass(frozen=True)
class IssuedRefresh:
    """One refresh token that the provider ever issued."""

    provider: str
    account: str
    is_accepted: bool
    """Whether the provider would accept it at the end."""


# --- our side


@dataclass(frozen=True)
class Kept:
    """One connection and what is stored for it."""

    id: UUID
    provider: str
    """`google`, `microsoft` or `oidc`: the provider's kind, as the sandbox names it."""
    rotation: str
    account: str
    """The account that agreed, as whoever set the experiment up knows it."""
    status: str
    reason: str | None
    refresh: str | None
    """Refresh token in use; None when there is none."""
    stored: frozenset[str]
    """Every refresh token of every generation."""
    is_leased: bool = False


@dataclass(frozen=True)
class Attempt:
    """One refresh attempt that was written down."""

    id: UUID
    connection: UUID
    started_at: float
    finished_at: float | None
    outcome: str | None
    sent: str | None
    """Refresh token of the generation it began from; None when that generation is gone."""


@dataclass(frozen=True)
class Release:
    """One entry of the audit log about a token that left."""

    connection: UUID
    fingerprint: str


# --- the callers' side


@dataclass(frozen=True)
class HandOut:
    """One request for a token."""

    connection: UUID
    began_at: float
    ended_at: float
    access: str | None = None
    """None when the request was refused."""
    generation: int | None = None
    fingerprint: str | None = None
    """Keyed, as the audit log has it; None for work of our own, which is not written down there."""
    warning: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Budget:
    """How fast calls to one provider may come."""

    rate_per_s: float
    burst: float


@dataclass(frozen=True)
class History:
    """Everything above, at rest."""

    calls: tuple[Call, ...]
    issued: Mapping[str, IssuedRefresh]
    access: Mapping[str, tuple[str, str]]
    """Access token to provider and account it is for."""
    connections: tuple[Kept, ...]
    attempts: tuple[Attempt, ...]
    hand_outs: tuple[HandOut, ...] = ()
    releases: tuple[Release, ...] = ()
    is_chain_whole: bool = True
    """Whether the audit log proves to be complete and unchanged."""
    budgets: Mapping[str, Budget] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Name to secret, in clear: what must be nowhere."""
    places: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Name to content of everything that was written."""

    def with_hand_outs(self, hand_outs: tuple[HandOut, ...]) -> History:
        return replace(self, hand_outs=(*self.hand_outs, *hand_outs))

    @cached_property
    def of_account(self) -> Mapping[tuple[str, str], Kept]:
        """Provider and account to connection."""
        return {(kept.provider, kept.account): kept for kept in self.connections}

    def connection_of(self, call: Call) -> Kept | None:
        return self.of_account.get((call.provider, call.account or ""))

    @cached_property
    def refreshes(self) -> Mapping[UUID, tuple[Call, ...]]:
        """Connection to its refresh calls, in the order of arrival."""
        found: dict[UUID, list[Call]] = {kept.id: [] for kept in self.connections}
        for call in self.calls:
            kept = self.connection_of(call)
            if kept is not None and call.sent is not None:
                found[kept.id].append(call)
        return {key: tuple(calls) for key, calls in found.items()}

    @cached_property
    def attempt_of(self) -> Mapping[int, Attempt]:
        """Number of a call to the attempt it was made for; calls without one are absent."""
        found: dict[int, Attempt] = {}
        attempts: dict[UUID, list[Attempt]] = {}
        for attempt in self.attempts:
            attempts.setdefault(attempt.connection, []).append(attempt)
        for connection, calls in self.refreshes.items():
            open_attempts = attempts.get(connection, [])
            for call in calls:
                fitting = [attempt for attempt in open_attempts if _made(attempt, call)]
                if fitting:
                    # The latest: an attempt whose process died before its call leaves no call.
                    found[call.number] = max(fitting, key=lambda attempt: attempt.started_at)
                    open_attempts.remove(found[call.number])
        return found

    def descendants(self, digest: str) -> Iterator[str]:
        """Yield every refresh token that descends from one."""
        for call in self._children.get(digest, ()):
            if call.refresh is not None:
                yield call.refresh
                yield from self.descendants(call.refresh)

    @cached_property
    def _children(self) -> Mapping[str, tuple[Call, ...]]:
        found: dict[str, list[Call]] = {}
        for call in self.calls:
            if call.sent is not None:
                found.setdefault(call.sent, []).append(call)
        return {key: tuple(calls) for key, calls in found.items()}


def _made(attempt: Attempt, call: Call) -> bool:
    is_open = attempt.finished_at is None or attempt.finished_at >= call.began_at
    return attempt.started_at <= call.began_at and is_open and attempt.sent in (None, call.sent)
