"""Create the tables.

Plain SQL, parents before children: this is what the database holds, whatever the application code becomes.
"""

from __future__ import annotations

from alembic import op

revision = "0001_initial"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    "audit_events",
    "hand_outs",
    "key_checks",
    "people",
    "services",
    "connections",
    "policies",
    "service_secrets",
    "service_tokens",
    "sessions",
    "sign_in_identities",
    "authorization_requests",
    "calendars",
    "data_keys",
    "refresh_attempts",
    "token_generations",
    "channels",
    "events",
    "occurrences",
    "sync_states",
)

STATEMENTS = (
    """
    CREATE TABLE audit_events (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        kind TEXT NOT NULL,
        at TIMESTAMP WITH TIME ZONE NOT NULL,
        person_id UUID,
        connection_id UUID,
        detail JSONB NOT NULL,
        CONSTRAINT pk_audit_events PRIMARY KEY (id)
    )
    """,
    """
    CREATE INDEX ix_audit_events_connection_id_id ON audit_events (connection_id, id)
    """,
    """
    CREATE INDEX ix_audit_events_person_id_id ON audit_events (person_id, id)
    """,
    """
    CREATE TABLE hand_outs (
        id UUID NOT NULL,
        service_id UUID NOT NULL,
        connection_id UUID,
        person_id UUID,
        purpose TEXT,
        features TEXT[] NOT NULL,
        scopes TEXT[] NOT NULL,
        decision TEXT NOT NULL,
        reason TEXT,
        token_fingerprint BYTEA,
        at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_hand_outs PRIMARY KEY (id),
        CONSTRAINT ck_hand_outs_decision CHECK (decision IN ('released', 'denied'))
    )
    """,
    """
    CREATE INDEX ix_hand_outs_connection_id_at ON hand_outs (connection_id, at)
    """,
    """
    CREATE INDEX ix_hand_outs_person_id_at ON hand_outs (person_id, at)
    """,
    """
    CREATE TABLE key_checks (
        key_id BYTEA NOT NULL,
        check_value BYTEA NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
        CONSTRAINT pk_key_checks PRIMARY KEY (key_id)
    )
    """,
    """
    CREATE TABLE people (
        id UUID NOT NULL,
        display_name TEXT NOT NULL,
        email TEXT,
        time_zone TEXT DEFAULT 'UTC' NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_people PRIMARY KEY (id)
    )
    """,
    """
    CREATE TABLE services (
        id UUID NOT NULL,
        name TEXT NOT NULL,
        is_enabled BOOLEAN DEFAULT true NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_services PRIMARY KEY (id),
        CONSTRAINT uq_services_name UNIQUE (name)
    )
    """,
    """
    CREATE TABLE connections (
        id UUID NOT NULL,
        person_id UUID NOT NULL,
        provider TEXT NOT NULL,
        kind TEXT NOT NULL,
        issuer TEXT COLLATE "C" NOT NULL,
        subject TEXT COLLATE "C" NOT NULL,
        tenant TEXT,
        email TEXT,
        display_name TEXT,
        status TEXT NOT NULL,
        reason TEXT,
        status_since TIMESTAMP WITH TIME ZONE NOT NULL,
        requested_features TEXT[] NOT NULL,
        granted_scopes TEXT[] DEFAULT '{}' NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        generation BIGINT DEFAULT '0' NOT NULL,
        access_expires_at TIMESTAMP WITH TIME ZONE,
        last_refreshed_at TIMESTAMP WITH TIME ZONE,
        last_generation BIGINT DEFAULT '0' NOT NULL,
        epoch BIGINT DEFAULT '0' NOT NULL,
        lease_owner TEXT,
        lease_until TIMESTAMP WITH TIME ZONE,
        refresh_due_at TIMESTAMP WITH TIME ZONE,
        refresh_claimed_until TIMESTAMP WITH TIME ZONE,
        next_attempt_at TIMESTAMP WITH TIME ZONE,
        failures INTEGER DEFAULT '0' NOT NULL,
        suspected_since TIMESTAMP WITH TIME ZONE,
        calendars_listed_at TIMESTAMP WITH TIME ZONE,
        calendar_list_due_at TIMESTAMP WITH TIME ZONE,
        calendar_list_claimed_until TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_connections PRIMARY KEY (id),
        CONSTRAINT uq_connections_person_id_provider_issuer_subject UNIQUE (person_id, provider, issuer, subject),
        CONSTRAINT ck_connections_kind CHECK (kind IN ('google', 'microsoft', 'oidc')),
        CONSTRAINT ck_connections_status CHECK (status IN ('active', 'needs_reconnect', 'disconnected')),
        CONSTRAINT ck_connections_reason CHECK (reason IN ('revoked_by_user', 'revoked_by_admin',
            'credential_changed', 'expired_inactive', 'account_disabled', 'session_policy', 'consent_needed',
            'test_mode_expired', 'rotation_lost', 'grant_rejected')),
        CONSTRAINT ck_connections_reason_given CHECK ((status = 'needs_reconnect') = (reason IS NOT NULL)),
        CONSTRAINT ck_connections_generation_reserved CHECK (generation <= last_generation),
        CONSTRAINT fk_connections_person_id_people FOREIGN KEY(person_id) REFERENCES people (id) ON DELETE CASCADE
    )
    """,
    """
    CREATE INDEX ix_connections_calendar_list_due_at ON connections (calendar_list_due_at) WHERE status = 'active'
    """,
    """
    CREATE INDEX ix_connections_refresh_due_at ON connections (refresh_due_at) WHERE status = 'active'
    """,
    """
    CREATE TABLE policies (
        id UUID NOT NULL,
        service_id UUID NOT NULL,
        provider TEXT,
        features TEXT[] NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        valid_until TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_policies PRIMARY KEY (id),
        CONSTRAINT fk_policies_service_id_services FOREIGN KEY(service_id) REFERENCES services (id)
            ON DELETE CASCADE
    )
    """,
    """
    CREATE INDEX ix_policies_service_id ON policies (service_id)
    """,
    """
    CREATE TABLE service_secrets (
        service_id UUID NOT NULL,
        secret_hash BYTEA NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_service_secrets PRIMARY KEY (service_id, secret_hash),
        CONSTRAINT fk_service_secrets_service_id_services FOREIGN KEY(service_id) REFERENCES services (id)
            ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE service_tokens (
        token_hash BYTEA NOT NULL,
        service_id UUID NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_service_tokens PRIMARY KEY (token_hash),
        CONSTRAINT fk_service_tokens_service_id_services FOREIGN KEY(service_id) REFERENCES services (id)
            ON DELETE CASCADE
    )
    """,
    """
    CREATE INDEX ix_service_tokens_service_id_expires_at ON service_tokens (service_id, expires_at)
    """,
    """
    CREATE TABLE sessions (
        id UUID NOT NULL,
        token_hash BYTEA NOT NULL,
        person_id UUID NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_sessions PRIMARY KEY (id),
        CONSTRAINT uq_sessions_token_hash UNIQUE (token_hash),
        CONSTRAINT fk_sessions_person_id_people FOREIGN KEY(person_id) REFERENCES people (id) ON DELETE CASCADE
    )
    """,
    """
    CREATE INDEX ix_sessions_person_id ON sessions (person_id)
    """,
    """
    CREATE TABLE sign_in_identities (
        issuer TEXT COLLATE "C" NOT NULL,
        subject TEXT COLLATE "C" NOT NULL,
        person_id UUID NOT NULL,
        provider TEXT NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        last_used_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_sign_in_identities PRIMARY KEY (issuer, subject),
        CONSTRAINT fk_sign_in_identities_person_id_people FOREIGN KEY(person_id) REFERENCES people (id)
            ON DELETE CASCADE
    )
    """,
    """
    CREATE INDEX ix_sign_in_identities_person_id ON sign_in_identities (person_id)
    """,
    """
    CREATE TABLE authorization_requests (
        id UUID NOT NULL,
        state_hash BYTEA NOT NULL,
        browser_hash BYTEA NOT NULL,
        person_id UUID,
        connection_id UUID,
        provider TEXT NOT NULL,
        purpose TEXT NOT NULL,
        features TEXT[] NOT NULL,
        scopes TEXT[] NOT NULL,
        return_to TEXT NOT NULL,
        sealed BYTEA NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        used_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_authorization_requests PRIMARY KEY (id),
        CONSTRAINT uq_authorization_requests_state_hash UNIQUE (state_hash),
        CONSTRAINT ck_authorization_requests_purpose CHECK (purpose IN ('sign_in', 'connect')),
        CONSTRAINT fk_authorization_requests_person_id_people FOREIGN KEY(person_id) REFERENCES people (id)
            ON DELETE CASCADE,
        CONSTRAINT fk_authorization_requests_connection_id_connections FOREIGN KEY(connection_id)
            REFERENCES connections (id) ON DELETE CASCADE
    )
    """,
    """
    CREATE INDEX ix_authorization_requests_browser_hash_created_at ON authorization_requests (browser_hash,
            created_at)
    """,
    """
    CREATE INDEX ix_authorization_requests_connection_id ON authorization_requests (connection_id)
    """,
    """
    CREATE INDEX ix_authorization_requests_expires_at ON authorization_requests (expires_at)
    """,
    """
    CREATE INDEX ix_authorization_requests_person_id ON authorization_requests (person_id)
    """,
    """
    CREATE TABLE calendars (
        id UUID NOT NULL,
        connection_id UUID NOT NULL,
        provider_id TEXT COLLATE "C" NOT NULL,
        name TEXT NOT NULL,
        time_zone TEXT,
        access_role TEXT NOT NULL,
        is_primary BOOLEAN NOT NULL,
        color TEXT,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        removed_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_calendars PRIMARY KEY (id),
        CONSTRAINT uq_calendars_connection_id_provider_id UNIQUE (connection_id, provider_id),
        CONSTRAINT ck_calendars_access_role CHECK (access_role IN ('free_busy', 'reader', 'writer', 'owner')),
        CONSTRAINT fk_calendars_connection_id_connections FOREIGN KEY(connection_id)
            REFERENCES connections (id) ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE data_keys (
        connection_id UUID NOT NULL,
        wrapped_key BYTEA NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_data_keys PRIMARY KEY (connection_id),
        CONSTRAINT fk_data_keys_connection_id_connections FOREIGN KEY(connection_id)
            REFERENCES connections (id) ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE refresh_attempts (
        id UUID NOT NULL,
        connection_id UUID NOT NULL,
        epoch BIGINT NOT NULL,
        parent BIGINT NOT NULL,
        generation BIGINT NOT NULL,
        owner TEXT NOT NULL,
        started_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
        finished_at TIMESTAMP WITH TIME ZONE,
        outcome TEXT,
        error_code TEXT,
        CONSTRAINT pk_refresh_attempts PRIMARY KEY (id),
        CONSTRAINT uq_refresh_attempts_connection_id_epoch UNIQUE (connection_id, epoch),
        CONSTRAINT ck_refresh_attempts_outcome CHECK (outcome IN ('stored', 'refused', 'failed', 'ambiguous')),
        CONSTRAINT ck_refresh_attempts_finished CHECK ((outcome IS NULL) = (finished_at IS NULL)),
        CONSTRAINT fk_refresh_attempts_connection_id_connections FOREIGN KEY(connection_id)
            REFERENCES connections (id) ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE token_generations (
        connection_id UUID NOT NULL,
        generation BIGINT NOT NULL,
        epoch BIGINT NOT NULL,
        parent BIGINT NOT NULL,
        origin TEXT NOT NULL,
        sealed_access BYTEA,
        sealed_refresh BYTEA,
        refresh_generation BIGINT,
        scopes TEXT[],
        issued_at TIMESTAMP WITH TIME ZONE NOT NULL,
        access_expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        refresh_due_at TIMESTAMP WITH TIME ZONE NOT NULL,
        refresh_expires_at TIMESTAMP WITH TIME ZONE,
        stored_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
        CONSTRAINT pk_token_generations PRIMARY KEY (connection_id, generation),
        CONSTRAINT ck_token_generations_origin CHECK (origin IN ('consent', 'refresh')),
        CONSTRAINT ck_token_generations_generation CHECK (generation > 0 AND parent < generation),
        CONSTRAINT fk_token_generations_connection_id_connections FOREIGN KEY(connection_id)
            REFERENCES connections (id) ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE channels (
        id UUID NOT NULL,
        calendar_id UUID NOT NULL,
        state TEXT NOT NULL,
        provider_channel_id TEXT COLLATE "C",
        resource_id TEXT,
        expires_at TIMESTAMP WITH TIME ZONE,
        token_hash BYTEA NOT NULL,
        message_number BIGINT,
        last_seen_at TIMESTAMP WITH TIME ZONE,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        activated_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_channels PRIMARY KEY (id),
        CONSTRAINT uq_channels_provider_channel_id UNIQUE (provider_channel_id),
        CONSTRAINT ck_channels_state CHECK (state IN ('creating', 'active', 'stopping')),
        CONSTRAINT ck_channels_described CHECK (state = 'creating' OR (provider_channel_id IS NOT NULL AND
            expires_at IS NOT NULL)),
        CONSTRAINT fk_channels_calendar_id_calendars FOREIGN KEY(calendar_id) REFERENCES calendars (id)
            ON DELETE CASCADE
    )
    """,
    """
    CREATE INDEX ix_channels_calendar_id ON channels (calendar_id)
    """,
    """
    CREATE INDEX ix_channels_created_at ON channels (created_at) WHERE state = 'stopping'
    """,
    """
    CREATE TABLE events (
        calendar_id UUID NOT NULL,
        provider_id TEXT COLLATE "C" NOT NULL,
        kind TEXT NOT NULL,
        status TEXT NOT NULL,
        series_id TEXT COLLATE "C",
        recurrence_id TEXT COLLATE "C",
        all_day BOOLEAN NOT NULL,
        start_at TIMESTAMP WITH TIME ZONE,
        end_at TIMESTAMP WITH TIME ZONE,
        start_date DATE,
        end_date DATE,
        time_zone TEXT,
        time_zone_raw TEXT,
        rules TEXT[] NOT NULL,
        rules_raw JSONB,
        busy TEXT NOT NULL,
        event_type TEXT NOT NULL,
        privacy TEXT NOT NULL,
        self_response TEXT,
        is_organizer BOOLEAN NOT NULL,
        organizer JSONB,
        attendees JSONB NOT NULL,
        attendees_omitted BOOLEAN NOT NULL,
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
        content_hash BYTEA NOT NULL,
        generation BIGINT NOT NULL,
        first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
        changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_events PRIMARY KEY (calendar_id, provider_id),
        CONSTRAINT ck_events_kind CHECK (kind IN ('single', 'master', 'exception')),
        CONSTRAINT ck_events_status CHECK (status IN ('confirmed', 'tentative', 'cancelled')),
        CONSTRAINT ck_events_busy CHECK (busy IN ('free', 'tentative', 'busy', 'out_of_office', 'elsewhere')),
        CONSTRAINT ck_events_times CHECK (end_at >= start_at),
        CONSTRAINT ck_events_dates CHECK (end_date > start_date),
        CONSTRAINT ck_events_series CHECK (kind <> 'exception' OR series_id IS NOT NULL),
        CONSTRAINT fk_events_calendar_id_calendars FOREIGN KEY(calendar_id) REFERENCES calendars (id)
            ON DELETE CASCADE
    )
    """,
    """
    CREATE INDEX ix_events_calendar_id_series_id ON events (calendar_id, series_id) WHERE series_id IS NOT NULL
    """,
    """
    CREATE TABLE occurrences (
        calendar_id UUID NOT NULL,
        series_id TEXT COLLATE "C" NOT NULL,
        recurrence_id TEXT COLLATE "C" NOT NULL,
        source_id TEXT COLLATE "C" NOT NULL,
        person_id UUID NOT NULL,
        all_day BOOLEAN NOT NULL,
        start_at TIMESTAMP WITH TIME ZONE,
        end_at TIMESTAMP WITH TIME ZONE,
        start_date DATE,
        end_date DATE,
        busy TEXT NOT NULL,
        CONSTRAINT pk_occurrences PRIMARY KEY (calendar_id, series_id, recurrence_id),
        CONSTRAINT ck_occurrences_busy CHECK (busy IN ('free', 'tentative', 'busy', 'out_of_office', 'elsewhere')),
        CONSTRAINT ck_occurrences_times CHECK (CASE WHEN all_day THEN start_date IS NOT NULL AND
            end_date > start_date AND start_at IS NULL AND end_at IS NULL ELSE start_at IS NOT NULL AND
            end_at >= start_at AND start_date IS NULL AND end_date IS NULL END),
        CONSTRAINT fk_occurrences_calendar_id_calendars FOREIGN KEY(calendar_id) REFERENCES calendars (id)
            ON DELETE CASCADE
    )
    """,
    """
    CREATE INDEX ix_occurrences_long ON occurrences (person_id, start_at) WHERE NOT all_day AND
            end_at - start_at > interval '31 days'
    """,
    """
    CREATE INDEX ix_occurrences_person_id_start_at ON occurrences (person_id, start_at) INCLUDE (end_at) WHERE
            NOT all_day
    """,
    """
    CREATE INDEX ix_occurrences_person_id_start_date ON occurrences (person_id, start_date) WHERE all_day
    """,
    """
    CREATE TABLE sync_states (
        calendar_id UUID NOT NULL,
        cursor TEXT,
        cursor_version BIGINT DEFAULT '0' NOT NULL,
        window_start TIMESTAMP WITH TIME ZONE,
        window_end TIMESTAMP WITH TIME ZONE,
        generation BIGINT DEFAULT '0' NOT NULL,
        requested BIGINT DEFAULT '0' NOT NULL,
        completed BIGINT DEFAULT '0' NOT NULL,
        due_at TIMESTAMP WITH TIME ZONE NOT NULL,
        claimed_until TIMESTAMP WITH TIME ZONE,
        epoch BIGINT DEFAULT '0' NOT NULL,
        lease_owner TEXT,
        lease_until TIMESTAMP WITH TIME ZONE,
        last_success_at TIMESTAMP WITH TIME ZONE,
        last_error TEXT,
        failures BIGINT DEFAULT '0' NOT NULL,
        event_count BIGINT DEFAULT '0' NOT NULL,
        channel_due_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_sync_states PRIMARY KEY (calendar_id),
        CONSTRAINT ck_sync_states_cursor_has_window CHECK ((cursor IS NULL) = (window_start IS NULL)),
        CONSTRAINT ck_sync_states_window CHECK (window_end > window_start),
        CONSTRAINT fk_sync_states_calendar_id_calendars FOREIGN KEY(calendar_id) REFERENCES calendars (id)
            ON DELETE CASCADE
    )
    """,
    """
    CREATE INDEX ix_sync_states_channel_due_at ON sync_states (channel_due_at)
    """,
    """
    CREATE INDEX ix_sync_states_due_at ON sync_states (due_at)
    """,
)


def upgrade() -> None:
    """Create every table with its indexes."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop every table, children first."""
    for table in reversed(TABLES):
        op.execute(f"DROP TABLE {table}")
