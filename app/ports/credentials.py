"""What the use cases need for proving who calls: stored credentials, signing keys, and readers of signed tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from app.domain.people import Service
from app.domain.signed_tokens import SignedToken
from app.domain.workloads import SubjectPattern

JWK = Mapping[str, object]
"""A public key as RFC 7517 writes it."""


@dataclass(frozen=True, slots=True)
class ServiceKeys:
    """The public keys a service signs with."""

    service: Service
    jwks_url: str | None
    """Where it publishes them; null when only ``registered`` counts."""
    registered: tuple[JWK, ...]


@dataclass(frozen=True, slots=True)
class Workload:
    """Which tokens of a trusted issuer stand for a service."""

    service: Service
    pattern: SubjectPattern


@dataclass(frozen=True, slots=True)
class RegisteredKey:
    """One key of a service, for operators."""

    kid: str
    expires_at: datetime | None
    """Null: until it is removed."""


@dataclass(frozen=True, slots=True)
class ServiceOverview:
    """One service and what it can prove itself with, for operators."""

    service: Service
    jwks_url: str | None
    secrets_end_at: tuple[datetime, ...]
    """Of the live ones, soonest first."""
    keys: tuple[RegisteredKey, ...]
    workloads: tuple[tuple[str, str], ...]
    """Issuer key and subject pattern."""


class CredentialStore(Protocol):
    """What services prove themselves with."""

    def add_secret(self, service_id: UUID, secret_hash: bytes, expires_at: datetime, now: datetime) -> None:
        """Add a secret and end all but the newest before it: at most two are live."""

    def end_secrets(self, service_id: UUID, now: datetime) -> None:
        """End every secret of a service."""

    def by_secret(self, name: str, secret_hash: bytes, now: datetime) -> Service | None:
        """Return the service with this name and a live secret of this hash, frozen or not; null otherwise."""

    def keys_of(self, name: str, now: datetime) -> ServiceKeys | None:
        """Return the live keys of the service of this name, frozen or not; null for an unknown name."""

    def add_key(self, service_id: UUID, kid: str, jwk: JWK, expires_at: datetime | None, now: datetime) -> None:
        """Register a public key; raises ``ValueError`` when the service has one of this ``kid``."""

    def remove_key(self, service_id: UUID, kid: str) -> bool:
        """Forget a public key; returns whether there was one."""

    def count_keys(self, service_id: UUID) -> int:
        """Return how many keys a service has, ended ones included."""

    def set_jwks_url(self, service_id: UUID, url: str | None) -> None:
        """Store where a service publishes its keys; null for nowhere."""

    def workloads_of(self, issuer_key: str) -> tuple[Workload, ...]:
        """Return what an issuer's tokens may stand for."""

    def add_workload(self, service_id: UUID, issuer_key: str, pattern: str, now: datetime) -> bool:
        """Store a pattern; returns whether it is new."""

    def remove_workload(self, service_id: UUID, issuer_key: str, pattern: str) -> bool:
        """Forget a pattern; returns whether there was one."""

    def spend(self, service_id: UUID, jti_hash: bytes, expires_at: datetime) -> bool:
        """Note that a statement was used; returns false when it had been used before, on whichever node."""

    def forget_spent(self, limit: int) -> int:
        """Delete up to ``limit`` notes whose statements ended; returns how many went. The database's clock decides."""

    def holder_of(self, service_id: UUID, jti: UUID) -> Service | None:
        """Return the service that holds a token of ours, frozen or not; null when unknown or the token was revoked."""

    def revoke_token(self, service_id: UUID, jti: UUID, expires_at: datetime) -> bool:
        """End a token of ours before ``expires_at``; returns false when it had been revoked before."""

    def forget_revoked(self, limit: int) -> int:
        """Delete up to ``limit`` notes whose tokens ended; returns how many went. The database's clock decides."""

    def overview(self, now: datetime) -> tuple[ServiceOverview, ...]:
        """Return all services by name with what they can prove themselves with."""


class SigningKeyState(StrEnum):
    """Where a key of ours stands."""

    NEXT = "next"
    """Published, so that everybody knows it before it signs."""
    ACTIVE = "active"
    RETIRED = "retired"
    """Published until the last token it signed has ended; cannot sign."""


@dataclass(frozen=True, slots=True)
class SigningKeyRow:
    """A key that signs our own tokens. Its id is also its ``kid``."""

    id: UUID
    state: SigningKeyState
    public_jwk: JWK
    sealed_private_key: bytes | None
    """Null once retired."""
    created_at: datetime
    state_since: datetime


class SigningKeyStore(Protocol):
    """The keys that sign our own tokens."""

    def all(self) -> tuple[SigningKeyRow, ...]:
        """Return all keys, oldest first."""

    def all_for_change(self) -> tuple[SigningKeyRow, ...]:
        """Return all keys and let nobody else change them until the transaction ends."""

    def add(self, row: SigningKeyRow) -> None:
        """Store a key."""

    def activate(self, key_id: UUID, now: datetime) -> None:
        """Make a key the one that signs."""

    def retire(self, key_id: UUID, now: datetime) -> None:
        """Let a key sign no more: its private half is deleted."""

    def delete(self, key_id: UUID) -> None:
        """Forget a key: what it signed is not believed any more."""


class TokenReader(Protocol):
    """Reads signed tokens of others.

    All methods raise ``SignedTokenInvalid`` with the name of the check that failed. Algorithms are ES256, PS256,
    RS256 and EdDSA; no other is ever tried (RFC 8725 section 3.1).
    """

    def glance(self, token: str) -> SignedToken:
        """Return what a token says WITHOUT verifying it: good for finding the keys to verify it with, nothing else."""

    def verify(self, token: str, keys: Sequence[JWK]) -> SignedToken:
        """Return the token if one of ``keys`` made its signature."""

    def verify_published(self, token: str, jwks_url: str) -> SignedToken:
        """Return the token if a key published there made its signature; raises ``KeysUnavailable``."""

    def check_key(self, text: str) -> JWK:
        """Return the public key that an operator gave, a JWK or PEM, with a ``kid``.

        Raises ``ValueError`` for what could not verify a signature, and for a private key.
        """


class TrustedIssuer(Protocol):
    """Somebody whose tokens the operator trusts, for workloads or for people."""

    @property
    def key(self) -> str:
        """Return its name in the providers file."""

    @property
    def audience(self) -> str:
        """Return what its tokens must be meant for."""

    @property
    def subject_claim(self) -> str:
        """Return the claim that names who the token is about."""

    def lets_use(self, token: SignedToken, service: Service) -> bool:
        """Return whether ``service`` may use a token made for the client that stands in it."""

    def verify(self, token: str) -> SignedToken:
        """Return the token if this issuer signed it. Raises ``SignedTokenInvalid``, ``KeysUnavailable``."""


class TrustedIssuers(Protocol):
    """The configured issuers of one kind."""

    def of(self, issuer: str) -> TrustedIssuer | None:
        """Return who writes this ``iss``, compared byte by byte; null when nobody trusted does."""

    def keys(self) -> tuple[str, ...]:
        """Return the names of all."""
