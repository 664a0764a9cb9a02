"""Tables of connections and of everything that keeps their tokens."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from app.domain.connections import Reason, Status
from app.store.schema.metadata import FOREIGN_ID, MOMENT, metadata, one_of

_ACTIVE = text("status = 'active'")

connections = Table(
    "connections",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("person_id", Uuid, ForeignKey("people.id", ondelete="CASCADE"), nullable=False),
    Column("provider", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("issuer", FOREIGN_ID, nullable=False),
    Column("subject", FOREIGN_ID, nullable=False),
    Column("tenant", Text),
    Column("email", Text),
    Column("display_name", Text),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("status_since", MOMENT, nullable=False),
    Column("requested_features", ARRAY(Text), nullable=False),
    Column("granted_scopes", ARRAY(Text), nullable=False, server_default="{}"),
    Column("created_at", MOMENT, nullable=False),
    # The pointer, and what readers need of the generation it points at.
    Column("generation", BigInteger, nullable=False, server_default="0"),
    Column("access_expires_at", MOMENT),
    Column("last_refreshed_at", MOMENT),
    # Counts reserved numbers and is never set back, so that no two answers ever share one.
    Column("last_generation", BigInteger, nullable=False, server_default="0"),
    # The refresh lease. Whoever raises the epoch fences everybody before.
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    Column("lease_owner", Text),
    Column("lease_until", MOMENT),
    Column("refresh_due_at", MOMENT),
    Column("refresh_claimed_until", MOMENT),
    Column("next_attempt_at", MOMENT),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("suspected_since", MOMENT),
    # The person's own pause: nothing is handed out before; null when not paused.
    Column("paused_until", MOMENT),
    Column("calendars_listed_at", MOMENT),
    Column("calendar_list_due_at", MOMENT),
    # Where the next reading of the calendar list starts; null: at the beginning, as always where lists have no cursor.
    Column("calendar_list_cursor", Text),
    Column("calendar_list_claimed_until", MOMENT),
    # Until when the host of a connect link may confirm it: no hand-outs before. Null: nothing to confirm.
    Column("completion_due_at", MOMENT),
    # To the hour or so; null: not since this is written down.
    Column("last_used_at", MOMENT),
    UniqueConstraint("person_id", "provider", "issuer", "subject"),
    one_of("kind", ("google", "microsoft", "oidc"), "kind"),
    one_of("status", Status, "status"),
    one_of("reason", Reason, "reason"),
    CheckConstraint("(status = 'needs_reconnect') = (reason IS NOT NULL)", name="reason_given"),
    CheckConstraint("generation <= last_generation", name="generation_reserved"),
    Index(None, "provider", "refresh_due_at", postgresql_where=_ACTIVE),
    Index("ix_connections_suspected", "provider", postgresql_where=text("suspected_since IS NOT NULL")),
    Index("ix_connections_dead", "status_since", postgresql_where=text("status = 'needs_reconnect'")),
    Index(None, "calendar_list_due_at", postgresql_where=_ACTIVE),
    Index(None, "completion_due_at", postgresql_where=text("completion_due_at IS NOT NULL")),
)

data_keys = Table(
    "data_keys",
    metadata,
    Column("connection_id", Uuid, ForeignKey("connections.id", ondelete="CASCADE"), primary_key=True),
    # Deleting this row makes every copy of the connection's tokens unreadable, backups included.
    Column("wrapped_key", LargeBinary, nullable=False),
    Column("created_at", MOMENT, nullable=False),
)

token_generations = Table(
    "token_generations",
    metadata,
    Column("connection_id", Uuid, ForeignKey("connections.id", ondelete="CASCADE"), nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("parent", BigInteger, nullable=False),
    Column("origin", Text, nullable=False),
    Column("sealed_access", LargeBinary),
    Column("sealed_refresh", LargeBinary),
    # Where the refresh token in use was stored: this generation, or an older one that was carried over.
    Column("refresh_generation", BigInteger),
    Column("scopes", ARRAY(Text)),
    Column("issued_at", MOMENT, nullable=False),
    Column("access_expires_at", MOMENT, nullable=False),
    Column("refresh_due_at", MOMENT, nullable=False),
    Column("refresh_expires_at", MOMENT),
    Column("stored_at", MOMENT, nullable=False, server_default=text("clock_timestamp()")),
    # When the provider refused this refresh token although it never was current; nobody asks with it again.
    Column("refused_at", MOMENT),
    PrimaryKeyConstraint("connection_id", "generation"),
    one_of("origin", ("consent", "refresh"), "origin"),
    CheckConstraint("generation > 0 AND parent < generation", name="generation"),
)

refresh_attempts = Table(
    "refresh_attempts",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("connection_id", Uuid, ForeignKey("connections.id", ondelete="CASCADE"), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("parent", BigInteger, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),
    Column("started_at", MOMENT, nullable=False, server_default=text("clock_timestamp()")),
    Column("finished_at", MOMENT),
    # Null while the call may still be in flight.
    Column("outcome", Text),
    Column("error_code", Text),
    UniqueConstraint("connection_id", "epoch"),
    one_of("outcome", ("stored", "refused", "failed", "ambiguous"), "outcome"),
    CheckConstraint("(outcome IS NULL) = (finished_at IS NULL)", name="finished"),
    # The watch looks at these every half second.
    Index(None, "owner", postgresql_where=text("outcome IS NULL")),
)

processes = Table(
    "processes",
    metadata,
    Column("id", Uuid, primary_key=True),
    # Key of the advisory lock the process holds while it lives.
    Column("lock_key", BigInteger, nullable=False),
    Column("started_at", MOMENT, nullable=False, server_default=text("clock_timestamp()")),
    Column("heartbeat_at", MOMENT, nullable=False, server_default=text("clock_timestamp()")),
)
