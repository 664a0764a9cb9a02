"""What passes between a conversation and whoever carries it: calls to make, pauses to take, answers that came.

Conversations are generators that do no input or output, so that threads and asyncio run the very same steps.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

LONGEST_ANSWER_BYTES = 262_144
"""Far above any answer of Latchkey's; a reader must not be filled by something that is not Latchkey."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """A POST to make."""

    path: str
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pause:
    """A time to wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ServiceTokenWanted:
    """A service token to use, renewed if need be; `instead_of` names one that was refused, null at first."""

    instead_of: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `status` 0 means that no answer came, because the connection failed."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Names in lower case."""
    content: bytes = field(default=b"", repr=False)

    def members(self) -> Mapping[str, object]:
        """Return the members of the JSON object in the body; none when it holds anything else."""
        try:
            body = json.loads(self.content)
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}

    def retry_after_s(self) -> float | None:
        """Return the seconds of `Retry-After` (RFC 9110 section 10.2.3); null without, or with a date."""
        text = self.headers.get("retry-after", "")
        return float(text) if text.isascii() and text.isdecimal() else None


NO_ANSWER = Answer(0)

Step = Call | Pause | ServiceTokenWanted
Conversation = Generator[Step, Answer | str | None, T]
"""Yields a `Call` for an `Answer`, a `ServiceTokenWanted` for its text, a `Pause` for nothing; returns the result."""
