"""Naming convention and the column types all tables share."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import CheckConstraint, MetaData, Text
from sqlalchemy.dialects.postgresql import TIMESTAMP

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

MOMENT = TIMESTAMP(timezone=True)
"""An instant; always aware UTC on the Python side."""

FOREIGN_ID = Text(collation="C")
"""An id somebody else made up: compared byte by byte, because providers' ids differ by case alone."""


def one_of(column: str, words: Iterable[str], name: str) -> CheckConstraint:
    """Return a CHECK that ``column`` (nullable or not) holds one of ``words``."""
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=name)
