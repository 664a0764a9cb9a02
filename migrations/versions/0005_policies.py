"""Widen policies."""

from __future__ import annotations

revision = "0005_policies"
down_revision = "0004_service_credentials"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the schema."""


def downgrade() -> None:
    """Undo the change."""
