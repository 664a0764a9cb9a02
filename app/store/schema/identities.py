"""Tables of people, their browsers and their pending consents."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, PrimaryKeyConstraint, Table, Text, UniqueConstraint, Uuid
from sqlalchemy.dialects.postgresql import ARRAY

from app.domain.authorizations import Purpose
from app.store.schema.metadata import FOREIGN_ID, MOMENT, metadata, one_of

people = Table(
    "people",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("display_name", Text, nullable=False),
    Column("email", Text),
    Column("time_zone", Text, nullable=False, server_default="UTC"),
    Column("created_at", MOMENT, nullable=False),
)

sign_in_identities = Table(
    "sign_in_identities",
    metadata,
    Column("issuer", FOREIGN_ID, nullable=False),
    Column("subject", FOREIGN_ID, nullable=False),
    Column("person_id", Uuid, ForeignKey("people.id", ondelete="CASCADE"), nullable=False),
    Column("provider", Text, nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Column("last_used_at", MOMENT, nullable=False),
    # The key is who the issuer says it is, never the e-mail.
    PrimaryKeyConstraint("issuer", "subject"),
    Index(None, "person_id"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("token_hash", LargeBinary, nullable=False),
    Column("person_id", Uuid, ForeignKey("people.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Column("seen_at", MOMENT, nullable=False),
    Column("expires_at", MOMENT, nullable=False),
    UniqueConstraint("token_hash"),
    Index(None, "person_id"),
)

authorization_requests = Table(
    "authorization_requests",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("state_hash", LargeBinary, nullable=False),
    Column("browser_hash", LargeBinary, nullable=False),
    Column("person_id", Uuid, ForeignKey("people.id", ondelete="CASCADE")),
    Column("connection_id", Uuid, ForeignKey("connections.id", ondelete="CASCADE")),
    Column("provider", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("features", ARRAY(Text), nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("return_to", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Column("expires_at", MOMENT, nullable=False),
    Column("used_at", MOMENT),
    UniqueConstraint("state_hash"),
    one_of("purpose", Purpose, "purpose"),
    Index(None, "browser_hash", "created_at"),
    Index(None, "expires_at"),
    Index(None, "person_id"),
    Index(None, "connection_id"),
)
