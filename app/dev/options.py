"""Read the command lines of `run` and `migrate`."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WEB_PORT = 8080
SANDBOX_PORT = 8090


@dataclass(frozen=True)
class RunOptions:
    """What the command line of `run` asks for."""

    data_dir: Path
    procfile: Path
    port: int | None
    """None: choose one."""
    sandbox_port: int | None
    """None: choose one."""
    token_lifetime_s: int
    """Lifetime of the sandbox's access tokens."""
    has_sandbox: bool
    is_reset: bool


@dataclass(frozen=True)
class MigrateOptions:
    """What the command line of `migrate` asks for."""

    data_dir: Path
    procfile: Path


def parse_run(arguments: Sequence[str]) -> RunOptions:
    """Return the options of `run`; print help or the mistake and leave with SystemExit where argparse does."""
    parser = argparse.ArgumentParser(
        prog="dev.py run",
        description="Run Latchkey with an embedded PostgreSQL and Redis and the provider sandbox.",
        epilog="DATABASE_URL and REDIS_URL make it use those servers. LATCHKEY_PROVIDERS_FILE makes it use the "
        "providers named there, without the sandbox.",
    )
    parser.add_argument("--port", type=int, help=f"port of the web pages (default {WEB_PORT}, or a free one)")
    parser.add_argument("--sandbox-port", type=int, help=f"port of the sandbox (default {SANDBOX_PORT}, or a free one)")
    parser.add_argument(
        "--token-lifetime",
        type=int,
        default=90,
        metavar="SECONDS",
        help="lifetime of the sandbox's access tokens (default 90, so that refreshing can be watched)",
    )
    parser.add_argument("--no-sandbox", action="store_true", help="do not start the provider sandbox")
    parser.add_argument("--reset", action="store_true", help="first delete the data, keys and secrets of earlier runs")
    _add_places(parser)
    given = parser.parse_args(arguments)
    return RunOptions(
        data_dir=given.data_dir,
        procfile=given.procfile,
        port=given.port,
        sandbox_port=given.sandbox_port,
        token_lifetime_s=given.token_lifetime,
        has_sandbox=not given.no_sandbox and not os.environ.get("LATCHKEY_PROVIDERS_FILE"),
        is_reset=given.reset,
    )


def parse_migrate(arguments: Sequence[str]) -> MigrateOptions:
    """Return the options of `migrate`; leaves with SystemExit as `parse_run`."""
    parser = argparse.ArgumentParser(
        prog="dev.py migrate",
        description="Bring the database to the newest schema: the one DATABASE_URL names, else the embedded one.",
    )
    _add_places(parser)
    given = parser.parse_args(arguments)
    return MigrateOptions(data_dir=given.data_dir, procfile=given.procfile)


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", type=_absolute, default=ROOT / ".latchkey", help="where the run keeps its data")
    parser.add_argument("--procfile", type=_absolute, default=ROOT / "Procfile", help="list of processes to run")


def _absolute(text: str) -> Path:
    return Path(text).absolute()
