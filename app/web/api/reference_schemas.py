"""JSON schemas of the OpenAPI document as rows of a table, nested members by dotted names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]
Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One member or parameter."""

    name: str
    """Nested ones as ``connections[].id``."""
    type_words: str
    choices: tuple[str, ...]
    """The only values there are; empty when there are others."""
    is_required: bool
    words: str


@dataclass(frozen=True, slots=True)
class Shape:
    """One object."""

    name: str
    words: str
    rows: tuple[Row, ...]


def shapes_of(document: Document, schema: Schema) -> tuple[Shape, ...]:
    """Return what ``schema`` can be: one shape per object, none for text."""
    if "anyOf" in schema:
        return tuple(shape for part in schema["anyOf"] for shape in shapes_of(document, part))
    resolved = _resolved(document, schema)
    if "properties" not in resolved:
        return ()
    return (Shape(resolved.get("title", ""), resolved.get("description", ""), tuple(_members(document, resolved, ""))),)


def rows_of(document: Document, name: str, schema: Schema, is_required: bool, words: str) -> Iterator[Row]:  # noqa: FBT001  # a row's own column
    """Yield the row of one member and those of what is inside it."""
    resolved, null = _without_null(document, schema)
    inner = _resolved(document, resolved["items"]) if "items" in resolved else None
    subject = inner if inner is not None else resolved
    kind = _kind(subject)
    type_words = ("list of " if inner is not None else "") + kind + (" or null" if null else "")
    choices = tuple(map(str, subject.get("enum", [subject["const"]] if "const" in subject else ())))
    yield Row(name, type_words, choices, is_required, words or resolved.get("description", ""))
    if "properties" in subject:
        yield from _members(document, subject, f"{name}[]." if inner is not None else f"{name}.")


def _members(document: Document, schema: Schema, prefix: str) -> Iterator[Row]:
    required = schema.get("required", ())
    for name, member in schema["properties"].items():
        yield from rows_of(document, prefix + name, member, name in required, member.get("description", ""))


def _without_null(document: Document, schema: Schema) -> tuple[Schema, bool]:
    """Return the schema apart from null, and whether it may be null."""
    parts = schema.get("anyOf", [schema])
    others = [part for part in parts if part.get("type") != "null"]
    return _resolved(document, others[0]), len(others) < len(parts)


def _resolved(document: Document, schema: Schema) -> Schema:
    if "$ref" in schema:
        found: Schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return found
    return schema


def _kind(schema: Schema) -> str:
    if schema.get("format") in {"uuid", "date-time", "uri"}:
        return {"uuid": "UUID", "date-time": "time (RFC 3339)", "uri": "address"}[schema["format"]]
    return {"string": "text", "integer": "whole number", "boolean": "true or false", "array": "list"}.get(
        schema.get("type", ""), "object" if "properties" in schema or schema.get("type") == "object" else "any"
    )
