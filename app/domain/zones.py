"""Find a time zone by the names providers really send, strictly: no POSIX strings, no guessing by offset.

``dateutil.tz.gettz`` is avoided on purpose: it reads ``UTC+8`` as a POSIX string, with the sign inverted.
"""

from __future__ import annotations

import re
from datetime import timedelta, timezone, tzinfo
from functools import cache, lru_cache
from importlib.metadata import version
from zoneinfo import ZoneInfo

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+\-]*(/[A-Za-z0-9_+\-]+)*")
_OFFSET = re.compile(r"(?:GMT|UTC)?([+-])(\d{1,2})(?::?([0-5]\d))?", re.IGNORECASE)
# Files of the zone database that are no zones people live in.
_NO_ZONES = frozenset({"localtime", "posixrules", "Factory"})
_MOST_HOURS = 14


@lru_cache(maxsize=2048)
def find_zone(name: str | None) -> tzinfo | None:
    """Return the zone called ``name``, or null when nothing certain is known of it.

    Takes IANA names, also with the vendor prefixes calendar programs put before them
    (``/freeassociation.sourceforge.net/Europe/Berlin``), and fixed offsets (``GMT+02:00``, ``+0530``).
    """
    if not name:
        return None
    iana = iana_name(name)
    if iana is not None:
        return ZoneInfo(iana)
    return _fixed_offset(name.strip())


@cache
def zone_data_version() -> str:
    """Return the version of the zone database in use: that of the tzdata package, the only one looked at (``app``)."""
    return version("tzdata")


@lru_cache(maxsize=2048)
def iana_name(name: str | None) -> str | None:
    """Return the IANA name hidden in ``name``, or null when there is none."""
    if not name:
        return None
    parts = name.strip().split("/")
    if parts[0]:
        return _known("/".join(parts))
    # A leading slash marks a vendor's own registry (RFC 5545 section 3.2.19); the tail is often the IANA name.
    tails = ("/".join(parts[at:]) for at in range(1, len(parts)))
    return next((found for found in map(_known, tails) if found is not None), None)


def _known(name: str) -> str | None:
    """Return ``name`` when the zone database has it."""
    if name in _NO_ZONES or _NAME.fullmatch(name) is None:
        return None
    try:
        return ZoneInfo(name).key
    except (KeyError, ValueError, OSError):
        # A folder of the database (``Europe``) surfaces as OSError.
        return None


def _fixed_offset(name: str) -> tzinfo | None:
    """Return the zone of a fixed offset such as ``GMT+02:00``; null for anything else."""
    match = _OFFSET.fullmatch(name)
    if match is None or int(match[2]) > _MOST_HOURS:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3] or 0))
    return timezone(-offset if match[1] == "-" else offset)
