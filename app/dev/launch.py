"""Tie a process to its parent's life, give up root if asked, then become the wanted program.

Run as a script (`python -I -S launch.py --parent PID --death-signal N [--unprivileged MODE] -- PROGRAM ARGUMENTS`)
between fork and exec. A script and not a `preexec_fn`, because code between fork and exec of a program with threads
may deadlock, and because its errors can be told in words. Standard library only, since it runs without site packages.

Exit status 126: the process could not be prepared; 127: the program was not found. Neither is used after the exec.
"""

import argparse
import ctypes
import os
import pwd
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

CANNOT_PREPARE = 126
NOT_FOUND = 127

# linux/sched.h, linux/prctl.h, linux/capability.h
_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522


def main(arguments: Sequence[str]) -> int:
    """Prepare this process as the arguments say and exec the program; return a status only on failure."""
    options = _parser().parse_args(arguments)
    try:
        _prepare(options)
        os.execvp(options.program[0], options.program)  # noqa: S606 - replacing this process is the purpose
    except FileNotFoundError as error:
        sys.stderr.write(f"cannot start {options.program[0]}: {error.strerror}\n")
        return NOT_FOUND
    except OSError as error:
        sys.stderr.write(f"cannot prepare {options.program[0]}: {error}\n")
        return CANNOT_PREPARE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--death-signal", type=int, required=True)
    parser.add_argument("--unprivileged", choices=("user-namespace", "nobody"))
    parser.add_argument("program", nargs="+")
    return parser


def _prepare(options: argparse.Namespace) -> None:
    if options.unprivileged == "user-namespace":
        _enter_user_namespace()
    if options.unprivileged == "nobody":
        _become_nobody()
    # Only now: a change of credentials clears the death signal.
    if sys.platform == "linux":
        _check(_libc().prctl(_PR_SET_PDEATHSIG, options.death_signal, 0, 0, 0))
    # The parent may have died before the signal was set; then nobody would ever stop us.
    if os.getppid() != options.parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _enter_user_namespace() -> None:
    """Become an ordinary user inside a namespace of our own; to the file system we stay root (user_namespaces(7))."""
    inside = _ordinary_user()
    _check(_libc().unshare(_CLONE_NEWUSER))
    # Without this the kernel refuses the group map.
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{inside.pw_uid} 0 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{inside.pw_gid} 0 1", encoding="ascii")


def _become_nobody() -> None:
    """Change to an ordinary user that keeps one right of root: reaching files in folders closed to others.

    Containers commonly forbid user namespaces and commonly allow this (capabilities(7), ambient set).
    """
    user = _ordinary_user()
    _check(_libc().prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    bit = 1 << _CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    effective_permitted_inheritable = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
    _check(_libc().capset(header, effective_permitted_inheritable))
    _check(_libc().prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0))


def _ordinary_user() -> pwd.struct_passwd:
    """Return the user to become: initdb insists on one that has a name."""
    users = [user for user in pwd.getpwall() if user.pw_uid != 0]
    if not users:
        raise OSError("there is no ordinary user in the user database")
    return next((user for user in users if user.pw_name == "nobody"), users[0])


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
