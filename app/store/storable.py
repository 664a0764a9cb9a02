"""Text as PostgreSQL can hold it.

Providers send whatever people and programs put into a calendar. PostgreSQL refuses the character U+0000 and
lone surrogates, in text and in JSON; one such title must not stop a calendar from being synced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import overload


@overload
def storable_text(value: str) -> str: ...
@overload
def storable_text(value: None) -> None: ...
def storable_text(value: str | None) -> str | None:
    """Return ``value`` without U+0000 and with lone surrogates replaced; null stays null."""
    if value is None or (value.isascii() and "\0" not in value):
        return value
    return value.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def storable(value: object) -> object:
    """Return a JSON-like ``value`` with every text made storable; sequences become lists."""
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, Mapping):
        return {storable_text(str(key)): storable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [storable(item) for item in value]
    return value
