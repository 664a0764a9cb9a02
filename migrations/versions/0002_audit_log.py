"""Chain the audit log.

``audit_log`` becomes the one record of what happened; ``audit_events`` stays as the way into it for transactions.
Hand-outs written so far take that way, too, and keep their ids.
"""

from __future__ import annotations

from alembic import op

revision = "0002_audit_log"
down_revision = "0001_initial"
branch_labels = None
depends_on = None

UP = (
    """
    CREATE TABLE audit_log (
        seq BIGINT NOT NULL,
        id UUID NOT NULL,
        kind TEXT NOT NULL,
        at TIMESTAMP WITH TIME ZONE NOT NULL,
        recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
        service_id UUID,
        person_id UUID,
        connection_id UUID,
        detail JSONB NOT NULL,
        key_id BYTEA NOT NULL,
        mac BYTEA NOT NULL,
        CONSTRAINT pk_audit_log PRIMARY KEY (seq),
        CONSTRAINT uq_audit_log_id UNIQUE (id)
    )
    """,
    "CREATE INDEX ix_audit_log_connection_id_seq ON audit_log (connection_id, seq)",
    "CREATE INDEX ix_audit_log_person_id_seq ON audit_log (person_id, seq)",
    """
    CREATE INDEX ix_audit_log_history ON audit_log (connection_id, seq)
        WHERE kind NOT IN ('hand_out.released', 'hand_out.denied')
    """,
    """
    CREATE FUNCTION refuse_audit_log_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'audit_log is append-only' USING ERRCODE = 'insufficient_privilege';
    END
    $$
    """,
    """
    CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_log_change()
    """,
    "ALTER TABLE audit_events ADD COLUMN entry_id UUID NOT NULL DEFAULT gen_random_uuid()",
    "ALTER TABLE audit_events ADD COLUMN service_id UUID",
    "DROP INDEX ix_audit_events_connection_id_id",
    "DROP INDEX ix_audit_events_person_id_id",
    """
    INSERT INTO audit_events (entry_id, kind, at, service_id, person_id, connection_id, detail)
    SELECT id, 'hand_out.' || decision, at, service_id, person_id, connection_id,
           jsonb_build_object('purpose', purpose, 'features', features, 'scopes', scopes, 'reason', reason,
                              'token_fingerprint', encode(token_fingerprint, 'hex'))
    FROM hand_outs ORDER BY at
    """,
    "DROP TABLE hand_outs",
)

DOWN = (
    """
    CREATE TABLE hand_outs (
        id UUID NOT NULL,
        service_id UUID NOT NULL,
        connection_id UUID,
        person_id UUID,
        purpose TEXT,
        features TEXT[] NOT NULL,
        scopes TEXT[] NOT NULL,
        decision TEXT NOT NULL,
        reason TEXT,
        token_fingerprint BYTEA,
        at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_hand_outs PRIMARY KEY (id),
        CONSTRAINT ck_hand_outs_decision CHECK (decision IN ('released', 'denied'))
    )
    """,
    "CREATE INDEX ix_hand_outs_connection_id_at ON hand_outs (connection_id, at)",
    "CREATE INDEX ix_hand_outs_person_id_at ON hand_outs (person_id, at)",
    """
    INSERT INTO hand_outs (id, service_id, connection_id, person_id, purpose, features, scopes, decision, reason,
                           token_fingerprint, at)
    SELECT id, service_id, connection_id, person_id, detail->>'purpose',
           ARRAY(SELECT jsonb_array_elements_text(detail->'features')),
           ARRAY(SELECT jsonb_array_elements_text(detail->'scopes')),
           substr(kind, 10), detail->>'reason', decode(detail->>'token_fingerprint', 'hex'), at
    FROM (SELECT id, kind, at, service_id, person_id, connection_id, detail FROM audit_log
          UNION ALL
          SELECT entry_id, kind, at, service_id, person_id, connection_id, detail FROM audit_events) AS entries
    WHERE kind IN ('hand_out.released', 'hand_out.denied')
    """,
    "DELETE FROM audit_events WHERE kind IN ('hand_out.released', 'hand_out.denied')",
    """
    INSERT INTO audit_events (kind, at, person_id, connection_id, detail)
    SELECT kind, at, person_id, connection_id, detail FROM audit_log
    WHERE kind NOT IN ('hand_out.released', 'hand_out.denied') ORDER BY seq
    """,
    "ALTER TABLE audit_events DROP COLUMN entry_id, DROP COLUMN service_id",
    "CREATE INDEX ix_audit_events_connection_id_id ON audit_events (connection_id, id)",
    "CREATE INDEX ix_audit_events_person_id_id ON audit_events (person_id, id)",
    "DROP TABLE audit_log",
    "DROP FUNCTION refuse_audit_log_change()",
)


def upgrade() -> None:
    """Create the log with its guard, and send what was written so far into it."""
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    """Put hand-outs and events back into their tables; what goes is the chain."""
    for statement in DOWN:
        op.execute(statement)
