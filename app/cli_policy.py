"""Commands about policies: what each service may ask for. Changes take effect on every process within a second."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

from app.bootstrap import build_services, read_configuration
from app.domain.features import Feature
from app.domain.policies import Terms
from app.policy_file import read_policies, terms_lines, write_policies
from app.services.policy_admin import PolicyAdmin

Group: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001  # it has no other name


def show(_options: argparse.Namespace) -> None:
    """List every service with its policies and their ids."""
    for name, policies in _admin().all().items():
        sys.stdout.write(f"{name}{'' if policies else ': nothing is allowed'}\n")
        for policy in policies:
            sys.stdout.write(f"  {policy.id}  {', '.join(terms_lines(policy.terms))}\n")


def allow(options: argparse.Namespace) -> None:
    """Add a policy to a service."""
    terms = Terms(
        provider=options.provider,
        features=frozenset(Feature(name) for name in options.feature),
        purposes=frozenset(options.purpose) if options.purpose else None,
        people=frozenset(word.lower() for word in options.person) if options.person else None,
        valid_until=options.until,
        max_per_hour=options.max_per_hour,
        act_as=options.act_as,
    )
    policy = _admin().allow(options.name, terms)
    sys.stdout.write(f"{policy.id}\n")


def remove(options: argparse.Namespace) -> None:
    """Remove a policy."""
    policy = _admin().remove(options.id)
    sys.stdout.write(f"Removed {policy.id}: {', '.join(terms_lines(policy.terms))}\n")


def bring_in(options: argparse.Namespace) -> None:
    """Make a file the whole policy of the services it names, and print what changes."""
    try:
        text = options.file.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{options.file}: {error.strerror}") from error
    wanted = read_policies(text)
    differences = _admin().replace(wanted, is_dry_run=options.dry_run)
    for difference in differences:
        sys.stdout.write(f"{difference.service}\n")
        for policy in difference.removed:
            sys.stdout.write(f"  - {policy.id}  {', '.join(terms_lines(policy.terms))}\n")
        for terms in difference.added:
            sys.stdout.write(f"  + {', '.join(terms_lines(terms))}\n")
    if not differences:
        sys.stdout.write("Nothing to change.\n")
    elif options.dry_run:
        sys.stdout.write("Nothing was changed.\n")


def export(_options: argparse.Namespace) -> None:
    """Print all policies as a file that can be imported."""
    sys.stdout.write(write_policies({name: [p.terms for p in held] for name, held in _admin().all().items()}))


def add_to(commands: Group) -> None:
    """Add the group ``policy``."""
    group = commands.add_parser("policy", help="What services may ask for.").add_subparsers(
        required=True, metavar="command"
    )
    _command(group, "list", show)
    _add_terms(_command(group, "allow", allow))
    _command(group, "remove", remove).add_argument("id", type=UUID, help="As `policy list` shows it.")
    importing = _command(group, "import", bring_in)
    importing.add_argument("file", type=Path, help="TOML; `policy export` shows the form.")
    importing.add_argument("--dry-run", action="store_true", help="Only print what would change.")
    _command(group, "export", export)


def _add_terms(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="Name of the service.")
    parser.add_argument("--provider", help="Provider key; any when left out.")
    parser.add_argument(
        "--feature", action="append", required=True, choices=[str(f) for f in Feature],
        help="What may be used; repeat for several.",
    )  # fmt: skip
    parser.add_argument("--purpose", action="append", help="Purpose it is for; repeat for several; any when left out.")
    parser.add_argument(
        "--person", action="append", metavar="SELECTOR",
        help="person:ID or tenant:TENANT; repeat for several; everyone when left out.",
    )  # fmt: skip
    parser.add_argument("--until", type=_moment, metavar="WHEN", help="ISO 8601 date or time; UTC unless it says.")
    parser.add_argument("--max-per-hour", type=int, metavar="N", help="Most hand-outs in a clock hour.")
    parser.add_argument("--act-as", action="store_true", help="Let the service name people without a token of theirs.")


def _admin() -> PolicyAdmin:
    return build_services(read_configuration()).policies


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _command(group: Group, name: str, command: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
    summary = (command.__doc__ or "").strip().splitlines()[0]
    parser = group.add_parser(name, help=summary, description=summary)
    parser.set_defaults(command=command)
    return parser
