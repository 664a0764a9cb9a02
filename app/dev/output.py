"""Show the output of several processes as one stream of lines, each with the name of its source."""

import os
from typing import TextIO

# Bright enough on light and dark terminals; red is left to errors.
_COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)
_LONGEST_LINE_BYTES = 64 * 1024


class Console:
    """Prefixes lines with a name; colours the prefix when the stream is a terminal and NO_COLOR is unset."""

    def __init__(self, stream: TextIO, *, width: int = 9) -> None:
        """Write to `stream`; `width` is the room for the longest name."""
        self._stream = stream
        self._width = width
        self._colours: dict[str, int] | None = {} if stream.isatty() and not os.environ.get("NO_COLOR") else None
        self.is_closed = False
        """The reader has gone (`… | head`); lines are dropped from then on."""

    def line(self, name: str, text: str) -> None:
        """Write one line under `name`."""
        self._write(f"{self._prefix(name)} {text}\n")

    def plain(self, text: str) -> None:
        """Write one line of our own, without a prefix."""
        self._write(f"{text}\n")

    def _prefix(self, name: str) -> str:
        label = f"{name:<{self._width}} |"
        if self._colours is None:
            return label
        colour = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
        return f"\x1b[{colour}m{label}\x1b[0m"

    def _write(self, text: str) -> None:
        if self.is_closed:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except BrokenPipeError:
            self.is_closed = True


class LineReader:
    """Reads lines from one non-blocking pipe; keeps an unfinished line for the next time."""

    def __init__(self, descriptor: int) -> None:
        """Take over `descriptor`, the reading end of a pipe."""
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self._rest = b""

    def read(self) -> tuple[list[str], bool]:
        """Return the lines that have arrived and whether the pipe is still open; never wait."""
        try:
            chunk = os.read(self.descriptor, _LONGEST_LINE_BYTES)
        except BlockingIOError:
            return [], True
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        # At the end, and for a program that never ends a line, what there is counts as a line.
        if self._rest and (not chunk or len(self._rest) >= _LONGEST_LINE_BYTES):
            lines.append(self._rest)
            self._rest = b""
        return [line.decode("utf-8", "replace").rstrip("\r") for line in lines], bool(chunk)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.descriptor)
