"""Run the checks, the tests and the measurements as child programs in the terminal."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from app.dev.options import ROOT

# Two processes: more would only fight over the databases on a small machine.
_TEST_PROCESSES = "2"
FAILED_CHECKS = "LATCHKEY_FAILED_CHECKS"
"""Environment variable by which the test run is told which checks failed before it, to repeat it at its end."""

_LINT: Mapping[str, Sequence[str]] = {
    "import contracts": ("lint-imports",),
    "lint": ("ruff", "check", "."),
    "format": ("ruff", "format", "--check", "."),
}
_TYPES: Mapping[str, Sequence[str]] = {"types": ("mypy",)}


def test_command(arguments: Sequence[str]) -> int:
    """Run all checks and then all tests; with arguments only pytest, with them."""
    failed = [] if arguments else _failing({**_LINT, **_TYPES})
    print("== tests", flush=True)
    status = _call(_pytest(*(arguments or ["-n", _TEST_PROCESSES])), {FAILED_CHECKS: ", ".join(failed)})
    return status or int(bool(failed))


def lint_command(arguments: Sequence[str]) -> int:
    """Check import contracts, lint and format; with arguments `ruff check` with them."""
    if arguments:
        return _call(_program("ruff", "check", *arguments))
    return int(bool(_failing(_LINT)))


def types_command(arguments: Sequence[str]) -> int:
    """Check types; arguments go to mypy."""
    return _call(_program("mypy", *arguments))


def bench_command(arguments: Sequence[str]) -> int:
    """Run one measurement of `tests/bench` by name, with the rest of the arguments; without a name list them."""
    names = sorted(path.stem for path in (ROOT / "tests" / "bench").glob("[!_]*.py") if path.stem != "conftest")
    if arguments and arguments[0] in names:
        return _call([sys.executable, "-m", f"tests.bench.{arguments[0]}", *arguments[1:]])
    print(f"measurements: {' '.join(names) or 'none yet'}")
    return 2 if arguments else 0


def faults_command(arguments: Sequence[str]) -> int:
    """Run the fault experiments of `tests/faults`; arguments go to pytest."""
    return _call(_pytest("tests/faults", *arguments))


def sandbox_command(arguments: Sequence[str]) -> int:
    """Run the provider sandbox alone; arguments go to it."""
    return _call([sys.executable, "-m", "app.sandbox", *arguments])


def _failing(checks: Mapping[str, Sequence[str]]) -> list[str]:
    """Run all checks, each to its end, and return the names of those that failed."""
    failed = []
    for name, command in checks.items():
        print(f"== {name}", flush=True)
        if _call(_program(*command)) != 0:
            print(f"== {name} FAILED", flush=True)
            failed.append(name)
    return failed


def _pytest(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", *arguments]


def _program(name: str, *arguments: str) -> list[str]:
    """Return the command line of a program installed beside this interpreter."""
    return [str(Path(sys.executable).with_name(name)), *arguments]


def _call(command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    return subprocess.call(command, cwd=ROOT, env=os.environ | (environment or {}))
