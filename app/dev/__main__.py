"""Dispatch `python -m app.dev COMMAND`; `dev.py` calls it once the virtual environment is complete."""

import sys
from collections.abc import Callable, Mapping, Sequence

from app.dev.checks import (
    bench_command,
    faults_command,
    lint_command,
    sandbox_command,
    test_command,
    types_command,
)
from app.dev.run import migrate_command, run_command

COMMANDS: Mapping[str, Callable[[Sequence[str]], int]] = {
    "run": run_command,
    "test": test_command,
    "lint": lint_command,
    "types": types_command,
    "migrate": migrate_command,
    "bench": bench_command,
    "faults": faults_command,
    "sandbox": sandbox_command,
}


def main(arguments: Sequence[str]) -> int:
    """Run the command named first with the rest as its arguments; return the exit status."""
    command = COMMANDS.get(arguments[0]) if arguments else None
    if command is None:
        sys.stderr.write(f"commands: {' '.join(COMMANDS)}\n")
        return 2
    try:
        return command(arguments[1:])
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
