"""Processes and their descent, read from /proc: to find a program's children and to see that they are gone."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path


class Family:
    """The processes below one; each known by number and time of birth, as numbers are given out again."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._members: dict[tuple[int, str], str] = {}

    def look(self) -> None:
        """Write down who is there now. Once the run is gone, its children are nobody's and cannot be found."""
        for pid in descendants(self._root, parents_of_all()):
            if (born := born_at(pid)) is not None:
                self._members[pid, born] = command_line(pid)

    def survivors(self) -> list[str]:
        return [f"{pid} {command[:120]}" for (pid, born), command in self._members.items() if born_at(pid) == born]

    def kill(self) -> None:
        for pid, born in self._members:
            if born_at(pid) == born:
                os.kill(pid, signal.SIGKILL)


def parents_of_all() -> dict[int, int]:
    """Return every process of this machine with its parent."""
    numbers = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    stats = {number: status_fields(number) for number in numbers}
    return {number: int(stat[1]) for number, stat in stats.items() if stat}


def descendants(pid: int, parents: Mapping[int, int]) -> list[int]:
    children = [child for child, parent in parents.items() if parent == pid]
    return children + [below for child in children for below in descendants(child, parents)]


def born_at(pid: int) -> str | None:
    """Return the start time of a process in clock ticks since boot; None when it is gone or a zombie."""
    stat = status_fields(pid)
    return None if stat is None or stat[0] == "Z" else stat[19]


def status_fields(pid: int) -> list[str] | None:
    """Return the fields of proc_pid_stat(5) from the state on; the name before it may contain anything."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(") ")[2].split()


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
