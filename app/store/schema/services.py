"""Tables of internal services and the key checks."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
    true,
)

from app.store.schema.metadata import MOMENT, metadata

services = Table(
    "services",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("is_enabled", Boolean, nullable=False, server_default=true()),
    Column("created_at", MOMENT, nullable=False),
    # Where the service publishes its public keys; null: it has only those registered here.
    Column("jwks_url", Text),
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

key_checks = Table(
    "key_checks",
    metadata,
    # Four bytes, as in the header of everything sealed.
    Column("key_id", LargeBinary, primary_key=True),
    Column("check_value", LargeBinary, nullable=False),
    Column("created_at", MOMENT, nullable=False, server_default=text("clock_timestamp()")),
)
