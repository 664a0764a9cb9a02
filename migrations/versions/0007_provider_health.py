"""Keep the state of provider applications, and when a connection was last used.

``provider_health`` has a row for each provider that ever was in trouble; calls that go well write nothing.
"""

from __future__ import annotations

from alembic import op

revision = "0007_provider_health"
down_revision = "0006_connect_links"
branch_labels = None
depends_on = None

UP = (
    """
    CREATE TABLE provider_health (
        provider TEXT NOT NULL,
        cause TEXT,
        code TEXT,
        openings INTEGER DEFAULT '0' NOT NULL,
        opened_at TIMESTAMP WITH TIME ZONE,
        open_until TIMESTAMP WITH TIME ZONE,
        probe_until TIMESTAMP WITH TIME ZONE,
        closed_at TIMESTAMP WITH TIME ZONE,
        resumption_per_s DOUBLE PRECISION,
        resumption_until TIMESTAMP WITH TIME ZONE,
        believed_until TIMESTAMP WITH TIME ZONE,
        test_mode_since TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_provider_health PRIMARY KEY (provider),
        CONSTRAINT ck_provider_health_cause CHECK (cause IN ('rejected', 'unavailable', 'throttled', 'refusals')),
        CONSTRAINT ck_provider_health_open CHECK (cause IS NULL OR (opened_at IS NOT NULL AND open_until IS NOT NULL))
    )
    """,
    "ALTER TABLE connections ADD COLUMN last_used_at TIMESTAMP WITH TIME ZONE",
    "CREATE INDEX ix_connections_suspected ON connections (provider) WHERE suspected_since IS NOT NULL",
    "CREATE INDEX ix_connections_dead ON connections (status_since) WHERE status = 'needs_reconnect'",
)

DOWN = (
    "DROP INDEX ix_connections_dead",
    "DROP INDEX ix_connections_suspected",
    "ALTER TABLE connections DROP COLUMN last_used_at",
    "DROP TABLE provider_health",
)


def upgrade() -> None:
    """Create the table, the column and what finds suspected and dead connections."""
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    for statement in DOWN:
        op.execute(statement)
