"""Keep keys, workloads and signing keys of services."""

from __future__ import annotations

revision = "0004_service_credentials"
down_revision = "0003_token_engine"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the schema."""


def downgrade() -> None:
    """Undo the change."""
