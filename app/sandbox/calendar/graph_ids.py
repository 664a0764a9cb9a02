"""Make and translate the ids of Graph events.

Ids are case-sensitive and opaque to clients. The default form and the immutable form (`Prefer: IdType="ImmutableId"`)
of one event differ in their beginning; calendars have one form only. The id of an occurrence depends on its series and
its original date, so it stays when the occurrence becomes an exception and changes when the series moves.
"""

import base64
import binascii
import secrets
from datetime import date

_DEFAULT = "AAMkADsbx"
_IMMUTABLE = "AAkALgsbxIMM"
_OCCURRENCE = "Occ"


def new_event_id() -> str:
    """Return a fresh id in the default form."""
    return _DEFAULT + base64.urlsafe_b64encode(secrets.token_bytes(47)).decode()


def occurrence_id(series_id: str, day: date) -> str:
    """Return the id of the occurrence that a series has on `day`, its original local date."""
    inner = base64.urlsafe_b64encode(f"{day:%Y%m%d}{series_id}".encode()).decode()
    return _DEFAULT + _OCCURRENCE + inner


def split_occurrence_id(event_id: str) -> tuple[str, date] | None:
    """Return series id and original date of an occurrence's id, None for other ids."""
    prefix = _DEFAULT + _OCCURRENCE
    if not event_id.startswith(prefix):
        return None
    try:
        inner = base64.urlsafe_b64decode(event_id[len(prefix) :]).decode()
        return inner[8:], date.fromisoformat(inner[:8])
    except (ValueError, binascii.Error):
        return None


def shown(event_id: str, *, is_immutable: bool) -> str:
    """Return an id in the form the client prefers."""
    if is_immutable and event_id.startswith(_DEFAULT):
        return _IMMUTABLE + event_id[len(_DEFAULT) :]
    return event_id


def stored(event_id: str) -> str:
    """Return the default form of an id sent in either form."""
    return _DEFAULT + event_id[len(_IMMUTABLE) :] if event_id.startswith(_IMMUTABLE) else event_id
