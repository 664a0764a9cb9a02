"""The command line: ``python -m app.cli`` or ``latchkey``.

Every command says what it did in one line and exits with 0, or says what is wrong and exits with 1.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from app.bootstrap import build_services, check_surroundings
from app.config import describe, load_config
from app.domain.errors import ConfigurationError, LatchkeyError
from app.domain.features import Feature
from app.store.migrating import upgrade

Command = Callable[[argparse.Namespace], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    command: Command = options.command
    try:
        command(options)
    except ConfigurationError as error:
        sys.stderr.write("Latchkey cannot start:\n" + "".join(f"  - {fault}\n" for fault in error.faults))
        return 1
    except (LatchkeyError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def check(_options: argparse.Namespace) -> None:
    """Print the configuration without secrets and everything that is wrong with it and around it."""
    config = load_config()
    sys.stdout.write("\n".join(describe(config)) + "\n")
    check_surroundings(config)
    sys.stdout.write("Everything this installation needs answers.\n")


def migrate(_options: argparse.Namespace) -> None:
    """Bring the database schema up to date."""
    url = os.environ.get("DATABASE_URL")
    if not url:
        raise ConfigurationError(["DATABASE_URL is not set"])
    upgrade(url)
    sys.stdout.write("The schema is up to date.\n")


def services_add(options: argparse.Namespace) -> None:
    """Register an internal service and print its secret, this once."""
    features = tuple(Feature(name) for name in options.feature) or tuple(Feature)
    secret = build_services(load_config()).clients.add(options.name, features, options.provider)
    sys.stdout.write(f"{secret.reveal()}\n")


def services_rotate_secret(options: argparse.Namespace) -> None:
    """Print a new secret of a service; the one before stays valid until the next rotation."""
    sys.stdout.write(f"{build_services(load_config()).clients.rotate_secret(options.name).reveal()}\n")


def sandbox(options: argparse.Namespace) -> None:
    """Run the provider sandbox on its own; see ``python -m app.sandbox --help``."""
    os.execv(sys.executable, [sys.executable, "-m", "app.sandbox", *options.arguments])  # noqa: S606  # our own module


def dev(options: argparse.Namespace) -> None:
    """Run everything on this machine, with embedded servers and the sandbox."""
    os.execv(sys.executable, [sys.executable, "-m", "app.dev", "run", *options.arguments])  # noqa: S606  # our own module


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="latchkey", description="Connector service for delegated access.")
    commands = parser.add_subparsers(required=True, metavar="command")
    _add(commands, "check", check)
    _add(commands, "migrate", migrate)
    services = commands.add_parser("services", help="Internal services.").add_subparsers(required=True)
    adding = _add(services, "add", services_add)
    adding.add_argument("name", help="Name the service authenticates with.")
    adding.add_argument("--provider", help="Provider key the policy is for; any when left out.")
    adding.add_argument(
        "--feature", action="append", default=[], choices=[str(f) for f in Feature],
        help="What the service may use; repeat for several, all when left out.",
    )  # fmt: skip
    rotating = _add(services, "rotate-secret", services_rotate_secret)
    rotating.add_argument("name", help="Name of the service.")
    for name, command in (("sandbox", sandbox), ("dev", dev)):
        _add(commands, name, command).add_argument("arguments", nargs=argparse.REMAINDER)
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, command: Command
) -> argparse.ArgumentParser:
    summary = (command.__doc__ or "").strip().splitlines()[0]
    parser = commands.add_parser(name, help=summary, description=summary)
    parser.set_defaults(command=command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
