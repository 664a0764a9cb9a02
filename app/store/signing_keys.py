"""The keys that sign our own tokens; private halves are sealed."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, delete, insert, select, text, update

from app.ports.credentials import SigningKeyRow, SigningKeyState
from app.store.schema import signing_keys


class PostgresSigningKeys:
    """Implements ``ports.SigningKeyStore``."""

    def __init__(self, connection: Connection) -> None:
        """Work on ``connection``."""
        self._connection = connection

    def all(self) -> tuple[SigningKeyRow, ...]:
        """Return all keys, oldest first."""
        rows = self._connection.execute(select(signing_keys).order_by(signing_keys.c.created_at, signing_keys.c.id))
        return tuple(
            SigningKeyRow(
                row.id,
                SigningKeyState(row.state),
                row.public_jwk,
                None if row.sealed_private_key is None else bytes(row.sealed_private_key),
                row.created_at,
                row.state_since,
            )
            for row in rows
        )

    def all_for_change(self) -> tuple[SigningKeyRow, ...]:
        """Return all keys and let nobody else change them until the transaction ends."""
        # A lock on rows would not keep two first starts from making two active keys.
        self._connection.execute(text("LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE"))
        return self.all()

    def add(self, row: SigningKeyRow) -> None:
        """Store a key."""
        self._connection.execute(
            insert(signing_keys).values(
                id=row.id,
                state=row.state,
                public_jwk=dict(row.public_jwk),
                sealed_private_key=row.sealed_private_key,
                created_at=row.created_at,
                state_since=row.state_since,
            )
        )

    def activate(self, key_id: UUID, now: datetime) -> None:
        """Make a key the one that signs."""
        self._change(key_id, state=SigningKeyState.ACTIVE, state_since=now)

    def retire(self, key_id: UUID, now: datetime) -> None:
        """Let a key sign no more: its private half is deleted."""
        self._change(key_id, state=SigningKeyState.RETIRED, state_since=now, sealed_private_key=None)

    def delete(self, key_id: UUID) -> None:
        """Forget a key: what it signed is not believed any more."""
        self._connection.execute(delete(signing_keys).where(signing_keys.c.id == key_id))

    def _change(self, key_id: UUID, **values: object) -> None:
        self._connection.execute(update(signing_keys).where(signing_keys.c.id == key_id).values(**values))
