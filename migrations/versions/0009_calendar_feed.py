"""Stage what a sync round brings, keep what changed for readers, and let people choose calendars.

A log of changes holds one row for each event, whatever happens to it: reading it from the beginning never ends before
it has told everything, and it never grows beyond the events there are and were.
"""

from __future__ import annotations

from alembic import op

revision = "0009_calendar_feed"
down_revision = "0008_revoked_tokens"
branch_labels = None
depends_on = None

# Notifications carry another token than those of the channels that are open.
ALL_CHANNELS_ANEW = (
    "DELETE FROM channels WHERE state = 'creating'",
    "UPDATE channels SET state = 'stopping'",
    "UPDATE sync_states SET channel_due_at = now() WHERE channel_due_at IS NOT NULL",
)

# Of a connection's history, what happens all day long left out.
HISTORY = """
    CREATE INDEX ix_audit_log_history ON audit_log (connection_id, seq) WHERE kind NOT IN ({})
"""
HAND_OUTS = "'hand_out.released', 'hand_out.denied'"
ROUTINE = f"{HAND_OUTS}, 'calendar_read.released', 'calendar_read.denied', 'refresh_stored', 'refresh_taken_over'"

UP = (
    "DROP INDEX ix_audit_log_history",
    HISTORY.format(ROUTINE),
    "ALTER TABLE connections ADD COLUMN calendar_list_cursor TEXT",
    """
    ALTER TABLE calendars
        ADD COLUMN is_selected BOOLEAN DEFAULT true NOT NULL,
        ADD COLUMN paused_at TIMESTAMP WITH TIME ZONE
    """,
    """
    ALTER TABLE sync_states
        ADD COLUMN expander_version TEXT,
        ADD COLUMN change_seq BIGINT DEFAULT '0' NOT NULL,
        ADD COLUMN last_change_at TIMESTAMP WITH TIME ZONE,
        ADD COLUMN run_started_at TIMESTAMP WITH TIME ZONE,
        ADD COLUMN run_is_full BOOLEAN,
        ADD COLUMN run_pages INTEGER DEFAULT '0' NOT NULL,
        ADD COLUMN run_items BIGINT DEFAULT '0' NOT NULL,
        ADD COLUMN check_due_at TIMESTAMP WITH TIME ZONE,
        ADD COLUMN channel_failures BIGINT DEFAULT '0' NOT NULL
    """,
    "ALTER TABLE events ADD COLUMN unknown_values JSONB",
    "CREATE INDEX ix_sync_states_check_due_at ON sync_states (check_due_at)",
    """
    ALTER TABLE channels
        DROP COLUMN token_hash,
        ADD COLUMN news TEXT,
        ADD COLUMN missed_at TIMESTAMP WITH TIME ZONE,
        ADD COLUMN stop_due_at TIMESTAMP WITH TIME ZONE,
        ADD COLUMN stop_attempts INTEGER DEFAULT '0' NOT NULL,
        ADD CONSTRAINT ck_channels_news CHECK (news IN ('changed', 'missed'))
    """,
    *ALL_CHANNELS_ANEW,
    "CREATE INDEX ix_channels_news ON channels (calendar_id) WHERE news IS NOT NULL",
    "CREATE INDEX ix_channels_expires_at ON channels (expires_at)",
    "CREATE INDEX ix_channels_creating ON channels (created_at) WHERE state = 'creating'",
    # Of no use after a crash: the round they belong to is read again.
    """
    CREATE UNLOGGED TABLE staged_items (
        calendar_id UUID NOT NULL,
        epoch BIGINT NOT NULL,
        ordinal BIGINT NOT NULL,
        event_id TEXT COLLATE "C" NOT NULL,
        staged_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
        provider_id TEXT COLLATE "C" NOT NULL,
        kind TEXT NOT NULL,
        status TEXT,
        series_id TEXT COLLATE "C",
        recurrence_id TEXT COLLATE "C",
        all_day BOOLEAN,
        start_at TIMESTAMP WITH TIME ZONE,
        end_at TIMESTAMP WITH TIME ZONE,
        start_date DATE,
        end_date DATE,
        time_zone TEXT,
        time_zone_raw TEXT,
        rules TEXT[],
        rules_raw JSONB,
        busy TEXT,
        event_type TEXT,
        unknown_values JSONB,
        privacy TEXT,
        self_response TEXT,
        is_organizer BOOLEAN,
        organizer JSONB,
        attendees JSONB,
        attendees_omitted BOOLEAN,
        summary TEXT,
        location TEXT,
        description TEXT,
        html_link TEXT,
        conference_url TEXT,
        ical_uid TEXT COLLATE "C",
        etag TEXT,
        sequence BIGINT,
        provider_updated_at TIMESTAMP WITH TIME ZONE,
        problem TEXT,
        content_hash BYTEA,
        CONSTRAINT pk_staged_items PRIMARY KEY (ordinal, calendar_id, epoch)
    )
    """,
    """
    CREATE INDEX ix_staged_items_calendar_id_epoch_event_id ON staged_items (calendar_id, epoch, event_id)
    """,
    "CREATE INDEX ix_staged_items_staged_at ON staged_items (staged_at)",
    """
    CREATE UNLOGGED TABLE staged_occurrences (
        calendar_id UUID NOT NULL,
        epoch BIGINT NOT NULL,
        ordinal BIGINT NOT NULL,
        series_id TEXT COLLATE "C" NOT NULL,
        recurrence_id TEXT COLLATE "C" NOT NULL,
        source_id TEXT COLLATE "C" NOT NULL,
        all_day BOOLEAN NOT NULL,
        start_at TIMESTAMP WITH TIME ZONE,
        end_at TIMESTAMP WITH TIME ZONE,
        start_date DATE,
        end_date DATE,
        busy TEXT NOT NULL,
        staged_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL
    )
    """,
    """
    CREATE INDEX ix_staged_occurrences_round ON staged_occurrences (calendar_id, epoch, series_id, recurrence_id)
    """,
    "CREATE INDEX ix_staged_occurrences_staged_at ON staged_occurrences (staged_at)",
    """
    CREATE INDEX ix_sync_states_lease_owner ON sync_states (lease_owner) WHERE lease_owner IS NOT NULL
    """,
    """
    CREATE TABLE changes (
        calendar_id UUID NOT NULL,
        event_id TEXT COLLATE "C" NOT NULL,
        seq BIGINT NOT NULL,
        written_by BIGINT DEFAULT pg_current_xact_id()::text::bigint NOT NULL,
        is_removed BOOLEAN NOT NULL,
        fingerprint BYTEA,
        changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_changes PRIMARY KEY (calendar_id, event_id),
        CONSTRAINT uq_changes_calendar_id_seq UNIQUE (calendar_id, seq),
        CONSTRAINT ck_changes_fingerprint CHECK (is_removed = (fingerprint IS NULL)),
        CONSTRAINT fk_changes_calendar_id_calendars FOREIGN KEY(calendar_id) REFERENCES calendars (id)
            ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_changes_written_by ON changes (written_by)",
    """
    CREATE TABLE drift_reports (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        calendar_id UUID NOT NULL,
        at TIMESTAMP WITH TIME ZONE NOT NULL,
        compared INTEGER NOT NULL,
        missing INTEGER NOT NULL,
        surplus INTEGER NOT NULL,
        different INTEGER NOT NULL,
        samples JSONB NOT NULL,
        CONSTRAINT pk_drift_reports PRIMARY KEY (id),
        CONSTRAINT fk_drift_reports_calendar_id_calendars FOREIGN KEY(calendar_id) REFERENCES calendars (id)
            ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_drift_reports_calendar_id_at ON drift_reports (calendar_id, at)",
    # What is stored already has not been told yet: every calendar is read anew once, which writes its changes.
    """
    UPDATE sync_states SET cursor = NULL, window_start = NULL, window_end = NULL,
        cursor_version = cursor_version + 1, requested = requested + 1, due_at = least(due_at, now())
    """,
)

DOWN = (
    "DROP INDEX ix_audit_log_history",
    HISTORY.format(HAND_OUTS),
    "DROP TABLE drift_reports",
    "DROP TABLE changes",
    "DROP TABLE staged_occurrences",
    "DROP TABLE staged_items",
    "DROP INDEX ix_sync_states_lease_owner",
    "DROP INDEX ix_channels_news",
    "DROP INDEX ix_channels_expires_at",
    "DROP INDEX ix_channels_creating",
    *ALL_CHANNELS_ANEW,
    """
    ALTER TABLE channels
        ADD COLUMN token_hash BYTEA DEFAULT ''::bytea NOT NULL,
        DROP COLUMN news,
        DROP COLUMN missed_at,
        DROP COLUMN stop_due_at,
        DROP COLUMN stop_attempts
    """,
    "ALTER TABLE channels ALTER COLUMN token_hash DROP DEFAULT",
    "DROP INDEX ix_sync_states_check_due_at",
    """
    ALTER TABLE sync_states
        DROP COLUMN expander_version,
        DROP COLUMN change_seq,
        DROP COLUMN last_change_at,
        DROP COLUMN run_started_at,
        DROP COLUMN run_is_full,
        DROP COLUMN run_pages,
        DROP COLUMN run_items,
        DROP COLUMN check_due_at,
        DROP COLUMN channel_failures
    """,
    "ALTER TABLE events DROP COLUMN unknown_values",
    "ALTER TABLE calendars DROP COLUMN is_selected, DROP COLUMN paused_at",
    "ALTER TABLE connections DROP COLUMN calendar_list_cursor",
)


def upgrade() -> None:
    """Create the tables and columns; every calendar is due for a full pass."""
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    """Drop them: readers of changes begin anew."""
    for statement in DOWN:
        op.execute(statement)
