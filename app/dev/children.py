"""Start child processes that cannot outlive their parent, and end them surely."""

import enum
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_LAUNCH = Path(__file__).with_name("launch.py")


class Unprivileged(enum.Enum):
    """How a child of root stops being root (`launch.py` explains both)."""

    USER_NAMESPACE = "user-namespace"
    NOBODY = "nobody"


def spawn(
    command: Sequence[str],
    *,
    death_signal: signal.Signals,
    output: int,
    env: Mapping[str, str] | None = None,
    unprivileged: Unprivileged | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own; it gets `death_signal` when this thread dies, however it dies.

    `output` is the file descriptor that takes standard output and error. `env` None: the parent's environment.
    The own session keeps the terminal's Ctrl-C away, so that the parent decides who stops when.
    """
    return subprocess.Popen(
        _launched(command, death_signal, unprivileged),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=env,
        # Nothing leaks: exec closes Python's descriptors, all but those made inheritable on purpose (the run's lock).
        close_fds=False,
        start_new_session=True,
    )


def run(
    command: Sequence[str], *, env: Mapping[str, str] | None = None, unprivileged: Unprivileged | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `command` to its end, under the same ties as `spawn`, and return its status and captured output."""
    return subprocess.run(
        _launched(command, signal.SIGKILL, unprivileged),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=env,
        text=True,
        check=False,
        start_new_session=True,
    )


def has_died(process: subprocess.Popen[bytes]) -> bool:
    """Say whether `process` has ended, and end what it left behind in its process group.

    The group is killed before the process is reaped: as long as the dead leader is there, its number cannot belong
    to anybody else.
    """
    if process.returncode is not None:
        return True
    if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        return False
    _kill_group(process.pid)
    process.wait()
    return True


def kill(process: subprocess.Popen[bytes]) -> None:
    """End `process` and its process group at once, and reap it."""
    if process.returncode is None:
        _kill_group(process.pid)
        process.wait()


def is_alive(number: int) -> bool:
    """Say whether a process with this number exists, whoever owns it."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def describe_status(status: int) -> str:
    """Say an exit status in words: a number, or the signal that ended the process (negative, as in subprocess)."""
    if status >= 0:
        return f"exit status {status}"
    return f"signal {signal.Signals(-status).name}"


def _launched(command: Sequence[str], death_signal: signal.Signals, unprivileged: Unprivileged | None) -> list[str]:
    mode = ["--unprivileged", unprivileged.value] if unprivileged else []
    ties = ["--parent", str(os.getpid()), "--death-signal", str(int(death_signal))]
    return [sys.executable, "-I", "-S", str(_LAUNCH), *ties, *mode, "--", *command]


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        # The leader is dead and was alone; or it has not become a leader yet, which a fresh session rules out.
        return
