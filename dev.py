#!/usr/bin/env python3
"""Set Latchkey up on this machine and run one of its development commands.

Needs Python 3.11 or later and access to a package index, nothing else. Makes a virtual environment in `.venv`, installs
the hash-locked requirements with pip (again only when the lock changes), and hands over to `app.dev` inside it.
"""

from __future__ import annotations  # lets an old Python get as far as the message that it is too old

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
MARKER = VENV / ".latchkey-installed.json"

RUN_LOCK = "requirements-embedded.lock"
DEV_LOCK = "requirements-dev.lock"
# What satisfies a lock: the development lock pins everything of the other one, too.
SATISFIED_BY = {RUN_LOCK: (RUN_LOCK, DEV_LOCK), DEV_LOCK: (DEV_LOCK,)}

COMMANDS = {
    "run": (RUN_LOCK, "start everything with embedded servers and the provider sandbox (--help for options)"),
    "test": (DEV_LOCK, "check import contracts, style and types, then run all tests; arguments go to pytest alone"),
    "lint": (DEV_LOCK, "check import contracts, style and format"),
    "types": (DEV_LOCK, "check types"),
    "migrate": (RUN_LOCK, "bring the database to the newest schema"),
    "bench": (DEV_LOCK, "measure: bench NAME; without a name list the measurements"),
    "faults": (DEV_LOCK, "run the fault experiments; arguments go to pytest"),
    "sandbox": (RUN_LOCK, "run the provider sandbox alone (--help for options)"),
}
NEEDS_BROWSER = ("test", "faults")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class SetupError(Exception):
    """The machine lacks something; the message says what and how to get it."""


def main(arguments: Sequence[str]) -> int:
    """Prepare for the command named first and become it; return a status only when that fails."""
    if sys.version_info < (3, 11):  # noqa: UP036 - an older one starts this file and must be told
        sys.stderr.write("Latchkey needs Python 3.11 or later; this is %d.%d.\n" % sys.version_info[:2])  # noqa: UP031 - for old versions
        return 1
    if not arguments or arguments[0] not in COMMANDS:
        print(usage())
        return 0 if not arguments or arguments[0] in ("help", "-h", "--help") else 2
    os.chdir(ROOT)
    try:
        install(COMMANDS[arguments[0]][0])
        if arguments[0] in NEEDS_BROWSER:
            ensure_browser()
    except SetupError as error:
        sys.stderr.write(f"dev.py: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    sys.stdout.flush()
    return os.execv(PYTHON, [str(PYTHON), "-m", "app.dev", *arguments])


def usage() -> str:
    """Return the list of commands."""
    lines = [f"  {name:<9}{purpose}" for name, (_, purpose) in COMMANDS.items()]
    return "\n".join(["usage: python3 dev.py COMMAND [ARGUMENTS]", "", *lines])


def install(lock: str) -> None:
    """Make the virtual environment and install `lock` into it, unless that has been done."""
    with _one_at_a_time():
        if _is_installed(lock):
            return
        pip = _pip()
        MARKER.unlink(missing_ok=True)
        _pip_install(pip, lock)
        _install_command()
        MARKER.write_text(json.dumps({lock: _digest(lock)}), encoding="utf-8")


def _install_command() -> None:
    """Put the command `latchkey` beside the environment's programs; the product itself runs from the checkout."""
    command = PYTHON.with_name("latchkey")
    command.write_text(
        f"#!{PYTHON}\nimport sys\n\nsys.path.insert(0, {str(ROOT)!r})\nfrom app.cli import main\n\nsys.exit(main())\n",
        encoding="utf-8",
    )
    command.chmod(0o755)


def _is_installed(lock: str) -> bool:
    # After an upgrade of the system's Python the environment is there, but another version looks into an empty folder.
    if not _works(
        str(PYTHON), "-c", "import importlib.util, sys; sys.exit(importlib.util.find_spec('celery') is None)"
    ):
        return False
    try:
        installed = json.loads(MARKER.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return any(installed.get(name) == _digest(name) for name in SATISFIED_BY[lock])


def _pip() -> list[str]:
    """Return the command line of a pip that installs into the virtual environment; make the environment if needed."""
    own = [str(PYTHON), "-m", "pip"]
    if _works(*own, "--version"):
        return own
    print(f"Making a virtual environment in {VENV.name} with Python {sys.version.split()[0]}", flush=True)
    if _works(sys.executable, "-m", "venv", "--clear", str(VENV)) and _works(*own, "--version"):
        return own
    # Debian keeps pip's part of venv in a package of its own; the pip outside can fill an environment without one.
    made = _works(sys.executable, "-m", "venv", "--clear", "--without-pip", str(VENV))
    outer = [sys.executable, "-m", "pip", "--python", str(PYTHON)]
    if made and _works(*outer, "--version"):
        return outer
    raise SetupError(
        "cannot make a virtual environment with pip: install the venv package of this Python "
        "(Debian: apt-get install python3-venv) or pip 22.3 or later."
    )


def _pip_install(pip: Sequence[str], lock: str) -> None:
    total = sum("==" in line for line in (ROOT / lock).read_text(encoding="utf-8").splitlines())
    print(f"Installing up to {total} packages of {lock}", flush=True)
    flags = ["--require-hashes", "--no-input", "--progress-bar", "off", "--disable-pip-version-check"]
    command = [*pip, "install", *flags, "-r", lock]
    lines: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            lines.append(line)
            _show_progress(line, sum(_is_step(seen) for seen in lines), total)
    if process.returncode != 0:
        sys.stderr.write("\n" + "".join(lines[-30:]))
        raise SetupError(f"pip could not install {lock}; its last lines are above.")
    print("\nInstalled." if sys.stdout.isatty() else "Installed.", flush=True)


def _is_step(line: str) -> bool:
    return line.startswith(("Collecting ", "Requirement already satisfied"))


def _show_progress(line: str, steps: int, total: int) -> None:
    if line.startswith("Installing collected packages"):
        print(("\r" if sys.stdout.isatty() else "") + "  unpacking                ", end="\n", flush=True)
    elif not _is_step(line):
        return
    elif sys.stdout.isatty():
        print(f"\r  {steps} of {total} fetched", end="", flush=True)
    elif steps % 20 == 0:
        print(f"  {steps} of {total} fetched", flush=True)


def find_browser() -> str | None:
    """Return the path of a Chromium, from LATCHKEY_CHROMIUM or PATH; None when there is none."""
    named = os.environ.get("LATCHKEY_CHROMIUM")
    if named:
        return shutil.which(named)
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def ensure_browser() -> None:
    """Have a Chromium for the browser tests; install Debian's when root may; else say how, and let those tests skip."""
    if find_browser() is None and os.geteuid() == 0 and shutil.which("apt-get"):
        print("Installing Chromium for the browser tests", flush=True)
        _apt_get("update", "-qq")
        _apt_get("install", "-y", "-qq", "--no-install-recommends", "chromium")
    browser = find_browser()
    if browser is None:
        print(
            "No Chromium found, so browser tests will be skipped. Install one (Debian: apt-get install chromium) "
            "or name its path in LATCHKEY_CHROMIUM.",
            flush=True,
        )
        return
    os.environ["LATCHKEY_CHROMIUM"] = browser


def _apt_get(*arguments: str) -> None:
    """Run apt-get without questions. A failure shows in its own words; the caller looks at what is there afterwards."""
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", *arguments], env=quiet, stdout=subprocess.DEVNULL, check=False)


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Keep two commands, started in two terminals, from installing into one another."""
    directory = ROOT / ".latchkey"
    directory.mkdir(mode=0o700, exist_ok=True)
    with (directory / "setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _works(*command: str) -> bool:
    try:
        return (
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0
        )
    except OSError:
        return False


def _digest(lock: str) -> str:
    return hashlib.sha256((ROOT / lock).read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
