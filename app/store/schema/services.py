"""Tables of internal services, their policies, the audit and the key checks."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.store.schema.metadata import MOMENT, metadata, one_of

services = Table(
    "services",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("is_enabled", Boolean, nullable=False, server_default=true()),
    Column("created_at", MOMENT, nullable=False),
    UniqueConstraint("name"),
)

service_secrets = Table(
    "service_secrets",
    metadata,
    Column("service_id", Uuid, ForeignKey("services.id", ondelete="CASCADE"), nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Column("expires_at", MOMENT, nullable=False),
    PrimaryKeyConstraint("service_id", "secret_hash"),
)

service_tokens = Table(
    "service_tokens",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("service_id", Uuid, ForeignKey("services.id", ondelete="CASCADE"), nullable=False),
    Column("expires_at", MOMENT, nullable=False),
    Index(None, "service_id", "expires_at"),
)

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
    Index(None, "service_id"),
)

# Ids in the audit are facts of the past: no foreign keys, so that nothing deleted takes its traces along.
hand_outs = Table(
    "hand_outs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("service_id", Uuid, nullable=False),
    Column("connection_id", Uuid),
    Column("person_id", Uuid),
    Column("purpose", Text),
    Column("features", ARRAY(Text), nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("decision", Text, nullable=False),
    Column("reason", Text),
    Column("token_fingerprint", LargeBinary),
    Column("at", MOMENT, nullable=False),
    one_of("decision", ("released", "denied"), "decision"),
    Index(None, "connection_id", "at"),
    Index(None, "person_id", "at"),
)

audit_events = Table(
    "audit_events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("at", MOMENT, nullable=False),
    Column("person_id", Uuid),
    Column("connection_id", Uuid),
    Column("detail", JSONB, nullable=False),
    Index(None, "connection_id", "id"),
    Index(None, "person_id", "id"),
)

key_checks = Table(
    "key_checks",
    metadata,
    # Four bytes, as in the header of everything sealed.
    Column("key_id", LargeBinary, primary_key=True),
    Column("check_value", LargeBinary, nullable=False),
    Column("created_at", MOMENT, nullable=False, server_default=text("clock_timestamp()")),
)
