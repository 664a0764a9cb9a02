"""Which workload tokens stand for a service: a pattern for their subject.

A pattern is a subject, printed as the issuer writes it, in which ``*`` stands for one or more characters inside one
segment. Segments are divided by ``:`` and ``/``, so ``system:serviceaccount:prod:*`` is every service account of one
namespace and never of another, and ``repo:acme/app:ref:refs/heads/*`` is no tag. There is nothing else: no ``**``,
no character classes, no escape. A pattern without a single literal segment is refused.

Subjects: Kubernetes writes ``system:serviceaccount:<namespace>:<name>``; others document theirs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

LONGEST_PATTERN = 255
_DIVIDERS = re.compile(r"([:/])")
_ALLOWED = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True)
class SubjectPattern:
    """One pattern; raises ``ValueError`` when it is none."""

    text: str

    def __post_init__(self) -> None:
        if len(self.text) > LONGEST_PATTERN or not _ALLOWED.fullmatch(self.text) or "**" in self.text:
            raise ValueError("a pattern has 1 to 255 printable ASCII characters, no space and no **")
        if all("*" in segment for segment in _DIVIDERS.split(self.text)[::2]):
            raise ValueError("a pattern needs at least one segment without *")

    def matches(self, subject: str) -> bool:
        """Return whether ``subject`` is one of those meant."""
        return self._expression.fullmatch(subject) is not None

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        # Dividers and literal text are escaped piece by piece; only the star means something.
        return re.compile("[^:/]+".join(re.escape(piece) for piece in self.text.split("*")))
