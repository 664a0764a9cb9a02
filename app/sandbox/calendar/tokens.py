"""Make and read the opaque page, sync and delta tokens of both calendar interfaces.

A token is a compact JSON object in base64url: no secret, as it opens nothing without the account's access token. What a
client must not do is take it apart, and what it must survive is losing it.
"""

import base64
import binascii
import json
import zlib
from typing import Any


class BadTokenError(ValueError):
    """Not a token made here."""


def pack(content: dict[str, Any]) -> str:
    """Return the token that carries `content`."""
    raw = zlib.compress(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def unpack(token: str) -> dict[str, Any]:
    """Return what `pack` was given.

    Raises BadTokenError.
    """
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        # A bounded read: a forged token must not unfold into more than any real one.
        content = json.loads(zlib.decompressobj().decompress(raw, 16_384))
    except (ValueError, binascii.Error, zlib.error) as error:
        raise BadTokenError(token[:40]) from error
    if not isinstance(content, dict):
        raise BadTokenError(token[:40])
    return content
