"""Widen policies: purposes, people, rates, acting for absent people; the person's own switches.

A policy made before could be used with a connection's id alone, which is acting for somebody who is absent: it keeps
that right. New rows have it only when they say so.
"""

from __future__ import annotations

from alembic import op

revision = "0005_policies"
down_revision = "0004_service_credentials"
branch_labels = None
depends_on = None

UP = (
    "ALTER TABLE policies ADD COLUMN purposes TEXT[]",
    "ALTER TABLE policies ADD COLUMN people TEXT[]",
    "ALTER TABLE policies ADD COLUMN max_per_hour INTEGER",
    "ALTER TABLE policies ADD COLUMN act_as BOOLEAN DEFAULT true NOT NULL",
    "ALTER TABLE policies ALTER COLUMN act_as SET DEFAULT false",
    "ALTER TABLE policies ADD CONSTRAINT ck_policies_max_per_hour CHECK (max_per_hour > 0)",
    """
    CREATE TABLE policy_usage (
        policy_id UUID NOT NULL,
        hour TIMESTAMP WITH TIME ZONE NOT NULL,
        taken INTEGER NOT NULL,
        last_chunk INTEGER NOT NULL,
        CONSTRAINT pk_policy_usage PRIMARY KEY (policy_id, hour),
        CONSTRAINT fk_policy_usage_policy_id_policies FOREIGN KEY(policy_id) REFERENCES policies (id) ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE service_blocks (
        person_id UUID NOT NULL,
        service_id UUID NOT NULL,
        since TIMESTAMP WITH TIME ZONE NOT NULL,
        until TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_service_blocks PRIMARY KEY (person_id, service_id),
        CONSTRAINT fk_service_blocks_person_id_people FOREIGN KEY(person_id) REFERENCES people (id) ON DELETE CASCADE,
        CONSTRAINT fk_service_blocks_service_id_services FOREIGN KEY(service_id) REFERENCES services (id)
            ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_service_blocks_service_id ON service_blocks (service_id)",
    "ALTER TABLE connections ADD COLUMN paused_until TIMESTAMP WITH TIME ZONE",
)

DOWN = (
    "ALTER TABLE connections DROP COLUMN paused_until",
    "DROP TABLE service_blocks",
    "DROP TABLE policy_usage",
    "ALTER TABLE policies DROP CONSTRAINT ck_policies_max_per_hour",
    "ALTER TABLE policies DROP COLUMN act_as",
    "ALTER TABLE policies DROP COLUMN max_per_hour",
    "ALTER TABLE policies DROP COLUMN people",
    "ALTER TABLE policies DROP COLUMN purposes",
)


def upgrade() -> None:
    """Add what a policy can say, and where a person says no."""
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    """Take it away again."""
    for statement in DOWN:
        op.execute(statement)
