"""Commands about people's grants: those that are dead, those nobody uses."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TypeAlias

from app.bootstrap import build_services, read_configuration
from app.services.grant_care import GrantCare

Group: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001  # it has no other name


def reap(options: argparse.Namespace) -> None:
    """Delete the tokens and data keys of connections that have long needed their person; the connections stay."""
    care = _care(options.days, None)
    days = care.settings.reap_after.days
    grants = care.dead() if options.dry_run else care.reap()
    sys.stdout.write(f"criteria: state needs_reconnect for {days} days or longer, and tokens still stored\n")
    for grant in grants:
        since = grant.since.isoformat(timespec="seconds")
        sys.stdout.write(f"{grant.connection_id} {grant.provider} {grant.reason} since {since}\n")
    sys.stdout.write(f"{len(grants)} {'would lose' if options.dry_run else 'lost'} their tokens\n")


def idle(options: argparse.Namespace) -> None:
    """List grants nobody used, and say what becomes of them."""
    care = _care(None, options.days)
    grants = care.idle()
    policy, days = care.settings.idle_policy, care.settings.idle_after.days
    sys.stdout.write(
        f"criteria: active, no token handed out for {days} days, no calendar kept up to date; policy {policy}\n"
    )
    for grant in grants:
        used = grant.used_at.isoformat(timespec="seconds")
        sys.stdout.write(f"{grant.connection_id} {grant.provider} unused since {used}\n")
    sys.stdout.write(f"{len(grants)} idle\n")


def add_to(commands: Group) -> None:
    """Add the group ``grants``."""
    group = commands.add_parser("grants", help="People's grants.").add_subparsers(required=True, metavar="command")
    reaping = _command(group, "reap", reap)
    reaping.add_argument("--dry-run", action="store_true", help="Only list them.")
    listing = _command(group, "idle", idle)
    for parser in (reaping, listing):
        parser.add_argument("--days", type=int, help="Instead of the days in the configuration; at least one.")


def _command(group: Group, name: str, command: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
    summary = (command.__doc__ or "").strip().splitlines()[0]
    parser = group.add_parser(name, help=summary, description=summary)
    parser.set_defaults(command=command)
    return parser


def _care(reap_days: int | None, idle_days: int | None) -> GrantCare:
    if any(days is not None and days < 1 for days in (reap_days, idle_days)):
        raise ValueError("--days must be at least 1")
    care = build_services(read_configuration()).grant_care
    settings = replace(
        care.settings,
        reap_after=timedelta(days=reap_days) if reap_days else care.settings.reap_after,
        idle_after=timedelta(days=idle_days) if idle_days else care.settings.idle_after,
    )
    return replace(care, settings=settings)
