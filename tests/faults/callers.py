"""Many real processes that want the same token at the same moment: `python -m tests.faults.callers COUNT CONNECTION`.

One parent imports everything and opens nothing; each child builds its own use cases after the fork, as the processes
of a web server do. Every child prints one JSON line with the fingerprint of what it got, or with the error's code.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import fields, replace
from typing import Any
from uuid import UUID, uuid4

from app.bootstrap import build_services
from app.config import load_config
from app.domain.errors import LatchkeyError
from app.ports import Lease, StoredTokens
from app.services.access_tokens import AccessTokens

MIN_VALIDITY_S = 60
WAIT_S = 60.0
"""Longer than the product's patience: what is looked at is who calls, not how busy this machine is."""


class Unguarded(AccessTokens):
    """The planted fault: whoever wants the lease gets it."""

    def _lease(self, tokens: StoredTokens) -> Lease | None:
        connection_id = tokens.connection.id
        with self.store.transaction() as tx:
            generation, epoch, _ = tx.tokens.reserve(connection_id)
            current = tx.tokens.current(connection_id)
        return None if current is None else Lease(uuid4(), connection_id, epoch, generation, current)


def main(arguments: list[str]) -> int:
    """Fork the callers, let them go at once, and wait for all."""
    count, connection_id, is_guarded = int(arguments[0]), UUID(arguments[1]), "--unguarded" not in arguments
    starts_at = time.monotonic() + 1.0 + count * 0.06
    children = [_fork(connection_id, starts_at, is_guarded=is_guarded) for _ in range(count)]
    return max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)


def _fork(connection_id: UUID, starts_at: float, *, is_guarded: bool) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _report(_ask(connection_id, starts_at, is_guarded=is_guarded))
            status = 0
        finally:
            os._exit(status)
    return child


def _ask(connection_id: UUID, starts_at: float, *, is_guarded: bool) -> dict[str, Any]:
    tokens = replace(build_services(load_config()).access_tokens, wait_s=WAIT_S)
    if not is_guarded:
        tokens = Unguarded(**{f.name: getattr(tokens, f.name) for f in fields(tokens)})
    time.sleep(max(0.0, starts_at - time.monotonic()))
    began = time.monotonic()
    try:
        answer: dict[str, Any] = {"token": tokens.get(connection_id, MIN_VALIDITY_S).token.sha256()}
    except LatchkeyError as error:
        answer = {"error": error.code}
    return answer | {"seconds": round(time.monotonic() - began, 2), "late": began > starts_at + 0.5}


def _report(answer: dict[str, Any]) -> None:
    # One write below the size of a pipe's buffer: lines of children never mix.
    os.write(sys.stdout.fileno(), (json.dumps(answer) + "\n").encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
