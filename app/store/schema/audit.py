"""Tables of the audit: the chained log, and the way into it for transactions."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Identity, Index, LargeBinary, Table, Text, UniqueConstraint, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from app.store.schema.metadata import MOMENT, metadata

NOT_ROUTINE = (
    "kind NOT IN ('hand_out.released', 'hand_out.denied', 'calendar_read.released', 'calendar_read.denied',"
    " 'refresh_stored', 'refresh_taken_over')"
)
"""What happens to a connection all day long is no news of it. Spelled as in the index, so that the planner sees that a
query asks for the same."""

# Ids in the audit are facts of the past: no foreign keys, so that nothing deleted takes its traces along.
audit_log = Table(
    "audit_log",
    metadata,
    # Counts from 1 without a gap.
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", MOMENT, nullable=False),
    Column("recorded_at", MOMENT, nullable=False),
    Column("service_id", Uuid),
    Column("person_id", Uuid),
    Column("connection_id", Uuid),
    Column("detail", JSONB, nullable=False),
    # Four bytes, as in the header of everything sealed.
    Column("key_id", LargeBinary, nullable=False),
    Column("mac", LargeBinary, nullable=False),
    UniqueConstraint("id"),
    Index(None, "connection_id", "seq"),
    Index(None, "person_id", "seq"),
    Index("ix_audit_log_history", "connection_id", "seq", postgresql_where=text(NOT_ROUTINE)),
)

# Rows stay for a second or two, until they are chained.
audit_events = Table(
    "audit_events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("at", MOMENT, nullable=False),
    Column("person_id", Uuid),
    Column("connection_id", Uuid),
    Column("detail", JSONB, nullable=False),
    Column("entry_id", Uuid, nullable=False, server_default=text("gen_random_uuid()")),
    Column("service_id", Uuid),
)
