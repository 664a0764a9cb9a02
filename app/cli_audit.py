"""Commands about the audit log."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import TypeAlias
from uuid import UUID

from app.bootstrap import build_services, read_configuration
from app.domain.audit import Head, LoggedEntry

Group: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001  # it has no other name


def verify(options: argparse.Namespace) -> None:
    """Recompute the chain of the whole log and print its head; fails at the first entry that is not as written."""
    verdict = build_services(read_configuration()).audit.verify(options.head)
    if verdict.fault is not None:
        raise ValueError(f"sound up to {verdict.head.seq}; entry {verdict.head.seq + 1} is {verdict.fault}")
    for seq, key_id in verdict.keys:
        sys.stdout.write(f"from entry {seq} on under key {key_id.hex()}\n")
    sys.stdout.write(f"head {verdict.head.seq}:{verdict.head.mac.hex()}\n")


def export(options: argparse.Namespace) -> None:
    """Print the log as JSON, one entry a line, oldest first."""
    entries = build_services(read_configuration()).audit.entries(
        options.since, person_id=options.person, connection_id=options.connection
    )
    for logged in entries:
        sys.stdout.write(json.dumps(_document(logged)) + "\n")


def add_to(commands: Group) -> None:
    """Add the group ``audit``."""
    group = commands.add_parser("audit", help="The audit log.").add_subparsers(required=True, metavar="command")
    _command(group, "verify", verify).add_argument(
        "--head", type=_head, metavar="SEQ:MAC",
        help="A head printed earlier and kept elsewhere: only it shows that entries were cut off the end.",
    )  # fmt: skip
    exporting = _command(group, "export", export)
    exporting.add_argument("--since", type=int, default=0, metavar="SEQ", help="Only entries after this one.")
    exporting.add_argument("--person", type=UUID, metavar="ID", help="Only entries about this person.")
    exporting.add_argument("--connection", type=UUID, metavar="ID", help="Only entries about this connection.")


def _command(group: Group, name: str, command: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
    summary = (command.__doc__ or "").strip().splitlines()[0]
    parser = group.add_parser(name, help=summary, description=summary)
    parser.set_defaults(command=command)
    return parser


def _head(text: str) -> Head:
    seq, _, mac = text.partition(":")
    return Head(int(seq), bytes.fromhex(mac))


def _document(logged: LoggedEntry) -> dict[str, object]:
    entry = logged.entry
    ids = {"service_id": entry.service_id, "person_id": entry.person_id, "connection_id": entry.connection_id}
    return {
        "seq": logged.seq,
        "id": str(entry.id),
        "kind": entry.kind,
        "at": entry.at.isoformat(),
        "recorded_at": logged.recorded_at.isoformat(),
        **{name: None if value is None else str(value) for name, value in ids.items()},
        "detail": entry.detail,
        "key_id": logged.key_id.hex(),
        "mac": logged.mac.hex(),
    }
