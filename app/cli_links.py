"""Commands about connect links."""

from __future__ import annotations

import argparse
import sys

from app.bootstrap import build_services, read_configuration


def allow_return(options: argparse.Namespace) -> None:
    """Let a service's connect links send people back to exactly this address."""
    build_services(read_configuration()).connect_links.allow_return(options.name, options.uri)
    sys.stdout.write(f"Connect links of {options.name} may lead back to {options.uri}\n")


def add_to_services(services: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the group ``services``."""
    summary = (allow_return.__doc__ or "").strip()
    allowing = services.add_parser("allow-return", help=summary, description=summary)
    allowing.add_argument("name", help="Name of the service.")
    allowing.add_argument("uri", help="Whole address; https, or http on this machine. Compared as it is written.")
    allowing.set_defaults(command=allow_return)
