"""Scripted misbehaviour: what goes wrong, for which operation and account, how often."""

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

OPERATIONS = (
    "google.authorize",
    "google.token",
    "google.revoke",
    "google.jwks",
    "google.userinfo",
    "google.calendarlist",
    "google.calendars",
    "google.events",
    "google.events.write",
    "google.watch",
    "google.channels.stop",
    "google.freebusy",
    "google.settings",
    "microsoft.authorize",
    "microsoft.token",
    "microsoft.jwks",
    "graph.me",
    "graph.calendars",
    "graph.delta",
    "graph.events",
    "graph.events.write",
    "graph.view",
    "graph.subscriptions",
    "graph.schedule",
    "graph.settings",
    "oidc.authorize",
    "oidc.token",
    "oidc.revoke",
    "oidc.jwks",
    "oidc.userinfo",
    "push.google",
    "push.graph",
)
"""The operations offered on the faults page; a fault for any other name is accepted too."""


class FaultKind(StrEnum):
    """What goes wrong."""

    STATUS = "status"
    """Answer with `status`, a body of kind `body`, and Retry-After when given; the work is not done."""
    HANG = "hang"
    """Wait `seconds`, or until all faults are removed; then do the work and answer."""
    HOLD = "hold"
    """Do the work, wait `seconds`, then answer."""
    DRIP = "drip"
    """Do the work; send the answer byte by byte over `seconds`."""
    TRUNCATE = "truncate"
    """Do the work; announce the whole answer, send half, drop the connection."""
    GARBAGE = "garbage"
    """Do the work; answer 200 with something that is neither JSON nor empty. Push: deliver without the channel's
    headers (Google) or with a body that is not JSON (Graph); not repeated."""
    RESET = "reset"
    """Drop the connection; the work is not done."""
    LOSE_ANSWER = "lose_answer"
    """Do the work, then drop the connection without a byte of the answer."""
    OAUTH_ERROR = "oauth_error"
    """Token endpoints: 400 with `error`, and `suberror` or `description` when given."""
    INVALID_GRANT = "invalid_grant"
    """Token endpoints: 400 `invalid_grant` in the provider's words."""
    INVALID_CLIENT = "invalid_client"
    """Token endpoints: 401 `invalid_client` in the provider's words."""
    BAD_ID_TOKEN = "bad_id_token"
    """Token endpoints: the ID token is wrong as `error` says: `issuer`, `bare_issuer`, `audience`, `nonce`, `expired`,
    `future`, `slightly_ahead`, `unknown_key`, `forged` or `unsigned`."""
    GONE = "gone_410"
    """Calendar reads: the cursor has expired."""
    CLAIMS_CHALLENGE = "claims_challenge"
    """Graph: 401 with a claims challenge (continuous access evaluation), in the form that `reason` names: `unquoted`
    leaves out some quotation marks, `several` sends another challenge before it."""
    ADMIN_CONSENT = "admin_consent"
    """Microsoft authorization: administrator approval is needed, whatever the tenant's policy."""
    DROP = "drop"
    """Push: do not deliver."""
    DUPLICATE = "duplicate"
    """Push: deliver twice. Pages of events: every item comes twice."""
    SHUFFLE = "shuffle"
    """Pages of events: the items come in reverse order, so that instances come before their series."""
    ENDLESS = "endless"
    """Pages of events: a link to a next page that is this page again, always another link."""
    FOREIGN_LINK = "foreign_link"
    """Graph pages: the link to what comes next names another host."""
    OVERFULL = "overfull"
    """Pages: twice as many items as asked for, or as the setting allows."""
    FORGE = "forge"
    """Push: deliver with a wrong channel token or client state."""
    STRANGER = "stranger"
    """Push: deliver under the id of a channel or subscription that nobody knows; all else is as it would be."""
    DELAY = "delay"
    """Push: deliver `seconds` later."""
    BATCH = "batch"
    """Push of Graph: wait up to `seconds` and travel in one POST with all that wait likewise for the same address,
    whosever mailbox they are about."""
    NO_VALIDATION = "no_validation"
    """Graph subscriptions: call no address; refuse after `seconds`, as when no answer came. (`hang` is the fault for a
    call that comes late.)"""


@dataclass(frozen=True)
class Fault:
    """One scripted fault."""

    operation: str
    """Such as `google.token`; `*` stands for every operation."""
    kind: FaultKind
    account: str = "*"
    """Key of the account it is meant for; `*` for all."""
    count: int | None = 1
    """How many times it still happens; None: until it is removed."""
    after: int = 0
    """How many matching calls go well first."""
    every: int = 1
    """Of how many matching calls one meets the fault: 10 is every tenth; the others meet the next fault, if any."""
    status: int = 503
    body: str = "json"
    """`json`, `html` or `empty`; for `status` faults."""
    reason: str | None = None
    """For `status` and `gone_410`: Google's `reason` (empty: an error that gives none) or Graph's `code`; None: the
    usual one. For `claims_challenge`: its form."""
    retry_after: str | None = None
    """Value of the Retry-After header: seconds or an HTTP date; None sends none."""
    seconds: float = 1.0
    """For `hang`, `hold`, `drip`, `delay`, `batch` and `no_validation`; real seconds."""
    error: str = "invalid_grant"
    suberror: str | None = None
    description: str | None = None
    fault_id: int = field(default=0)
    """Given by the plan."""

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "Fault":
        """Read a fault from a JSON object.

        Raises ValueError naming what is wrong.
        """
        known = {f.name for f in fields(cls)} - {"fault_id"}
        if unknown := sorted(set(body) - known):
            raise ValueError(f"unknown member: {unknown[0]}")
        if not isinstance(body.get("every", 1), int) or body.get("every", 1) < 1:
            raise ValueError("every must be a whole number from 1")
        try:
            return cls(**{**body, "kind": FaultKind(body["kind"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"operation and kind are needed: {error}") from error

    def as_json(self) -> dict[str, Any]:
        """Return the fault as a JSON object."""
        return asdict(self)


class FaultPlan:
    """All scripted faults of one sandbox, oldest first."""

    def __init__(self) -> None:
        """Start with none."""
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._next_id = 1
        self._passed: Counter[int] = Counter()
        """Calls that a fault for every nth call has seen, by fault id."""
        self._cleared = threading.Event()

    def add(self, fault: Fault) -> Fault:
        """Add a fault; return it with its id."""
        with self._lock:
            kept = replace(fault, fault_id=self._next_id)
            self._next_id += 1
            self._faults.append(kept)
            return kept

    def remove(self, fault_id: int) -> bool:
        """Remove one fault; False when it is gone already."""
        with self._lock:
            before = len(self._faults)
            self._faults = [f for f in self._faults if f.fault_id != fault_id]
            return len(self._faults) < before

    def clear(self) -> None:
        """Remove all faults; calls that hang go on."""
        with self._lock:
            self._faults = []
            self._cleared.set()
            self._cleared = threading.Event()

    def hang(self, seconds: float) -> None:
        """Return after so many real seconds, or when all faults are removed."""
        self._cleared.wait(seconds)

    def all(self) -> list[Fault]:
        """Return the faults still waiting."""
        with self._lock:
            return list(self._faults)

    def take(self, operation: str, account: str | None) -> Fault | None:
        """Return the fault that this call meets, using up one of its count; None when all is well.

        `account` is the key of the account the call is about, None when unknown; faults for `*` meet every call.
        """
        with self._lock:
            matching = (i for i, f in enumerate(self._faults) if _matches(f, operation, account))
            index = next((i for i in matching if self._is_due(self._faults[i])), None)
            return None if index is None else self._use_up(index)

    def _is_due(self, fault: Fault) -> bool:
        self._passed[fault.fault_id] += 1
        return self._passed[fault.fault_id] % fault.every == 0

    def _use_up(self, index: int) -> Fault | None:
        fault = self._faults[index]
        if fault.after > 0:
            self._faults[index] = replace(fault, after=fault.after - 1)
            return None
        if fault.count is not None:
            left = fault.count - 1
            self._faults[index : index + 1] = [replace(fault, count=left)] if left > 0 else []
        return fault


def _matches(fault: Fault, operation: str, account: str | None) -> bool:
    return fault.operation in ("*", operation) and fault.account in ("*", account)
