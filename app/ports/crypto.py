"""What the use cases need from the cipher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from app.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class SealContext:
    """What a sealed value is bound to (associated data); opening under any other context fails."""

    connection_id: UUID
    issuer: str
    subject: str
    field: str
    """``refresh_token`` or ``access_token``."""
    generation: int


class DataKey(Protocol):
    """The opened data key of one connection."""

    def seal(self, value: Secret, context: SealContext) -> bytes:
        """Encrypt ``value`` bound to ``context``."""

    def open(self, sealed: bytes, context: SealContext) -> Secret:
        """Decrypt; raises ``CipherError`` when anything does not fit."""


class Sealer(Protocol):
    """The key ring."""

    def new_data_key(self, connection_id: UUID) -> bytes:
        """Make a data key for a connection and return it wrapped under the primary key."""

    def open_data_key(self, connection_id: UUID, wrapped: bytes) -> DataKey:
        """Unwrap a data key; raises ``CipherError``."""

    def seal_record(self, record_id: UUID, purpose: str, value: Secret) -> bytes:
        """Encrypt a short-lived value that belongs to no connection yet, under the primary key."""

    def open_record(self, record_id: UUID, purpose: str, sealed: bytes) -> Secret:
        """Reverse ``seal_record``; raises ``CipherError``."""

    def keyed_hash(self, purpose: str, value: str) -> bytes:
        """Return HMAC-SHA256 of ``value`` under a key derived for ``purpose``: fingerprints and channel tokens."""

    def chain_key_id(self) -> bytes:
        """Return the id (four bytes) of the key that new entries of the audit log are chained with."""

    def chain_mac(self, key_id: bytes, text: bytes) -> bytes:
        """Return HMAC-SHA256 of ``text`` under the audit key derived from a key of the ring; raises ``CipherError``."""

    def key_checks(self) -> Mapping[bytes, bytes]:
        """Return key id (four bytes) to check value of every key in the ring.

        A check value shows whether two rings mean the same key by an id, and shows nothing else.
        """


@dataclass(frozen=True, slots=True)
class NewSigningKey:
    """A key just made."""

    private_key: Secret
    public_jwk: Mapping[str, object]
    """With ``kid``, ``use`` and ``alg``."""


class TokenSigner(Protocol):
    """Makes keys and signatures for our own tokens (ES256, RFC 7518 section 3.4)."""

    def new_key(self, kid: str) -> NewSigningKey:
        """Make a key pair."""

    def sign(self, private_key: Secret, header: Mapping[str, str], claims: Mapping[str, object]) -> Secret:
        """Return the signed token in compact form (RFC 7515 section 7.1); ``alg`` is added to the header."""
