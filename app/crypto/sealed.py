"""The format of everything sealed: ``version(1) | alg(1) | key id(4) | nonce(12) | ciphertext | tag(16)``.

AES-256-GCM (NIST SP 800-38D) with random nonces. The associated data is a list of length-prefixed parts, so that
no two different lists give the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.domain.errors import CipherError

VERSION = 1
AES_256_GCM = 1
NONCE_BYTES = 12
TAG_BYTES = 16
HEADER_BYTES = 6
OVERHEAD_BYTES = HEADER_BYTES + NONCE_BYTES + TAG_BYTES

_PREFIX = bytes((VERSION, AES_256_GCM))


def associated_data(parts: Iterable[bytes]) -> bytes:
    """Return ``parts`` joined, each behind its length in four bytes."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def seal(key: bytes, key_id: bytes, plain: bytes, bound_to: bytes) -> bytes:
    """Encrypt ``plain``; the nonce comes from the operating system, so a fork or a restart never repeats one."""
    nonce = os.urandom(NONCE_BYTES)
    return _PREFIX + key_id + nonce + AESGCM(key).encrypt(nonce, plain, bound_to)


def open_sealed(key: bytes, sealed: bytes, bound_to: bytes) -> bytes:
    """Decrypt what ``seal`` made under the same key and binding; raises ``CipherError``."""
    body = sealed[HEADER_BYTES:]
    try:
        return AESGCM(key).decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], bound_to)
    except InvalidTag:
        raise CipherError("does_not_fit") from None


def key_id_of(sealed: bytes) -> bytes:
    """Return the id of the key ``sealed`` names; raises ``CipherError`` for a format that is not ours."""
    if len(sealed) < OVERHEAD_BYTES:
        raise CipherError("too_short")
    if sealed[0] != VERSION:
        raise CipherError("unknown_version")
    if sealed[1] != AES_256_GCM:
        raise CipherError("unknown_algorithm")
    return sealed[2:HEADER_BYTES]
