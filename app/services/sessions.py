"""Browser sessions: made at sign-in, looked up by the hash of their cookie, ended for good."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from uuid import UUID

from app.domain.people import SESSION_LIFETIME, BrowserSession
from app.domain.secret import Secret
from app.ports import Clock, Store, Transaction


def token_hash(token: str) -> bytes:
    """Return what the store keeps of a random token: its SHA-256. The token itself is stored nowhere."""
    return hashlib.sha256(token.encode()).digest()


def new_token() -> Secret:
    """Return 256 random bits as text, for cookies, states and service tokens (ASVS 5.0 V7.2.3, V11.5.1)."""
    return Secret(secrets.token_urlsafe(32))


@dataclass(frozen=True)
class Sessions:
    """Server-side browser sessions."""

    store: Store
    clock: Clock

    def start(self, tx: Transaction, person_id: UUID) -> Secret:
        """Make a session inside ``tx`` and return its cookie value."""
        token = new_token()
        now = self.clock()
        tx.people.start_session(token_hash(token.reveal()), person_id, now, now + SESSION_LIFETIME)
        return token

    def resolve(self, token: str) -> BrowserSession | None:
        """Return the live session of a cookie value; null when there is none."""
        with self.store.transaction() as tx:
            return tx.people.session(token_hash(token), self.clock())

    def end(self, token: str) -> None:
        """Sign this browser out."""
        with self.store.transaction() as tx:
            tx.people.end_session(token_hash(token))
