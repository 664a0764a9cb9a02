"""The command line: ``python -m app.cli`` or ``latchkey``.

Every command says what it did in one line and exits with 0, or says what is wrong and exits with 1.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from app import cli_audit, cli_grants, cli_links, cli_policy, cli_providers, cli_services
from app.bootstrap import check_surroundings, read_configuration
from app.config import describe
from app.domain.errors import ConfigurationError, LatchkeyError

Command = Callable[[argparse.Namespace], None]

_HANDED_ON = {"sandbox": ("app.sandbox",), "dev": ("app.dev", "run"), "openapi": ("app.cli_openapi",)}
"""Commands that are programs of their own."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in _HANDED_ON:
        # Everything behind the name belongs to the other program, its options and --help too.
        module = _HANDED_ON[given[0]]
        os.execv(sys.executable, [sys.executable, "-m", *module, *given[1:]])  # noqa: S606  # our own modules
    options = _parser().parse_args(given)
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
    config = read_configuration()
    sys.stdout.write("\n".join(describe(config)) + "\n")
    check_surroundings(config)
    sys.stdout.write("Everything this installation needs answers.\n")


def migrate(_options: argparse.Namespace) -> None:
    """Bring the database schema up to date."""
    url = os.environ.get("DATABASE_URL")
    if not url:
        raise ConfigurationError(["DATABASE_URL is not set"])
    from app.store.migrating import upgrade  # noqa: PLC0415  # a quarter of a start; no other command migrates

    upgrade(url)
    sys.stdout.write("The schema is up to date.\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="latchkey", description="Connector service for delegated access.")
    commands = parser.add_subparsers(required=True, metavar="command")
    _add(commands, "check", check)
    _add(commands, "migrate", migrate)
    cli_links.add_to_services(cli_services.add_to(commands))
    cli_policy.add_to(commands)
    cli_audit.add_to(commands)
    cli_providers.add_to(commands)
    cli_grants.add_to(commands)
    commands.add_parser("openapi", help="Print the OpenAPI document of the interface for services.")
    commands.add_parser("sandbox", help="Run the provider sandbox on its own.")
    commands.add_parser("dev", help="Run everything on this machine, with embedded servers and the sandbox.")
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
