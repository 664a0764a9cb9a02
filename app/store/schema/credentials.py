"""Tables of what services prove themselves with, and of the keys that sign our own tokens."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, PrimaryKeyConstraint, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from app.store.schema.metadata import FOREIGN_ID, MOMENT, metadata, one_of

service_keys = Table(
    "service_keys",
    metadata,
    Column("service_id", Uuid, ForeignKey("services.id", ondelete="CASCADE"), nullable=False),
    Column("kid", FOREIGN_ID, nullable=False),
    # Public members only.
    Column("jwk", JSONB, nullable=False),
    Column("created_at", MOMENT, nullable=False),
    # Null: until it is removed.
    Column("expires_at", MOMENT),
    PrimaryKeyConstraint("service_id", "kid"),
)

service_workloads = Table(
    "service_workloads",
    metadata,
    Column("service_id", Uuid, ForeignKey("services.id", ondelete="CASCADE"), nullable=False),
    # A table of the providers file.
    Column("issuer_key", Text, nullable=False),
    Column("subject_pattern", FOREIGN_ID, nullable=False),
    Column("created_at", MOMENT, nullable=False),
    PrimaryKeyConstraint("issuer_key", "subject_pattern", "service_id"),
    Index(None, "service_id"),
)

spent_statements = Table(
    "spent_statements",
    metadata,
    Column("service_id", Uuid, ForeignKey("services.id", ondelete="CASCADE"), nullable=False),
    # SHA-256 of ``jti``: bounded, whatever callers send.
    Column("jti_hash", LargeBinary, nullable=False),
    Column("expires_at", MOMENT, nullable=False),
    PrimaryKeyConstraint("service_id", "jti_hash"),
    Index(None, "expires_at"),
)

revoked_tokens = Table(
    "revoked_tokens",
    metadata,
    # Of a token of ours.
    Column("jti", Uuid, primary_key=True),
    Column("service_id", Uuid, ForeignKey("services.id", ondelete="CASCADE"), nullable=False),
    # Of the token: afterwards nobody has to remember that it was revoked.
    Column("expires_at", MOMENT, nullable=False),
    Index(None, "service_id"),
    Index(None, "expires_at"),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    # Also the ``kid``.
    Column("id", Uuid, primary_key=True),
    Column("state", Text, nullable=False),
    Column("public_jwk", JSONB, nullable=False),
    # Null once retired: nothing is signed with it any more.
    Column("sealed_private_key", LargeBinary),
    Column("created_at", MOMENT, nullable=False),
    # When the present state began.
    Column("state_since", MOMENT, nullable=False),
    one_of("state", ("next", "active", "retired"), "state"),
)
