"""Tables of calendars, their sync state, events, occurrences and push channels."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Identity,
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
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.domain.calendars import Busy, EventKind, EventStatus
from app.store.schema.metadata import FOREIGN_ID, MOMENT, metadata, one_of

calendars = Table(
    "calendars",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("connection_id", Uuid, ForeignKey("connections.id", ondelete="CASCADE"), nullable=False),
    Column("provider_id", FOREIGN_ID, nullable=False),
    Column("name", Text, nullable=False),
    Column("time_zone", Text),
    Column("access_role", Text, nullable=False),
    Column("is_primary", Boolean, nullable=False),
    Column("color", Text),
    Column("created_at", MOMENT, nullable=False),
    # Kept as a row when it vanishes from the list, so that its channels can still be stopped.
    Column("removed_at", MOMENT),
    # The person's choice; what is not selected is neither synced nor kept.
    Column("is_selected", Boolean, nullable=False, server_default=text("true")),
    # Kept as it is, but not synced; null when it is.
    Column("paused_at", MOMENT),
    UniqueConstraint("connection_id", "provider_id"),
    one_of("access_role", ("free_busy", "reader", "writer", "owner"), "access_role"),
)

sync_states = Table(
    "sync_states",
    metadata,
    Column("calendar_id", Uuid, ForeignKey("calendars.id", ondelete="CASCADE"), primary_key=True),
    Column("cursor", Text),
    Column("cursor_version", BigInteger, nullable=False, server_default="0"),
    Column("window_start", MOMENT),
    Column("window_end", MOMENT),
    # What expanded the stored series; null when the provider did, and without a cursor.
    Column("expander_version", Text),
    # Counts full passes; rows stamped with an older one are swept at the end of a pass.
    Column("generation", BigInteger, nullable=False, server_default="0"),
    # Dirty counters: a run commits the count it has seen, so no wish for a run is ever lost.
    Column("requested", BigInteger, nullable=False, server_default="0"),
    Column("completed", BigInteger, nullable=False, server_default="0"),
    Column("due_at", MOMENT, nullable=False),
    Column("claimed_until", MOMENT),
    # Raised with every lease: threads of one process share an owner, never an epoch.
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    Column("lease_owner", Text),
    Column("lease_until", MOMENT),
    Column("last_success_at", MOMENT),
    Column("last_error", Text),
    # Runs that failed in a row; decides how long the next attempt waits.
    Column("failures", BigInteger, nullable=False, server_default="0"),
    Column("event_count", BigInteger, nullable=False, server_default="0"),
    # When a push channel should be made or renewed; null when this calendar cannot have one.
    Column("channel_due_at", MOMENT),
    # The number of the calendar's last change.
    Column("change_seq", BigInteger, nullable=False, server_default="0"),
    # When a round last changed anything; busy calendars are polled more often.
    Column("last_change_at", MOMENT),
    # The run under way, for people who wait for it; null when there is none.
    Column("run_started_at", MOMENT),
    Column("run_is_full", Boolean),
    Column("run_pages", Integer, nullable=False, server_default="0"),
    Column("run_items", BigInteger, nullable=False, server_default="0"),
    # When the whole calendar should be compared with the provider's.
    Column("check_due_at", MOMENT),
    # Attempts to make or renew a channel that failed in a row; decides how long the next one waits.
    Column("channel_failures", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("(cursor IS NULL) = (window_start IS NULL)", name="cursor_has_window"),
    CheckConstraint("window_end > window_start", name="window"),
    Index(None, "due_at"),
    Index(None, "channel_due_at"),
    Index(None, "check_due_at"),
    Index(None, "lease_owner", postgresql_where=text("lease_owner IS NOT NULL")),
)

events = Table(
    "events",
    metadata,
    Column("calendar_id", Uuid, ForeignKey("calendars.id", ondelete="CASCADE"), nullable=False),
    Column("provider_id", FOREIGN_ID, nullable=False),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("series_id", FOREIGN_ID),
    Column("recurrence_id", FOREIGN_ID),
    Column("all_day", Boolean, nullable=False),
    Column("start_at", MOMENT),
    Column("end_at", MOMENT),
    Column("start_date", Date),
    Column("end_date", Date),
    Column("time_zone", Text),
    Column("time_zone_raw", Text),
    Column("rules", ARRAY(Text), nullable=False),
    Column("rules_raw", JSONB(none_as_null=True)),
    Column("busy", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    # Words of the provider's that nobody knew when they were read.
    Column("unknown_values", JSONB(none_as_null=True)),
    Column("privacy", Text, nullable=False),
    Column("self_response", Text),
    Column("is_organizer", Boolean, nullable=False),
    Column("organizer", JSONB(none_as_null=True)),
    Column("attendees", JSONB, nullable=False),
    Column("attendees_omitted", Boolean, nullable=False),
    Column("summary", Text),
    Column("location", Text),
    Column("description", Text),
    Column("html_link", Text),
    Column("conference_url", Text),
    Column("ical_uid", FOREIGN_ID),
    Column("etag", Text),
    Column("sequence", BigInteger),
    Column("provider_updated_at", MOMENT),
    Column("problem", Text),
    # SHA-256 over everything above: an unchanged event is not written again.
    Column("content_hash", LargeBinary, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("first_seen_at", MOMENT, nullable=False),
    Column("changed_at", MOMENT, nullable=False),
    PrimaryKeyConstraint("calendar_id", "provider_id"),
    one_of("kind", EventKind, "kind"),
    one_of("status", EventStatus, "status"),
    one_of("busy", Busy, "busy"),
    CheckConstraint("end_at >= start_at", name="times"),
    CheckConstraint("end_date > start_date", name="dates"),
    CheckConstraint("kind <> 'exception' OR series_id IS NOT NULL", name="series"),
    Index(None, "calendar_id", "series_id", postgresql_where=text("series_id IS NOT NULL")),
)

# What of `events` an item of a provider fills: everything but what the store adds.
_OUR_OWN = ("generation", "first_seen_at", "changed_at")
_ITEM = [column for column in events.c if column.name not in {"calendar_id", *_OUR_OWN}]

# What a round has fetched and not yet applied. Of no use after a crash: the round is read again.
staged_items = Table(
    "staged_items",
    metadata,
    Column("calendar_id", Uuid, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("ordinal", BigInteger, nullable=False),
    # The event or series this item belongs to.
    Column("event_id", FOREIGN_ID, nullable=False),
    Column("staged_at", MOMENT, nullable=False, server_default=text("clock_timestamp()")),
    *(Column(column.name, column.type, nullable=column.name not in {"kind", "provider_id"}) for column in _ITEM),
    # Begins with the ordinal, so that the other index is the one way to a round: without statistics, and a fresh round
    # has none, the planner cannot tell a short way from a long one.
    PrimaryKeyConstraint("ordinal", "calendar_id", "epoch"),
    Index(None, "calendar_id", "epoch", "event_id"),
    Index(None, "staged_at"),
    prefixes=["UNLOGGED"],
)

# Occurrences of a staged item: of a single event, or of the row that says that its series is complete.
staged_occurrences = Table(
    "staged_occurrences",
    metadata,
    Column("calendar_id", Uuid, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("ordinal", BigInteger, nullable=False),
    Column("series_id", FOREIGN_ID, nullable=False),
    Column("recurrence_id", FOREIGN_ID, nullable=False),
    Column("source_id", FOREIGN_ID, nullable=False),
    Column("all_day", Boolean, nullable=False),
    Column("start_at", MOMENT),
    Column("end_at", MOMENT),
    Column("start_date", Date),
    Column("end_date", Date),
    Column("busy", Text, nullable=False),
    Column("staged_at", MOMENT, nullable=False, server_default=text("clock_timestamp()")),
    Index("ix_staged_occurrences_round", "calendar_id", "epoch", "series_id", "recurrence_id"),
    Index(None, "staged_at"),
    prefixes=["UNLOGGED"],
)

# The last change of every event there is or was, a series being one event: a log that keeps its last lines only.
changes = Table(
    "changes",
    metadata,
    Column("calendar_id", Uuid, ForeignKey("calendars.id", ondelete="CASCADE"), nullable=False),
    # Id of the single event or of the series' master.
    Column("event_id", FOREIGN_ID, nullable=False),
    # Counts the calendar's changes; raised in the order of its commits, because each holds the sync state's row.
    Column("seq", BigInteger, nullable=False),
    # The transaction (`xid8`): with a snapshot a reader knows what has been committed since it last looked.
    Column("written_by", BigInteger, nullable=False, server_default=text("pg_current_xact_id()::text::bigint")),
    Column("is_removed", Boolean, nullable=False),
    # Over the event, its exceptions and occurrences; null when removed.
    Column("fingerprint", LargeBinary),
    Column("changed_at", MOMENT, nullable=False),
    PrimaryKeyConstraint("calendar_id", "event_id"),
    UniqueConstraint("calendar_id", "seq"),
    CheckConstraint("is_removed = (fingerprint IS NULL)", name="fingerprint"),
    Index(None, "written_by"),
)

# What a comparison of a whole calendar with the provider's has found.
drift_reports = Table(
    "drift_reports",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("calendar_id", Uuid, ForeignKey("calendars.id", ondelete="CASCADE"), nullable=False),
    Column("at", MOMENT, nullable=False),
    Column("compared", Integer, nullable=False),
    Column("missing", Integer, nullable=False),
    Column("surplus", Integer, nullable=False),
    Column("different", Integer, nullable=False),
    Column("samples", JSONB, nullable=False),
    Index(None, "calendar_id", "at"),
)

_IS_LONG = "end_at - start_at > interval '31 days'"

occurrences = Table(
    "occurrences",
    metadata,
    Column("calendar_id", Uuid, ForeignKey("calendars.id", ondelete="CASCADE"), nullable=False),
    Column("series_id", FOREIGN_ID, nullable=False),
    Column("recurrence_id", FOREIGN_ID, nullable=False),
    Column("source_id", FOREIGN_ID, nullable=False),
    # Copied from the connection so that one index answers "this person, this week".
    Column("person_id", Uuid, nullable=False),
    Column("all_day", Boolean, nullable=False),
    Column("start_at", MOMENT),
    Column("end_at", MOMENT),
    Column("start_date", Date),
    Column("end_date", Date),
    Column("busy", Text, nullable=False),
    PrimaryKeyConstraint("calendar_id", "series_id", "recurrence_id"),
    one_of("busy", Busy, "busy"),
    CheckConstraint(
        "CASE WHEN all_day THEN start_date IS NOT NULL AND end_date > start_date"
        " AND start_at IS NULL AND end_at IS NULL"
        " ELSE start_at IS NOT NULL AND end_at >= start_at AND start_date IS NULL AND end_date IS NULL END",
        name="times",
    ),
    Index(None, "person_id", "start_at", postgresql_include=["end_at"], postgresql_where=text("NOT all_day")),
    Index(None, "person_id", "start_date", postgresql_where=text("all_day")),
    # The few events longer than 31 days would otherwise force every look to start at the beginning of time.
    Index("ix_occurrences_long", "person_id", "start_at", postgresql_where=text(f"NOT all_day AND {_IS_LONG}")),
)

channels = Table(
    "channels",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("calendar_id", Uuid, ForeignKey("calendars.id", ondelete="CASCADE"), nullable=False),
    Column("state", Text, nullable=False),
    Column("provider_channel_id", FOREIGN_ID),
    Column("resource_id", Text),
    Column("expires_at", MOMENT),
    Column("message_number", BigInteger),
    Column("last_seen_at", MOMENT),
    Column("created_at", MOMENT, nullable=False),
    # When the provider last said that it is open: made, or prolonged.
    Column("activated_at", MOMENT),
    # What notifications said since a run last took notice; written here because a run locks its sync state for long.
    Column("news", Text),
    # When the provider last said that it could not deliver notifications.
    Column("missed_at", MOMENT),
    # When to stop it, or to try that again; null means now.
    Column("stop_due_at", MOMENT),
    Column("stop_attempts", Integer, nullable=False, server_default="0"),
    UniqueConstraint("provider_channel_id"),
    one_of("state", ("creating", "active", "stopping"), "state"),
    one_of("news", ("changed", "missed"), "news"),
    CheckConstraint(
        "state = 'creating' OR (provider_channel_id IS NOT NULL AND expires_at IS NOT NULL)", name="described"
    ),
    Index(None, "calendar_id"),
    Index(None, "created_at", postgresql_where=text("state = 'stopping'")),
    Index("ix_channels_creating", "created_at", postgresql_where=text("state = 'creating'")),
    Index("ix_channels_news", "calendar_id", postgresql_where=text("news IS NOT NULL")),
    Index(None, "expires_at"),
)
