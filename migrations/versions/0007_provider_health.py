"""Keep the state of provider applications."""

from __future__ import annotations

revision = "0007_provider_health"
down_revision = "0006_connect_links"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the schema."""


def downgrade() -> None:
    """Undo the change."""
