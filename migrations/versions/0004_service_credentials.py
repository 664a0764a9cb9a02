"""Keep keys, workloads and signing keys of services.

Latchkey's own tokens are signed from here on, so the table of issued ones goes.
"""

from __future__ import annotations

from alembic import op

revision = "0004_service_credentials"
down_revision = "0003_token_engine"
branch_labels = None
depends_on = None

UPGRADE = (
    """
    ALTER TABLE services ADD COLUMN jwks_url TEXT
    """,
    """
    CREATE TABLE service_keys (
        service_id UUID NOT NULL,
        kid TEXT COLLATE "C" NOT NULL,
        jwk JSONB NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_service_keys PRIMARY KEY (service_id, kid),
        CONSTRAINT fk_service_keys_service_id_services FOREIGN KEY(service_id) REFERENCES services (id)
            ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE service_workloads (
        service_id UUID NOT NULL,
        issuer_key TEXT NOT NULL,
        subject_pattern TEXT COLLATE "C" NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_service_workloads PRIMARY KEY (issuer_key, subject_pattern, service_id),
        CONSTRAINT fk_service_workloads_service_id_services FOREIGN KEY(service_id) REFERENCES services (id)
            ON DELETE CASCADE
    )
    """,
    """
    CREATE INDEX ix_service_workloads_service_id ON service_workloads (service_id)
    """,
    """
    CREATE TABLE spent_statements (
        service_id UUID NOT NULL,
        jti_hash BYTEA NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_spent_statements PRIMARY KEY (service_id, jti_hash),
        CONSTRAINT fk_spent_statements_service_id_services FOREIGN KEY(service_id) REFERENCES services (id)
            ON DELETE CASCADE
    )
    """,
    """
    CREATE INDEX ix_spent_statements_expires_at ON spent_statements (expires_at)
    """,
    """
    CREATE TABLE signing_keys (
        id UUID NOT NULL,
        state TEXT NOT NULL,
        public_jwk JSONB NOT NULL,
        sealed_private_key BYTEA,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        state_since TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_signing_keys PRIMARY KEY (id),
        CONSTRAINT ck_signing_keys_state CHECK (state IN ('next', 'active', 'retired'))
    )
    """,
    """
    DROP TABLE service_tokens
    """,
)

DOWNGRADE = (
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
    DROP TABLE signing_keys
    """,
    """
    DROP TABLE spent_statements
    """,
    """
    DROP TABLE service_workloads
    """,
    """
    DROP TABLE service_keys
    """,
    """
    ALTER TABLE services DROP COLUMN jwks_url
    """,
)


def upgrade() -> None:
    """Make the tables of credentials; drop the one of issued tokens."""
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    """Bring the table of issued tokens back, empty; callers get new tokens."""
    for statement in DOWNGRADE:
        op.execute(statement)
