"""Know which processes live, find the attempts of dead ones, and remember refused refresh tokens."""

from __future__ import annotations

from alembic import op

revision = "0003_token_engine"
down_revision = "0002_audit_log"
branch_labels = None
depends_on = None

UP = (
    """
    CREATE TABLE processes (
        id UUID NOT NULL,
        lock_key BIGINT NOT NULL,
        started_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
        heartbeat_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
        CONSTRAINT pk_processes PRIMARY KEY (id)
    )
    """,
    "ALTER TABLE token_generations ADD COLUMN refused_at TIMESTAMP WITH TIME ZONE",
    """
    CREATE INDEX ix_refresh_attempts_owner ON refresh_attempts (owner) WHERE outcome IS NULL
    """,
    """
    CREATE INDEX ix_connections_provider_refresh_due_at ON connections (provider, refresh_due_at)
        WHERE status = 'active'
    """,
    "DROP INDEX ix_connections_refresh_due_at",
)

DOWN = (
    "CREATE INDEX ix_connections_refresh_due_at ON connections (refresh_due_at) WHERE status = 'active'",
    "DROP INDEX ix_connections_provider_refresh_due_at",
    "DROP INDEX ix_refresh_attempts_owner",
    "ALTER TABLE token_generations DROP COLUMN refused_at",
    "DROP TABLE processes",
)


def upgrade() -> None:
    """Add what the takeover needs."""
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    """Undo it."""
    for statement in DOWN:
        op.execute(statement)
