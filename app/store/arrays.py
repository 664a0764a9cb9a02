"""Conditions over many values in one parameter."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Text, Uuid, any_, literal


def is_among(column: ColumnElement[str], values: Iterable[str]) -> ColumnElement[bool]:
    """Return the condition that ``column`` is one of ``values``.

    One array, however many there are: the statement's text stays the same, and no limit on parameters applies.
    """
    return column == any_(literal(list(values), ARRAY(Text)))


def is_one_of(column: ColumnElement[UUID], ids: Iterable[UUID]) -> ColumnElement[bool]:
    """Return the condition that ``column`` is one of ``ids``; as ``is_among``, for our own ids."""
    return column == any_(literal(list(ids), ARRAY(Uuid)))
