"""The operator's side of internal services: registering them, what they prove themselves with, freezing them.

Everything here is written to the audit in the same transaction.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from uuid import uuid4

from app.domain.features import Feature
from app.domain.people import Service
from app.domain.policies import Policy, Terms
from app.domain.secret import Secret
from app.domain.signed_tokens import LONGEST_NAME
from app.domain.workloads import SubjectPattern
from app.ports import Clock, Sealer, ServiceOverview, Store, TokenReader, Transaction, TrustedIssuers
from app.services.service_clients import SECRET_HASH

SECRET_LIFETIME = timedelta(days=90)
"""A shared secret that never ends is found in a backup one day."""
MOST_KEYS = 10
"""Of one service; every one of them may be tried on a token that names none."""
LONGEST_URL = 2000


@dataclass(frozen=True)
class ServiceRegistry:
    """Registers services and their credentials. Methods raise ``ValueError`` with a sentence for operators."""

    store: Store
    sealer: Sealer
    reader: TokenReader
    workload_issuers: TrustedIssuers
    clock: Clock

    def add(
        self, name: str, features: Sequence[Feature], provider: str | None = None, *, act_as: bool = False
    ) -> Secret:
        """Register a service with one policy and return its secret, shown this once. ``provider`` null means any.

        ``act_as`` lets the service name people itself, without a token of theirs.
        """
        if not name or ":" in name or not name.isprintable() or len(name) > LONGEST_NAME:
            raise ValueError(f"a service name has 1 to {LONGEST_NAME} printable characters and no colon")
        secret, service_id, now = Secret(secrets.token_urlsafe(32)), uuid4(), self.clock()
        with self.store.transaction() as tx:
            tx.services.add(service_id, name, now)
            self._add_secret(tx, Service(service_id, name), secret, now)
            tx.policies.add(Policy(uuid4(), service_id, Terms(provider, frozenset(features), act_as=act_as)), now)
            tx.audit.event("service_added", now, service_id=service_id, detail={"name": name})
        return secret

    def rotate_secret(self, name: str, *, is_stolen: bool = False) -> Secret:
        """Return a further secret, shown this once; the one before stays valid, older ones end.

        ``is_stolen`` ends the one before as well, on every process within a second.
        """
        secret = Secret(secrets.token_urlsafe(32))

        def change(tx: Transaction, service: Service, now: datetime) -> None:
            if is_stolen:
                tx.credentials.end_secrets(service.id, now)
                tx.audit.event("service_secrets_ended", now, service_id=service.id)
            self._add_secret(tx, service, secret, now)
            tx.audit.event("service_secret_added", now, service_id=service.id)

        self._change(name, change)
        return secret

    def add_key(self, name: str, text: str, expires_at: datetime | None) -> str:
        """Register the public key in ``text`` (a JWK or PEM) and return its ``kid``; ``expires_at`` null: no end."""
        jwk = self.reader.check_key(text)
        kid = str(jwk["kid"])

        def change(tx: Transaction, service: Service, now: datetime) -> None:
            if expires_at is not None and expires_at <= now:
                raise ValueError("the key would have ended already")
            if tx.credentials.count_keys(service.id) >= MOST_KEYS:
                raise ValueError(f"a service has at most {MOST_KEYS} keys; remove one that is not used any more")
            tx.credentials.add_key(service.id, kid, jwk, expires_at, now)
            tx.audit.event("service_key_added", now, service_id=service.id, detail={"kid": kid})

        self._change(name, change)
        return kid

    def remove_key(self, name: str, kid: str) -> None:
        """Forget a public key, at once for every process."""

        def change(tx: Transaction, service: Service, now: datetime) -> None:
            if not tx.credentials.remove_key(service.id, kid):
                raise ValueError("the service has no key of this kid")
            tx.audit.event("service_key_removed", now, service_id=service.id, detail={"kid": kid})

        self._change(name, change)

    def set_jwks_url(self, name: str, url: str | None) -> None:
        """Say where a service publishes its public keys (https); null for nowhere."""
        if url is not None and (len(url) > LONGEST_URL or not _is_plain_https(url)):
            raise ValueError("a JWKS address is https, with a host, without credentials and fragment")

        def change(tx: Transaction, service: Service, now: datetime) -> None:
            tx.credentials.set_jwks_url(service.id, url)
            tx.audit.event("service_jwks_url_set", now, service_id=service.id, detail={"url": url or ""})

        self._change(name, change)

    def add_workload(self, name: str, issuer_key: str, pattern: str) -> None:
        """Let tokens of a trusted issuer stand for a service; ``pattern`` as in ``domain.workloads``."""
        SubjectPattern(pattern)
        if issuer_key not in self.workload_issuers.keys():  # noqa: SIM118  # no mapping: the names of all
            raise ValueError(f"the providers file has no [workload_issuers.{issuer_key}]")

        def change(tx: Transaction, service: Service, now: datetime) -> None:
            if not tx.credentials.add_workload(service.id, issuer_key, pattern, now):
                raise ValueError("the service has this workload already")
            tx.audit.event(
                "service_workload_added", now, service_id=service.id,
                detail={"issuer": issuer_key, "pattern": pattern},
            )  # fmt: skip

        self._change(name, change)

    def remove_workload(self, name: str, issuer_key: str, pattern: str) -> None:
        """Let tokens of this pattern stand for the service no more."""

        def change(tx: Transaction, service: Service, now: datetime) -> None:
            if not tx.credentials.remove_workload(service.id, issuer_key, pattern):
                raise ValueError("the service has no such workload")
            tx.audit.event(
                "service_workload_removed", now, service_id=service.id,
                detail={"issuer": issuer_key, "pattern": pattern},
            )  # fmt: skip

        self._change(name, change)

    def freeze(self, name: str) -> None:
        """Let a service get nothing, on every process within a second; its credentials stay as they are."""
        self._set_enabled(name, is_enabled=False)

    def unfreeze(self, name: str) -> None:
        """Let a frozen service work again."""
        self._set_enabled(name, is_enabled=True)

    def all(self) -> tuple[ServiceOverview, ...]:
        """Return all services by name."""
        with self.store.reading() as tx:
            return tx.credentials.overview(self.clock())

    def _set_enabled(self, name: str, *, is_enabled: bool) -> None:
        def change(tx: Transaction, service: Service, now: datetime) -> None:
            tx.services.set_enabled(service.id, is_enabled=is_enabled)
            tx.audit.event("service_unfrozen" if is_enabled else "service_frozen", now, service_id=service.id)

        self._change(name, change)

    def _change(self, name: str, change: Callable[[Transaction, Service, datetime], None]) -> None:
        with self.store.transaction() as tx:
            service = tx.services.by_name(name)
            if service is None:
                raise ValueError(f"there is no service named {name}")
            change(tx, service, self.clock())

    def _add_secret(self, tx: Transaction, service: Service, secret: Secret, now: datetime) -> None:
        hashed = self.sealer.keyed_hash(SECRET_HASH, secret.reveal())
        tx.credentials.add_secret(service.id, hashed, now + SECRET_LIFETIME, now)


def _is_plain_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_plain = bool(parts.hostname) and "@" not in parts.netloc and not parts.fragment
    except ValueError:
        return False
    return url.isascii() and url.isprintable() and " " not in url and parts.scheme == "https" and is_plain
