"""The key ring: named 256-bit keys, one of them primary, read from a file.

The file is JSON: ``{"primary": "k1", "keys": {"k1": "<base64 of 32 bytes>"}}``. New values are sealed with the
primary key; the others only open what was sealed with them. ``"hashing"`` may name the key that keyed hashes
are derived from; without it that is the first one listed, so append new keys at the end.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from app.domain.errors import CipherError, ConfigurationError

KEY_BYTES = 32
KEY_ID_BYTES = 4
DATA_KEY_ID = bytes(KEY_ID_BYTES)
"""Stands in the header of what is sealed under a connection's own data key; no key of the ring may have it."""


def key_id(name: str) -> bytes:
    """Return the four bytes that stand for a key's name in headers: the beginning of its SHA-256."""
    return hashlib.sha256(name.encode()).digest()[:KEY_ID_BYTES]


class Keyring:
    """Keys by id. Shows names, never keys; cannot be pickled."""

    __slots__ = ("_hashing", "_keys", "_names", "_primary")

    def __init__(self, keys: Mapping[str, bytes], primary: str, hashing: str | None = None) -> None:
        """Keep ``keys`` (name to 32 bytes); raises ``ConfigurationError`` naming every fault."""
        hashing = hashing or next(iter(keys), primary)
        faults = _key_faults(keys) + _name_faults(keys, primary, hashing)
        if faults:
            raise ConfigurationError(faults)
        self._names = tuple(keys)
        self._keys = {key_id(name): key for name, key in keys.items()}
        self._primary = key_id(primary)
        self._hashing = key_id(hashing)

    @classmethod
    def load(cls, path: Path) -> Keyring:
        """Read the ring at ``path``; raises ``ConfigurationError`` naming every fault, and no part of any key."""
        document = _read(path)
        keys = document.get("keys")
        primary, hashing = document.get("primary"), document.get("hashing")
        if not isinstance(keys, dict) or not isinstance(primary, str) or not isinstance(hashing, str | None):
            raise ConfigurationError([f'{path}: expected {{"primary": "<name>", "keys": {{"<name>": "<base64>"}}}}'])
        return cls(_decoded(keys), primary, hashing)

    @property
    def primary_id(self) -> bytes:
        """Return the id of the key that new values are sealed with."""
        return self._primary

    def ids(self) -> tuple[bytes, ...]:
        """Return the ids of all keys."""
        return tuple(self._keys)

    def key(self, wanted: bytes) -> bytes:
        """Return the key of an id; raises ``CipherError``: a key is named or it is not there, none is ever guessed."""
        found = self._keys.get(wanted)
        if found is None:
            raise CipherError("unknown_key_id")
        return found

    @property
    def hashing_id(self) -> bytes:
        """Return the id of the key that keyed hashes are derived from."""
        return self._hashing

    def hashing_key(self) -> bytes:
        """Return the key that keyed hashes are derived from."""
        return self._keys[self._hashing]

    def __repr__(self) -> str:
        return f"<keyring {', '.join(self._names)}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key ring cannot be pickled or copied")


def _read(path: Path) -> Mapping[str, object]:
    """Return the JSON object at ``path``, a regular file that strangers cannot read."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError([f"{path}: cannot be read ({error.strerror})"]) from None
    except UnicodeDecodeError:
        raise ConfigurationError([f"{path}: not UTF-8"]) from None
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise ConfigurationError([f"{path}: others can read or write it (mode {mode & 0o777:04o}); use 0600 or 0440"])
    try:
        document = json.loads(text, object_pairs_hook=_once)
    except ValueError:
        # The parser's message quotes the text, and the text is keys.
        raise ConfigurationError([f"{path}: not JSON, or a name stands in it twice"]) from None
    if not isinstance(document, dict):
        raise ConfigurationError([f"{path}: not a JSON object"])
    return document


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate name")
    return members


def _decoded(keys: Mapping[str, object]) -> dict[str, bytes]:
    """Return the keys as bytes; what is not base64 becomes empty, which no check of the length lets through."""
    decoded = {}
    for name, text in keys.items():
        try:
            decoded[name] = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
        except (binascii.Error, ValueError):
            decoded[name] = b""
    return decoded


def _key_faults(keys: Mapping[str, bytes]) -> list[str]:
    faults = [f"key {name!r} is not base64 of {KEY_BYTES} bytes" for name, key in keys.items() if len(key) != KEY_BYTES]
    if len(set(keys.values())) != len(keys):
        faults.append("two keys are the same")
    return faults


def _name_faults(keys: Mapping[str, bytes], primary: str, hashing: str) -> list[str]:
    faults = [
        f"{role} names {name!r}, which is not among the keys"
        for role, name in (("primary", primary), ("hashing", hashing))
        if name not in keys
    ]
    ids = [key_id(name) for name in keys]
    if len(set(ids)) != len(ids) or DATA_KEY_ID in ids:
        faults.append("two key names have the same id; rename one")
    return faults
