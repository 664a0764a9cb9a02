"""Internal services: their credentials, their short-lived tokens, what policy lets them see."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid4

from app.domain.connections import Connection
from app.domain.errors import InvalidClient
from app.domain.features import Feature
from app.domain.people import Service
from app.domain.secret import Secret
from app.ports import Clock, Store
from app.services.brief_cache import BriefCache
from app.services.sessions import new_token, token_hash

TOKEN_LIFETIME_S = 600
SECRET_LIFETIME = timedelta(days=90)
"""A shared secret that never ends is found in a backup one day."""


class ServiceClients:
    """Authenticates services (RFC 6749 section 2.3.1) and gives them their own tokens (section 4.4)."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self._known: BriefCache[tuple[str, bytes], Service] = BriefCache()

    def add(self, name: str, features: Sequence[Feature], provider: str | None = None) -> Secret:
        """Register a service with one policy and return its secret, shown this once.

        ``provider`` null means any. Raises ``ValueError`` when the name is taken or unusable.
        """
        if not name or ":" in name or not name.isprintable() or len(name) > 64:
            raise ValueError("a service name has 1 to 64 printable characters and no colon")
        secret, service_id, now = Secret(secrets.token_urlsafe(32)), uuid4(), self.clock()
        with self.store.transaction() as tx:
            tx.services.add(service_id, name, token_hash(secret.reveal()), now + SECRET_LIFETIME, now)
            tx.services.allow(uuid4(), service_id, provider, tuple(features), now)
            tx.audit.event("service_added", now, detail={"service": str(service_id)})
        return secret

    def rotate_secret(self, name: str) -> Secret:
        """Return a further secret for a service, shown this once; the one before stays valid, older ones end.

        Raises ``ValueError`` when there is no such service.
        """
        secret, now = Secret(secrets.token_urlsafe(32)), self.clock()
        with self.store.transaction() as tx:
            service = tx.services.add_secret(name, token_hash(secret.reveal()), now + SECRET_LIFETIME, now)
            if service is None:
                raise ValueError(f"there is no service named {name}")
            tx.audit.event("service_secret_added", now, detail={"service": str(service.id)})
        return secret

    def authenticate(self, name: str, secret: str) -> Service:
        """Return the service of a name and secret; raises ``InvalidClient``.

        Only the hash of a 256-bit random secret is compared, inside an index look-up: nothing to time.
        """
        if not name.isprintable():
            raise InvalidClient("name")
        hashed = token_hash(secret)
        return self._known.get((name, hashed), lambda: self._by_secret(name, hashed))

    def issue_token(self, service: Service) -> tuple[Secret, int]:
        """Return a Latchkey token for ``/v1`` and its life in seconds."""
        token = new_token()
        expires_at = self.clock() + timedelta(seconds=TOKEN_LIFETIME_S)
        with self.store.transaction() as tx:
            tx.services.add_token(token_hash(token.reveal()), service.id, expires_at)
        return token, TOKEN_LIFETIME_S

    def bearer(self, token: str) -> Service:
        """Return the service a Latchkey token belongs to; raises ``InvalidClient``."""
        hashed = token_hash(token)
        return self._known.get(("", hashed), lambda: self._by_token(hashed))

    def connections(self, service: Service, provider: str | None) -> tuple[Connection, ...]:
        """Return the connections policy lets the service know of."""
        with self.store.reading() as tx:
            return tx.connections.visible_to(service.id, provider, self.clock())

    def connection(self, service: Service, connection_id: UUID) -> Connection | None:
        """Return one connection if policy lets the service know of it; null otherwise."""
        with self.store.reading() as tx:
            found = tx.connections.get(connection_id)
            if found is None or not tx.services.allowed_features(service.id, found.provider, self.clock()):
                return None
        return found

    def _by_secret(self, name: str, hashed: bytes) -> Service:
        with self.store.reading() as tx:
            found = tx.services.by_secret(name, hashed, self.clock())
        if found is None:
            raise InvalidClient("secret")
        return found

    def _by_token(self, hashed: bytes) -> Service:
        with self.store.reading() as tx:
            found = tx.services.by_token(hashed, self.clock())
        if found is None:
            raise InvalidClient("token")
        return found
