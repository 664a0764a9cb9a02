"""Make and translate the ids of Graph events.

Ids are case-sensitive and opaque to clients. The default form and the immutable form (`Prefer: IdType="ImmutableId"`)
of one event differ in their beginning; calendars have one form only. The id of an occurrence depends on its series and
its original date, so it stays when the occurrence becomes an exception and changes when the series moves. An event
that was put into another calendar keeps its immutable id and gets another one of the default form.
"""

import base64
import binascii
import re
import secrets
from datetime import date
from typing import Any

_DEFAULT = "AAMkADsbx"
_IMMUTABLE = "AAkALgsbxIMM"
_OCCURRENCE = "Occ"
MOVES = "_moves"
"""Private member of a stored event: how many times it was put into another calendar; absent for never."""
_MOVED = re.compile(r"=M(\d+)$")
"""How a default id of a moved event ends; no other id has anything behind its padding."""


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


def shown(event_id: str, *, is_immutable: bool, moves: int = 0) -> str:
    """Return an id in the form the client prefers; `moves` as the event's own `MOVES` says."""
    if not event_id.startswith(_DEFAULT):
        return event_id
    if is_immutable:
        return _IMMUTABLE + event_id[len(_DEFAULT) :]
    return f"{event_id}=M{moves}" if moves else event_id


def stored(event_id: str) -> str:
    """Return the form in which events are kept of an id sent in any form."""
    if event_id.startswith(_IMMUTABLE):
        return _DEFAULT + event_id[len(_IMMUTABLE) :]
    return _MOVED.sub("", event_id)


def names(event_id: str, body: dict[str, Any]) -> bool:
    """Tell whether an id as it was sent still names the event: default ids from before a move do not."""
    if not event_id.startswith(_DEFAULT):
        return True
    found = _MOVED.search(event_id)
    moves = int(found[1]) if found else 0
    return moves == int(body.get(MOVES, 0))
