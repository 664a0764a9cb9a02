"""Read JSON that a provider sent, strictly.

``json.loads`` accepts ``NaN``, takes the last of duplicate keys, turns ``1e999`` into infinity, and lets deep
nesting end in a RecursionError. Two readers that disagree about one document are a weakness, so here every oddity
is refused in the same way.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from app.domain.errors import ProviderUnavailable

JSONObject = dict[str, object]

MAX_DEPTH = 64
"""Provider documents stay below ten; recurrence and extended properties add a few."""

DEFAULT_MAX_BYTES = 10 * 1024 * 1024
_UNREADABLE = object()


def read_json(body: bytes, *, max_bytes: int = DEFAULT_MAX_BYTES, max_depth: int = MAX_DEPTH) -> object:
    """Return the decoded document; raises ``ProviderUnavailable('bad_json')`` unless it is strict JSON."""
    if len(body) > max_bytes:
        raise ProviderUnavailable("bad_json")
    try:
        document: object = json.loads(
            body.decode("utf-8-sig"),
            object_pairs_hook=_without_duplicates,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except (ValueError, RecursionError):
        # Raised below, outside this block: the parser's error holds the document, which may hold tokens.
        document = _UNREADABLE
    if document is _UNREADABLE or _is_deeper_than(document, max_depth):
        raise ProviderUnavailable("bad_json")
    return document


def read_object(body: bytes, *, max_bytes: int = DEFAULT_MAX_BYTES, max_depth: int = MAX_DEPTH) -> JSONObject:
    """Return the decoded document, which must be an object. Raises as ``read_json``."""
    document = read_json(body, max_bytes=max_bytes, max_depth=max_depth)
    if not isinstance(document, dict):
        raise ProviderUnavailable("bad_json")
    return document


def read_lenient_object(body: bytes) -> JSONObject | None:
    """Return an object as ``json.loads`` reads it, null when it cannot; never raises.

    For answers that must not be lost over an oddity: unpaired surrogates, ``NaN``, huge numbers and doubled keys
    may be in it, so each member is to be checked by whoever takes it.
    """
    try:
        document: object = json.loads(body.decode("utf-8-sig", "replace"), parse_int=float)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _without_duplicates(pairs: Sequence[tuple[str, object]]) -> JSONObject:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("duplicate key")
    return result


def _refuse_constant(_name: str) -> float:
    raise ValueError("not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("number out of range")
    return number


def _is_deeper_than(document: object, limit: int) -> bool:
    """Walk level by level: a recursive walk would fail on exactly the documents it is looking for."""
    level = [document]
    for _ in range(limit + 1):
        level = [child for node in level for child in _children(node)]
        if not level:
            return False
    return True


def _children(node: object) -> list[object]:
    if isinstance(node, dict):
        return [value for value in node.values() if isinstance(value, dict | list)]
    if isinstance(node, list):
        return [value for value in node if isinstance(value, dict | list)]
    return []
