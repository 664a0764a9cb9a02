"""Sealing: a data key per connection, wrapped by the ring; everything bound to the row it belongs to.

Deleting a wrapped data key makes all copies of a connection's tokens unreadable. What is bound: version, tenant,
connection, issuer, subject, field and generation. What this cannot notice: somebody who can write the row puts
back an older value together with its older generation number.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from typing import NoReturn
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from app.crypto.keyring import DATA_KEY_ID, KEY_BYTES, Keyring
from app.crypto.sealed import VERSION, associated_data, key_id_of, open_sealed, seal
from app.domain.errors import CipherError
from app.domain.secret import Secret
from app.ports.crypto import SealContext

TENANT = b"default"
"""One instance serves one organisation; the part is there so that two can never read each other's rows."""

_VERSION = bytes((VERSION,))


class ConnectionKey:
    """The opened data key of one connection. Implements ``ports.DataKey``; cannot be pickled."""

    __slots__ = ("_connection_id", "_key")

    def __init__(self, connection_id: UUID, key: bytes) -> None:
        """Keep ``key`` (32 bytes) of ``connection_id``."""
        self._connection_id = connection_id
        self._key = key

    def seal(self, value: Secret, context: SealContext) -> bytes:
        """Encrypt ``value`` bound to ``context``; 34 bytes longer than its UTF-8. Raises ``CipherError``."""
        return seal(self._key, DATA_KEY_ID, value.reveal().encode(), self._bound_to(context))

    def open(self, sealed: bytes, context: SealContext) -> Secret:
        """Decrypt; raises ``CipherError`` when anything does not fit."""
        if key_id_of(sealed) != DATA_KEY_ID:
            raise CipherError("unknown_key_id")
        return Secret(open_sealed(self._key, sealed, self._bound_to(context)).decode())

    def _bound_to(self, context: SealContext) -> bytes:
        if context.connection_id != self._connection_id:
            raise CipherError("other_connection")
        return associated_data(
            (
                _VERSION,
                TENANT,
                context.connection_id.bytes,
                context.issuer.encode(),
                hashlib.sha256(context.subject.encode()).digest(),
                context.field.encode(),
                str(context.generation).encode(),
            )
        )

    def __repr__(self) -> str:
        return f"<data key of {self._connection_id}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a data key cannot be pickled or copied")


class RingSealer:
    """Implements ``ports.Sealer`` with a key ring. Safe to share between threads."""

    __slots__ = ("_chain_keys", "_hash_keys", "_keyring")

    def __init__(self, keyring: Keyring) -> None:
        """Seal with the primary key of ``keyring``, open with any."""
        self._keyring = keyring
        # Purposes are a handful of constants; deriving costs more than the hash itself.
        self._hash_keys: dict[str, bytes] = {}
        self._chain_keys: dict[bytes, bytes] = {}

    def new_data_key(self, connection_id: UUID) -> bytes:
        """Make a data key for a connection and return it wrapped under the primary key."""
        return self._seal(os.urandom(KEY_BYTES), _wrapping(connection_id))

    def open_data_key(self, connection_id: UUID, wrapped: bytes) -> ConnectionKey:
        """Unwrap a data key; raises ``CipherError``."""
        return ConnectionKey(connection_id, self._open(wrapped, _wrapping(connection_id)))

    def seal_record(self, record_id: UUID, purpose: str, value: Secret) -> bytes:
        """Encrypt a short-lived value that belongs to no connection yet, under the primary key."""
        return self._seal(value.reveal().encode(), _record(record_id, purpose))

    def open_record(self, record_id: UUID, purpose: str, sealed: bytes) -> Secret:
        """Reverse ``seal_record``; raises ``CipherError``."""
        return Secret(self._open(sealed, _record(record_id, purpose)).decode())

    def keyed_hash(self, purpose: str, value: str) -> bytes:
        """Return HMAC-SHA256 of ``value`` under a key derived for ``purpose``; a new primary does not change it."""
        key = self._hash_keys.get(purpose)
        if key is None:
            key = self._hash_keys[purpose] = _derived(self._keyring.hashing_key(), f"hash {purpose}")
        return hmac.digest(key, value.encode(), "sha256")

    def chain_key_id(self) -> bytes:
        """Return the id (four bytes) of the key that new entries of the audit log are chained with."""
        return self._keyring.hashing_id

    def chain_mac(self, key_id: bytes, text: bytes) -> bytes:
        """Return HMAC-SHA256 of ``text`` under the audit key derived from a key of the ring; raises ``CipherError``."""
        key = self._chain_keys.get(key_id)
        if key is None:
            key = self._chain_keys[key_id] = _derived(self._keyring.key(key_id), "audit chain")
        return hmac.digest(key, text, "sha256")

    def key_checks(self) -> Mapping[bytes, bytes]:
        """Return key id to check value of every key in the ring; a check value is derived one way."""
        return {one: _derived(self._keyring.key(one), "check") for one in self._keyring.ids()}

    def _seal(self, plain: bytes, bound_to: bytes) -> bytes:
        primary = self._keyring.primary_id
        return seal(self._keyring.key(primary), primary, plain, bound_to)

    def _open(self, sealed: bytes, bound_to: bytes) -> bytes:
        return open_sealed(self._keyring.key(key_id_of(sealed)), sealed, bound_to)


def build_sealer(keyring: Keyring) -> RingSealer:
    """Return the sealer for ``keyring``."""
    return RingSealer(keyring)


def _derived(key: bytes, purpose: str) -> bytes:
    return HKDFExpand(SHA256(), KEY_BYTES, f"latchkey 1 {purpose}".encode()).derive(key)


def _wrapping(connection_id: UUID) -> bytes:
    return associated_data((b"wrap", TENANT, connection_id.bytes))


def _record(record_id: UUID, purpose: str) -> bytes:
    return associated_data((b"record", TENANT, record_id.bytes, purpose.encode()))
