"""Keep connect links."""

from __future__ import annotations

from alembic import op

revision = "0006_connect_links"
down_revision = "0005_policies"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE service_return_uris (
        service_id UUID NOT NULL,
        uri TEXT COLLATE "C" NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_service_return_uris PRIMARY KEY (service_id, uri),
        CONSTRAINT fk_service_return_uris_service_id_services FOREIGN KEY(service_id) REFERENCES services (id)
            ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE connect_links (
        id UUID NOT NULL,
        secret_hash BYTEA NOT NULL,
        service_id UUID NOT NULL,
        for_person_id UUID,
        for_issuer TEXT COLLATE "C",
        for_subject TEXT COLLATE "C",
        email_hint TEXT,
        provider TEXT NOT NULL,
        features TEXT[] NOT NULL,
        return_uri TEXT COLLATE "C" NOT NULL,
        completion TEXT NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        state TEXT NOT NULL,
        reason TEXT,
        browser_hash BYTEA,
        taken_by UUID,
        used_at TIMESTAMP WITH TIME ZONE,
        connection_id UUID,
        complete_by TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_connect_links PRIMARY KEY (id),
        CONSTRAINT uq_connect_links_secret_hash UNIQUE (secret_hash),
        CONSTRAINT ck_connect_links_completion CHECK (completion IN ('automatic', 'host')),
        CONSTRAINT ck_connect_links_state CHECK (state IN ('open', 'started', 'awaiting_completion', 'connected',
            'declined', 'failed', 'expired')),
        CONSTRAINT ck_connect_links_identity CHECK ((for_issuer IS NULL) = (for_subject IS NULL)),
        CONSTRAINT ck_connect_links_taken CHECK ((browser_hash IS NULL) = (taken_by IS NULL)),
        CONSTRAINT ck_connect_links_awaiting CHECK (state <> 'awaiting_completion'
            OR (complete_by IS NOT NULL AND connection_id IS NOT NULL)),
        CONSTRAINT fk_connect_links_service_id_services FOREIGN KEY(service_id) REFERENCES services (id)
            ON DELETE CASCADE,
        CONSTRAINT fk_connect_links_for_person_id_people FOREIGN KEY(for_person_id) REFERENCES people (id)
            ON DELETE CASCADE,
        CONSTRAINT fk_connect_links_taken_by_people FOREIGN KEY(taken_by) REFERENCES people (id)
            ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_connect_links_service_id_created_at ON connect_links (service_id, created_at)",
    "CREATE INDEX ix_connect_links_for_person_id ON connect_links (for_person_id)",
    "CREATE INDEX ix_connect_links_taken_by ON connect_links (taken_by)",
    "CREATE INDEX ix_connect_links_expires_at ON connect_links (expires_at)",
    "ALTER TABLE connections ADD COLUMN completion_due_at TIMESTAMP WITH TIME ZONE",
    """
    CREATE INDEX ix_connections_completion_due_at ON connections (completion_due_at)
    WHERE completion_due_at IS NOT NULL
    """,
)


def upgrade() -> None:
    """Add the links, the addresses people may be sent back to, and connections that wait for their host."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Undo the change; a connection that waits for its host counts as confirmed then."""
    op.execute("ALTER TABLE connections DROP COLUMN completion_due_at")
    op.execute("DROP TABLE connect_links")
    op.execute("DROP TABLE service_return_uris")
