"""Read a Procfile: one `name: shell command` a line, `#` starts a comment line."""

import re
from dataclasses import dataclass
from pathlib import Path

_LINE = re.compile(r"(?P<name>[A-Za-z0-9_-]+):\s*(?P<command>\S.*)")


class ProcfileError(ValueError):
    """A line that is no process type, or a name that comes twice; the message names the line."""


@dataclass(frozen=True)
class ProcessType:
    """One kind of process of the product."""

    name: str
    command: str
    """For `sh`, variables unexpanded."""


def read_procfile(path: Path) -> dict[str, ProcessType]:
    """Return the process types by name, in the file's order. Raises ProcfileError."""
    found: dict[str, ProcessType] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise ProcfileError(f"{path.name} line {number} is not `name: command`")
        if match["name"] in found:
            raise ProcfileError(f"{path.name} line {number} names {match['name']} again")
        found[match["name"]] = ProcessType(match["name"], match["command"])
    return found
