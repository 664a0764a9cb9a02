"""Seal what callers carry from page to page: they can neither read it nor make one up."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV


class CursorBox:
    """AES-SIV (RFC 5297): nothing has to be random, so the same place has the same cursor. Raises ``ValueError``."""

    def __init__(self, key: bytes) -> None:
        """Take a key of its own, of 32 bytes."""
        self._cipher = AESSIV(key)

    def seal(self, content: bytes) -> bytes:
        """Return ``content`` sealed, sixteen bytes longer."""
        return self._cipher.encrypt(content, None)

    def open(self, sealed: bytes) -> bytes:
        """Reverse ``seal``; raises ``ValueError`` for what was not sealed here."""
        try:
            return self._cipher.decrypt(sealed, None)
        except InvalidTag:
            raise ValueError from None
