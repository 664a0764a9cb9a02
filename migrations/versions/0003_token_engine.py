"""Watch over live processes and refresh attempts."""

from __future__ import annotations

revision = "0003_token_engine"
down_revision = "0002_audit_log"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the schema."""


def downgrade() -> None:
    """Undo the change."""
