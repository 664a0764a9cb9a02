"""Keep connect links."""

from __future__ import annotations

revision = "0006_connect_links"
down_revision = "0005_policies"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the schema."""


def downgrade() -> None:
    """Undo the change."""
