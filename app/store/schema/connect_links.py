"""Tables of connect links and of the addresses services may have people sent back to."""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY

from app.domain.connect_links import Completion, LinkState
from app.store.schema.metadata import FOREIGN_ID, MOMENT, metadata, one_of

service_return_uris = Table(
    "service_return_uris",
    metadata,
    Column("service_id", Uuid, ForeignKey("services.id", ondelete="CASCADE"), nullable=False),
    # Compared whole, byte by byte: a prefix or a pattern is where open redirects come from.
    Column("uri", FOREIGN_ID, nullable=False),
    Column("created_at", MOMENT, nullable=False),
    PrimaryKeyConstraint("service_id", "uri"),
)

connect_links = Table(
    "connect_links",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("service_id", Uuid, ForeignKey("services.id", ondelete="CASCADE"), nullable=False),
    Column("for_person_id", Uuid, ForeignKey("people.id", ondelete="CASCADE")),
    # No key of any table: somebody can be named who has never signed in.
    Column("for_issuer", FOREIGN_ID),
    Column("for_subject", FOREIGN_ID),
    Column("email_hint", Text),
    Column("provider", Text, nullable=False),
    Column("features", ARRAY(Text), nullable=False),
    Column("return_uri", FOREIGN_ID, nullable=False),
    Column("completion", Text, nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Column("expires_at", MOMENT, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("browser_hash", LargeBinary),
    Column("taken_by", Uuid, ForeignKey("people.id", ondelete="CASCADE")),
    Column("used_at", MOMENT),
    # A fact of the past, like ids in the audit: no foreign key.
    Column("connection_id", Uuid),
    Column("complete_by", MOMENT),
    UniqueConstraint("secret_hash"),
    one_of("completion", Completion, "completion"),
    one_of("state", LinkState, "state"),
    CheckConstraint("(for_issuer IS NULL) = (for_subject IS NULL)", name="identity"),
    CheckConstraint("(browser_hash IS NULL) = (taken_by IS NULL)", name="taken"),
    CheckConstraint(
        "state <> 'awaiting_completion' OR (complete_by IS NOT NULL AND connection_id IS NOT NULL)", name="awaiting"
    ),
    Index(None, "service_id", "created_at"),
    Index(None, "for_person_id"),
    Index(None, "taken_by"),
    Index(None, "expires_at"),
)
