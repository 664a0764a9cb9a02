"""Calendars as services see them, and why somebody's are not shown."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired, cast

from pydantic import Field
from typing_extensions import TypedDict
from werkzeug.wrappers import Response

from app.domain.calendar_reading import Reach
from app.services.calendar_access import ReadRefused, Refused
from app.services.calendar_reading import CalendarView
from app.web.api.error_registry import CODES, REASONS
from app.web.api.openapi import Identifier, Timestamp
from app.web.api.token_answers import helpful_members, timestamp
from app.web.error_answers import answer_latchkey_error
from app.web.errors import outcome_of, retry_after_s


class CalendarItem(TypedDict):
    """One calendar, with how far its copy here can be relied on."""

    id: Identifier
    person_id: Identifier
    connection_id: Identifier
    provider: str
    """Key of the provider in this installation."""
    account: str | None
    """The e-mail address at the provider, for display; never a key."""
    name: str | None
    """Null where only times may be seen."""
    time_zone: str | None
    """IANA name; null when the provider does not say."""
    access_role: Literal["free_busy", "reader", "writer", "owner"]
    """Of the account; `free_busy`: the account itself sees times only."""
    is_primary: bool
    is_selected: bool
    """Whether the person wants it kept here; of others there are no events."""
    is_paused: bool
    """Whether the person keeps it as it is, without syncing."""
    reach: Reach
    """How much the service sees: `details`, or `times` alone."""
    synced_at: Timestamp | None
    """When it was last equal to the provider's; null before the first time."""
    is_stale: bool
    """Whether that is so long ago that the provider may know better."""
    error: str | None
    """Why the last sync failed, a stable code; null when it did not."""
    complete_from: Timestamp | None
    """Occurrences are complete from here to `complete_to`. Outside there are none, though the provider may have some.
    Null before the first sync, and while the calendar is read anew: what is there is as old as `synced_at` then."""
    complete_to: Timestamp | None
    event_count: int
    """Events kept here, a series counted once."""


class RefusedItem(TypedDict):
    """A person, or one account of theirs, who is not in the answer, and why."""

    person_id: Identifier | None
    """Null for somebody nobody here knows."""
    connection_id: NotRequired[Identifier]
    """Absent when there is none the service may know of."""
    provider: NotRequired[str]
    error: Annotated[str, Field(json_schema_extra={"enum": list(CODES)})]
    """As in an error's answer."""
    reason: NotRequired[str]
    action: str
    """What to do about it."""
    connect_uri: NotRequired[str]
    """Page on which the person can put it right."""
    missing_scopes: NotRequired[list[str]]
    since: NotRequired[Timestamp]
    last_ok: NotRequired[Timestamp]
    until: NotRequired[Timestamp]
    policy_id: NotRequired[Identifier]
    retry_after_s: NotRequired[int]


def calendar_item(view: CalendarView) -> CalendarItem:
    """Return one calendar for an answer."""
    calendar, window = view.calendar, view.calendar.window
    return {
        "id": str(calendar.id),
        "person_id": str(calendar.person_id),
        "connection_id": str(calendar.connection_id),
        "provider": view.connection.provider,
        "account": view.connection.email,
        "name": calendar.name if view.reach is Reach.DETAILS else None,
        "time_zone": calendar.time_zone,
        "access_role": cast("Literal['free_busy', 'reader', 'writer', 'owner']", calendar.access_role),
        "is_primary": calendar.is_primary,
        "is_selected": calendar.is_selected,
        "is_paused": calendar.is_paused,
        "reach": view.reach,
        "synced_at": None if calendar.synced_at is None else timestamp(calendar.synced_at),
        "is_stale": view.is_stale,
        "error": calendar.error,
        "complete_from": None if window is None else timestamp(window.start),
        "complete_to": None if window is None else timestamp(window.end),
        "event_count": calendar.event_count,
    }


def refused_item(refused: Refused) -> RefusedItem:
    """Return why somebody is not in the answer."""
    outcome = outcome_of(refused.error)
    item: dict[str, object] = {
        "person_id": None if refused.person_id is None else str(refused.person_id),
        "error": outcome.error.value,
    }
    if refused.connection is not None:
        item |= {"connection_id": str(refused.connection.id), "provider": refused.connection.provider}
    if outcome.reason is not None:
        item["reason"] = outcome.reason
    wait_s = retry_after_s(refused.error)
    if wait_s is not None:
        item["retry_after_s"] = wait_s
    item |= helpful_members(refused.error, refused.connection)
    entry = REASONS.get(str(item.get("reason", ""))) or CODES[outcome.error.value]
    return cast("RefusedItem", {**item, "action": entry.action})


def read_refused_answer(refused: ReadRefused) -> Response:
    """Return the error for the one person who was asked for."""
    return answer_latchkey_error(refused.cause, helpful_members(refused.cause, refused.connection))
