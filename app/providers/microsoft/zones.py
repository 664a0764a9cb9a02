"""Zone names as Exchange writes them: Windows names mostly, IANA names sometimes, custom ones that mean nothing.

The table is the CLDR's (territory 001), carried by ``tzlocal``; hand-made tables rot.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from typing import Final

from tzlocal.windows_tz import win_tz

from app.domain.zones import find_zone, iana_name

_ALIASES: Final[Mapping[str, str]] = {"tzone://Microsoft/Utc": "UTC"}
_BY_FOLDED_NAME: Final[Mapping[str, str]] = {name.casefold(): zone for name, zone in win_tz.items()}


def zone_name(name: str | None) -> str | None:
    """Return the IANA name for a zone name of Graph; null for custom, empty and unknown ones."""
    if not name:
        return None
    windows = _ALIASES.get(name) or _BY_FOLDED_NAME.get(name.strip().casefold())
    return iana_name(windows or name)


def zone(name: str | None) -> tzinfo | None:
    """Return the zone for a zone name of Graph, fixed offsets included; null when it means nothing."""
    return find_zone(zone_name(name) or name)


def first_known(*names: str | None) -> str | None:
    """Return the IANA name of the first of ``names`` that means something; null when none does."""
    return next((found for found in map(zone_name, names) if found is not None), None)
