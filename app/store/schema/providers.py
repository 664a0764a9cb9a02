"""The table of provider applications."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Double, Integer, Table, Text

from app.domain.breaker import Cause
from app.store.schema.metadata import MOMENT, metadata, one_of

provider_health = Table(
    "provider_health",
    metadata,
    Column("provider", Text, primary_key=True),
    # Null while calls pass.
    Column("cause", Text),
    Column("code", Text),
    # Openings of one trouble, for the length of the next cool-down.
    Column("openings", Integer, nullable=False, server_default="0"),
    Column("opened_at", MOMENT),
    Column("open_until", MOMENT),
    Column("probe_until", MOMENT),
    Column("closed_at", MOMENT),
    # The calls per second that work off what was held back.
    Column("resumption_per_s", Double),
    Column("resumption_until", MOMENT),
    # An operator said that refused grants are genuine.
    Column("believed_until", MOMENT),
    Column("test_mode_since", MOMENT),
    one_of("cause", Cause, "cause"),
    CheckConstraint("cause IS NULL OR (opened_at IS NOT NULL AND open_until IS NOT NULL)", name="open"),
)
