"""Commands about provider applications: their state, their credentials, and an operator's word."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from app.bootstrap import build_services, read_configuration
from app.domain.errors import UnknownProvider
from app.domain.secret import Secret
from app.providers.secret_files import keep_newest, put_first
from app.services.provider_overview import ProviderStatus

Group: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001  # it has no other name


def status(_options: argparse.Namespace) -> None:
    """Print every provider: whether calls pass, what is wrong, and what to do."""
    for one in build_services(read_configuration()).provider_overview.all():
        sys.stdout.write("\n".join(_lines(one)) + "\n")


def check(options: argparse.Namespace) -> None:
    """Ask the provider once per client credential whether it accepts it; no grant is touched."""
    verdicts = build_services(read_configuration()).provider_overview.check_credentials(options.key)
    for number, verdict in enumerate(verdicts, start=1):
        sys.stdout.write(f"credential {number}{' (newest)' if number == 1 else ''}: {verdict}\n")
    if "accepted" not in verdicts:
        raise ValueError("the provider accepts none of them for certain")


def rotate_secret(options: argparse.Namespace) -> None:
    """Put a new client secret, read from standard input, before those in use; or drop those with --finish."""
    path = _secrets_file(options.key)
    try:
        if options.finish:
            dropped = keep_newest(path)
            sys.stdout.write(f"{path}: {dropped} older dropped, the newest stays. Delete them at the provider, too.\n")
            return
        count = put_first(path, _new_secret())
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; write the new secret as its first line by hand") from None
    sys.stdout.write(
        f"{path}: the new secret comes first of {count}; running processes use it within a second or two, and the "
        f"older ones while the provider refuses it.\n"
        f"Check: latchkey providers check {options.key}\n"
        f"When credential 1 is accepted: latchkey providers rotate-secret {options.key} --finish\n"
    )


def retry(options: argparse.Namespace) -> None:
    """Let the next call to a paused provider pass as a probe, without waiting for the cool-down."""
    was_open = build_services(read_configuration()).provider_overview.retry_now(options.key)
    sys.stdout.write("The next call is a probe.\n" if was_open else "Its calls are not paused.\n")


def believe(options: argparse.Namespace) -> None:
    """Say that the grants a provider refuses have really ended: for an hour it ends connections as usual."""
    build_services(read_configuration()).provider_overview.believe(options.key)
    sys.stdout.write("For an hour refused grants open no breaker and end their connections.\n")


def add_to(commands: Group) -> None:
    """Add the group ``providers``."""
    group = commands.add_parser("providers", help="Provider applications.").add_subparsers(
        required=True, metavar="command"
    )
    _command(group, "status", status)
    for name, command in (("check", check), ("rotate-secret", rotate_secret), ("retry", retry), ("believe", believe)):
        parser = _command(group, name, command)
        parser.add_argument("key", help="Key of the provider in the providers file.")
        if name == "rotate-secret":
            parser.add_argument("--finish", action="store_true", help="Keep the newest secret alone.")


def _command(group: Group, name: str, command: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
    summary = (command.__doc__ or "").strip().splitlines()[0]
    parser = group.add_parser(name, help=summary, description=summary)
    parser.set_defaults(command=command)
    return parser


def _lines(one: ProviderStatus) -> list[str]:
    health = one.health
    lines = [f"{one.key}: {one.kind}, rotation {one.rotation}, calls pass"]
    if health is not None and health.cause is not None and health.opened_at is not None:
        since = health.opened_at.isoformat(timespec="seconds")
        rest = f"for {health.open_for_s:.0f} s more" if health.open_for_s > 0 else "until a probe succeeds"
        lines[0] = f"{one.key}: {one.kind}, rotation {one.rotation}, CALLS PAUSED since {since}, {rest}"
        lines += [f"  cause {health.cause}, code {health.code}", f"  {one.advice}"]
    elif health is not None and health.resumption_per_s is not None:
        lines[0] += f", backlog worked off at {health.resumption_per_s:.1f} per second"
    if one.ending_in_a_week:
        lines.append(
            f"  {one.ending_in_a_week} grants end seven days after consent: the application is in test mode; publish it"
        )
    return lines


def _secrets_file(key: str) -> Path:
    table = read_configuration().file.providers.get(key)
    if table is None:
        raise UnknownProvider(key[:64])
    if not table.secret_files():
        raise ValueError(f"providers.{key}: move the secret into a client_secret_file first, and restart once")
    return table.secret_files()[0]


def _new_secret() -> Secret:
    """Read one line; asked for without showing it on a terminal, and never taken from the arguments others can see."""
    text = getpass.getpass("New client secret: ") if sys.stdin.isatty() else sys.stdin.readline()
    if not text.strip():
        raise ValueError("no secret came on standard input")
    return Secret(text.strip())
