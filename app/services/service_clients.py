"""Internal services as callers: by name and secret, and what policy lets them see."""

from __future__ import annotations

from app.domain.connections import Connection
from app.domain.errors import ClientFrozen, InvalidClient
from app.domain.people import Service
from app.domain.signed_tokens import LONGEST_NAME
from app.ports import Clock, Sealer, Store
from app.services.brief_cache import BriefCache

SECRET_HASH = "service_secret"
"""Purpose of the keyed hash of a secret: the table alone is no help in guessing one."""


class ServiceClients:
    """Authenticates services by secret (RFC 6749 section 2.3.1) and finds their connections."""

    def __init__(self, store: Store, sealer: Sealer, clock: Clock) -> None:
        self.store = store
        self.sealer = sealer
        self.clock = clock
        self._known: BriefCache[tuple[str, bytes], Service] = BriefCache()

    def authenticate(self, name: str, secret: str) -> Service:
        """Return the service of a name and secret; raises ``InvalidClient`` and ``ClientFrozen``.

        An unknown name and a wrong secret cost the same: one keyed hash and one look-up of the two together.
        """
        if not name.isprintable() or len(name) > LONGEST_NAME:
            raise InvalidClient("name")
        hashed = self.sealer.keyed_hash(SECRET_HASH, secret)
        service = self._known.get((name, hashed), lambda: self._by_secret(name, hashed))
        if not service.is_enabled:
            raise ClientFrozen
        return service

    def connections(self, service: Service, provider: str | None) -> tuple[Connection, ...]:
        """Return the connections policy lets the service know of."""
        with self.store.reading() as tx:
            return tx.connections.visible_to(service.id, provider, self.clock())

    def _by_secret(self, name: str, hashed: bytes) -> Service:
        with self.store.reading() as tx:
            found = tx.credentials.by_secret(name, hashed, self.clock())
        if found is None:
            raise InvalidClient("secret")
        return found
