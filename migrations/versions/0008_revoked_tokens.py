"""Keep which Latchkey tokens were revoked before their end (RFC 7009).

A row lives as long as its token would have: minutes.
"""

from __future__ import annotations

from alembic import op

revision = "0008_revoked_tokens"
down_revision = "0007_provider_health"
branch_labels = None
depends_on = None

UP = (
    """
    CREATE TABLE revoked_tokens (
        jti UUID NOT NULL,
        service_id UUID NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_revoked_tokens PRIMARY KEY (jti),
        CONSTRAINT fk_revoked_tokens_service_id_services FOREIGN KEY(service_id) REFERENCES services (id)
            ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_revoked_tokens_service_id ON revoked_tokens (service_id)",
    "CREATE INDEX ix_revoked_tokens_expires_at ON revoked_tokens (expires_at)",
)

DOWN = ("DROP TABLE revoked_tokens",)


def upgrade() -> None:
    """Create the table."""
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    """Drop it: tokens revoked in their last minutes are good again until they end."""
    for statement in DOWN:
        op.execute(statement)
