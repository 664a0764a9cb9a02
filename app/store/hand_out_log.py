"""Hand-out decisions: one statement and one round trip for a group of them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from app.ports import HandOut
from app.store.engine import typed_faults
from app.store.storable import storable_text

_WRITE = """
    INSERT INTO hand_outs (id, service_id, connection_id, person_id, purpose, features, scopes, decision, reason,
                           token_fingerprint, at)
    SELECT id, service_id, connection_id, person_id, purpose, features, scopes, decision, reason,
           decode(token_fingerprint, 'hex'), at
    FROM jsonb_to_recordset(%(entries)s::jsonb)
         AS entry (id uuid, service_id uuid, connection_id uuid, person_id uuid, purpose text, features text[],
                   scopes text[], decision text, reason text, token_fingerprint text, at timestamptz)
    ON CONFLICT DO NOTHING
    """
"""One parameter however many rows, so the statement is prepared once. Repeating it changes nothing."""

ATTEMPTS = 2
"""A pooled connection that died with a restarted server costs one attempt, not somebody's token."""


def write_hand_outs(engine: Engine, entries: Sequence[HandOut]) -> None:
    """Write ``entries``; returns when they are committed. Raises ``StoreUnavailable``."""
    parameters = {"entries": json.dumps([_row(entry) for entry in entries])}
    for attempt in range(1, ATTEMPTS + 1):
        with typed_faults(), engine.connect() as connection:
            try:
                connection.exec_driver_sql(_WRITE, parameters)
            except DBAPIError:
                if attempt == ATTEMPTS or not connection.invalidated:
                    raise
            else:
                return


def _row(entry: HandOut) -> dict[str, object]:
    return {
        "id": str(entry.id),
        "service_id": str(entry.service_id),
        "connection_id": str(entry.connection_id) if entry.connection_id else None,
        "person_id": str(entry.person_id) if entry.person_id else None,
        "purpose": storable_text(entry.purpose),
        "features": entry.features,
        "scopes": [storable_text(scope) for scope in entry.scopes],
        "decision": entry.decision,
        "reason": entry.reason,
        "token_fingerprint": entry.token_fingerprint.hex() if entry.token_fingerprint else None,
        "at": entry.at.isoformat(),
    }
