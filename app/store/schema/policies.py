"""Tables of policies, of what was used of them, and of people's own switches."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    false,
)
from sqlalchemy.dialects.postgresql import ARRAY

from app.store.schema.metadata import MOMENT, metadata

policies = Table(
    "policies",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("service_id", Uuid, ForeignKey("services.id", ondelete="CASCADE"), nullable=False),
    # Null: any provider.
    Column("provider", Text),
    Column("features", ARRAY(Text), nullable=False),
    Column("created_at", MOMENT, nullable=False),
    # Null: without end.
    Column("valid_until", MOMENT),
    # Null: for any purpose, a missing one included.
    Column("purposes", ARRAY(Text)),
    # Null: everyone.
    Column("people", ARRAY(Text)),
    # Null: no limit.
    Column("max_per_hour", Integer),
    Column("act_as", Boolean, nullable=False, server_default=false()),
    CheckConstraint("max_per_hour > 0", name="max_per_hour"),
    Index(None, "service_id"),
)

policy_usage = Table(
    "policy_usage",
    metadata,
    Column("policy_id", Uuid, ForeignKey("policies.id", ondelete="CASCADE"), nullable=False),
    Column("hour", MOMENT, nullable=False),
    # What processes have taken to spend, and the size of the chunk taken last: how the taker learns what it got.
    Column("taken", Integer, nullable=False),
    Column("last_chunk", Integer, nullable=False),
    PrimaryKeyConstraint("policy_id", "hour"),
)

service_blocks = Table(
    "service_blocks",
    metadata,
    Column("person_id", Uuid, ForeignKey("people.id", ondelete="CASCADE"), nullable=False),
    Column("service_id", Uuid, ForeignKey("services.id", ondelete="CASCADE"), nullable=False),
    Column("since", MOMENT, nullable=False),
    # Null: until the person lifts it.
    Column("until", MOMENT),
    PrimaryKeyConstraint("person_id", "service_id"),
    Index(None, "service_id"),
)
