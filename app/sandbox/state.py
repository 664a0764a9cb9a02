"""Everything one running sandbox knows, in one object."""

import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from flask import current_app

from app.sandbox.accounts import Accounts, seeded_accounts
from app.sandbox.clock import Clock
from app.sandbox.fault_plan import FaultPlan
from app.sandbox.grants import GrantBook
from app.sandbox.keys import KeyRing
from app.sandbox.pending import PendingBook
from app.sandbox.request_log import RequestLog
from app.sandbox.settings import RuntimeSettings, SandboxSettings
from app.sandbox.throttling import Throttle
from app.sandbox.token_ledger import TokenLedger


@dataclass(frozen=True)
class Snapshot:
    """How one part of the sandbox is written to the state file and read back; the values must be JSON."""

    dump: Callable[[], Any]
    load: Callable[[Any], None]


@dataclass
class Sandbox:
    """The state of one sandbox; `lock` guards all that changes."""

    settings: SandboxSettings
    runtime: RuntimeSettings
    accounts: Accounts = field(default_factory=seeded_accounts)
    clock: Clock = field(default_factory=Clock)
    keys: KeyRing = field(default_factory=KeyRing)
    grants: GrantBook = field(default_factory=GrantBook)
    pending: PendingBook = field(default_factory=PendingBook)
    faults: FaultPlan = field(default_factory=FaultPlan)
    request_log: RequestLog = field(default_factory=RequestLog)
    throttle: Throttle = field(default_factory=Throttle)
    token_ledger: TokenLedger = field(default_factory=TokenLedger)
    lock: threading.RLock = field(default_factory=threading.RLock)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    """Parts kept in the state file, by name; the calendar half adds its own before the first request."""
    closers: list[Callable[[], None]] = field(default_factory=list)
    """Called once when the server stops; for parts that run threads of their own."""

    def close(self) -> None:
        """Stop the parts that run threads, and write the state file a last time."""
        for closer in self.closers:
            closer()
        self.save()

    def save(self) -> None:
        """Write the state file, replacing it in one step; nothing happens when there is none."""
        path = self.settings.state_file
        if path is None:
            return
        with self.lock:
            body = json.dumps({name: part.dump() for name, part in self.snapshots.items()})
            draft = path.with_suffix(path.suffix + ".new")
            # The file holds the sandbox's signing keys: of no worth outside, but private all the same.
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(body)
            draft.replace(path)

    def restore(self) -> None:
        """Read the state file when there is one; parts it does not name keep their start values.

        Raises ValueError when it cannot be understood.
        """
        path = self.settings.state_file
        if path is None or not path.exists():
            return
        try:
            body = json.loads(path.read_text(encoding="utf-8"))
            with self.lock:
                for name, part in self.snapshots.items():
                    if name in body:
                        part.load(body[name])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"The state file cannot be read; remove it to start anew: {path}") from error


def new_sandbox(settings: SandboxSettings) -> Sandbox:
    """Return the state a sandbox starts with."""
    state = Sandbox(settings, RuntimeSettings.from_settings(settings))
    state.snapshots["grants"] = Snapshot(state.grants.dump, state.grants.load)
    state.snapshots["keys"] = Snapshot(state.keys.dump, state.keys.load)
    state.snapshots["clock"] = Snapshot(state.clock.offset_s, state.clock.set_offset)
    return state


def current_sandbox() -> Sandbox:
    """Return the sandbox that serves the current request."""
    return cast("Sandbox", current_app.extensions["sandbox"])
