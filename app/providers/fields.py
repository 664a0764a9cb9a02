"""Read fields of a provider's JSON object without trusting any of them.

A field of the wrong type reads as absent: one odd item must never stop a calendar. Texts come out storable: without
NUL characters and unpaired surrogates, which JSON allows and PostgreSQL does not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

Item = Mapping[str, object]

_MOST_CHARACTERS = 64 * 1024
_MOST_INTEGER = 2**31 - 1


def text(item: Item, name: str, most: int = _MOST_CHARACTERS) -> str | None:
    """Return a text field, cut to ``most`` characters; null when absent, empty or no text."""
    value = item.get(name)
    return (storable(value)[:most] or None) if isinstance(value, str) else None


def link(item: Item, name: str) -> str | None:
    """Return a text field that is a web address; null for anything a page should not link to."""
    value = text(item, name)
    return value if value is not None and value.lower().startswith(("https://", "http://")) else None


def unknown_values(said: Mapping[str, str | None], known: Mapping[str, Collection[str]]) -> dict[str, str] | None:
    """Return what of ``said`` is none of the words ``known`` for its name; null when all is known or absent."""
    unknown = {name: value for name, value in said.items() if value is not None and value not in known[name]}
    return unknown or None


def flag(item: Item, name: str) -> bool:
    """Return whether a field is exactly true."""
    return item.get(name) is True


def whole(item: Item, name: str) -> int | None:
    """Return a whole number that fits 31 bits; null otherwise."""
    value = item.get(name)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and isinstance(value, int) and 0 <= value <= _MOST_INTEGER else None


def child(item: Item, name: str) -> Item:
    """Return an object field; empty when absent or no object."""
    value = item.get(name)
    return value if isinstance(value, Mapping) else {}


def children(item: Item, name: str) -> tuple[Item, ...]:
    """Return the objects of a list field; empty when absent or no list."""
    return tuple(value for value in listed(item, name) if isinstance(value, Mapping))


def listed(item: Item, name: str) -> Sequence[object]:
    """Return a list field; empty when absent or no list."""
    value = item.get(name)
    return value if isinstance(value, list) else ()


def instant(item: Item, name: str) -> datetime | None:
    """Return a time field with an offset as aware UTC; null when absent, unreadable or without offset."""
    value = item.get(name)
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def storable(value: str) -> str:
    """Return ``value`` without what PostgreSQL's text and jsonb refuse."""
    return value.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def storable_json(value: object) -> object:
    """Return a JSON value with all its texts storable."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {storable(str(name)): storable_json(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [storable_json(inner) for inner in value]
    return value
