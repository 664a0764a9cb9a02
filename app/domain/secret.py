"""The type that carries tokens, codes and keys through the program without showing them.

``repr``, ``str`` and formatting give a fingerprint; pickling and copying into JSON raise, so that a
secret cannot reach a log line, a task argument or a template by accident.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import NoReturn


class Secret:
    """Text that must not be shown; ``reveal()`` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Wrap ``value``."""
        self._value = value

    def reveal(self) -> str:
        """Return the text; call it where the value leaves the program, nowhere else."""
        return self._value

    def sha256(self) -> str:
        """Return the lower-case hexadecimal SHA-256, for comparison with what a caller reports."""
        return hashlib.sha256(self._value.encode()).hexdigest()

    def fingerprint(self) -> str:
        """Return eight hexadecimal digits that tell two secrets apart in a log."""
        return self.sha256()[:8]

    def __repr__(self) -> str:
        return f"<secret {self.fingerprint()}>"

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self.sha256())

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled or copied")


class AccountToken(Secret):
    """An access token that says whose account it opens: what a provider counts per account needs that."""

    __slots__ = ("account",)

    account: str
    """The same for every token of the account, and for no other account."""

    @classmethod
    def of(cls, token: Secret, account: str) -> AccountToken:
        """Return ``token``, saying that it opens ``account``."""
        named = cls(token._value)  # noqa: SLF001 - a secret of its own kind
        named.account = account
        return named
