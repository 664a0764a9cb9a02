"""Read and verify compact JSON Web Signatures (RFC 7515) strictly; what the claims mean is judged elsewhere.

Algorithms are pinned by the caller (RFC 8725 section 3.1). Every failure is ``SignedTokenInvalid`` whose detail names
the check and nothing else.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

import jwt

from app.domain.errors import ProviderUnavailable, SignedTokenInvalid
from app.providers.json_reader import JSONObject, read_object
from app.providers.key_sets import SigningKey

MAX_BYTES = 16 * 1024
_MAX_DEPTH = 16


def read_parts(text: str) -> tuple[JSONObject, JSONObject]:
    """Return header and claims WITHOUT verifying anything but their form."""
    header = read_header(text)
    return header, _decoded(text.split(".")[1], "claims")


def read_header(text: str) -> JSONObject:
    """Return the header, unverified as well, of a small token in compact form."""
    if len(text) > MAX_BYTES:
        raise SignedTokenInvalid("size")
    parts = text.split(".")
    if len(parts) != 3 or not text.isascii():
        raise SignedTokenInvalid("form")
    return _decoded(parts[0], "header")


def read_algorithm(header: JSONObject, allowed: frozenset[str]) -> tuple[str, str | None]:
    """Return ``alg`` and ``kid``; the latter is null when absent."""
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in allowed:
        raise SignedTokenInvalid("alg")
    # "crit" asks for extensions nobody announced here (RFC 7515 4.1.11); "b64" changes what is signed (RFC 7797).
    if "crit" in header or "b64" in header or "enc" in header:
        raise SignedTokenInvalid("header")
    if kid is not None and not isinstance(kid, str):
        raise SignedTokenInvalid("kid")
    return algorithm, kid


def check_signature(text: str, algorithm: str, candidates: Iterable[SigningKey]) -> SigningKey:
    """Return the key that made the signature."""
    is_empty = True
    for key in candidates:
        is_empty = False
        try:
            jwt.PyJWS().decode(text, key.public_key(algorithm), algorithms=[algorithm])
        except jwt.PyJWTError:
            continue
        return key
    raise SignedTokenInvalid("key" if is_empty else "signature")


def _decoded(part: str, what: str) -> JSONObject:
    try:
        body = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
        return read_object(body, max_bytes=MAX_BYTES, max_depth=_MAX_DEPTH)
    except (binascii.Error, ValueError, ProviderUnavailable):
        raise SignedTokenInvalid(what) from None
