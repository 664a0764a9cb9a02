"""Parameters of a query, read strictly. What came in is never repeated."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta, tzinfo
from uuid import UUID

from flask import request

from app.domain.calendars import Window
from app.domain.policies import PURPOSE
from app.domain.subjects import Subject, SubjectMode
from app.domain.zones import find_zone, iana_name
from app.services.calendar_access import Asked
from app.web.api.openapi import Parameter
from app.web.api.token_request import JWT_TYPE, invalid, matching, subject_of

MOST_PEOPLE = 50
MOST_CALENDARS = 200
LONGEST_WINDOW = timedelta(days=366)
LONGEST_CURSOR = 8192
SUBJECT_HEADER = "Latchkey-Subject-Token"

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:[Zz]|[+-]\d\d:\d\d)")
_YEARS = range(1900, 2200)

_ID = {"type": "string", "format": "uuid"}
_MOMENT_SCHEMA = {"type": "string", "format": "date-time"}

USER = Parameter(
    "user",
    f"Id of a person; repeat it for several, {MOST_PEOPLE} at most. Needs a policy with `act_as`.",
    {"type": "array", "items": _ID, "maxItems": MOST_PEOPLE},
)
SUBJECT_TOKEN = Parameter(
    SUBJECT_HEADER,
    "In place of `user`: the person's own token of the product, or a statement that names a person, signed with the "
    "service's own key; as `subject_token` at `/v1/tokens`.",
    place="header",
)
PURPOSE_PARAMETER = Parameter(
    "purpose",
    "What the service reads for; policy may ask for it, and it is written down.",
    {"type": "string", "pattern": rf"^{PURPOSE.pattern}$"},
)
CURSOR = Parameter(
    "cursor",
    "Where to go on: `next_cursor` of the answer before, with the same other parameters.",
    {"type": "string", "maxLength": LONGEST_CURSOR},
)
CALENDAR = Parameter(
    "calendar",
    "Id of a calendar; repeat it for several. Without it all of these people.",
    {"type": "array", "items": _ID, "maxItems": MOST_CALENDARS},
)
FROM = Parameter(
    "from",
    "First instant of the window, RFC 3339 with an offset; write `+` as `%2B`.",
    _MOMENT_SCHEMA,
    is_required=True,
)
TO = Parameter(
    "to",
    f"End of the window, which is not in it any more; {LONGEST_WINDOW.days} days after `from` at most.",
    _MOMENT_SCHEMA,
    is_required=True,
)
TIME_ZONE = Parameter(
    "time_zone",
    "IANA name of where the window's dates are taken, for all-day events. Without it where each person is.",
)


def limit_parameter(usual: int, most: int) -> Parameter:
    """Return the parameter for the length of a page."""
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": usual}
    return Parameter("limit", "The most items of a page; there may be fewer though more follow.", schema)


def refuse_strange(single: Collection[str], repeated: Collection[str] = ()) -> None:
    """Raise ``RequestRefused`` for a parameter that is unknown, or repeated and must not be."""
    for name in request.args:
        if name not in single and name not in repeated:
            raise invalid("a parameter is unknown")
        if name in single and len(request.args.getlist(name)) > 1:
            raise invalid("a parameter is repeated")


def asked(*, needs_somebody: bool = True, needs_details: bool = False) -> Asked:
    """Return whose calendars are asked for; raises ``RequestRefused`` and what ``Subjects.resolve`` raises.

    Read it last: a signed statement is used up by looking at it.
    """
    stated, people = purpose(), ids("user", MOST_PEOPLE)
    present = shown_subject()
    if present is not None and people:
        raise invalid(f"one of user and {SUBJECT_HEADER} is enough")
    if needs_somebody and present is None and not people:
        raise invalid(f"user or {SUBJECT_HEADER} is needed")
    subjects = (present,) if present is not None else tuple(Subject(SubjectMode.ABSENT, one) for one in people)
    return Asked(subjects, stated, needs_details)


def purpose() -> str | None:
    """Return what the service reads for; null when it does not say."""
    return matching("purpose", request.args.get("purpose"), PURPOSE)


def shown_subject() -> Subject | None:
    """Return who is named by a token in the header; null without one."""
    token = request.headers.get(SUBJECT_HEADER)
    return None if token is None else subject_of(JWT_TYPE, token)


def ids(name: str, most: int) -> tuple[UUID, ...]:
    """Return the ids of a repeated parameter, each once."""
    given = request.args.getlist(name)
    if len(given) > most:
        raise invalid(f"{name} is repeated more than {most} times")
    if not all(_UUID.fullmatch(text) for text in given):
        raise invalid(f"{name} is malformed")
    return tuple(dict.fromkeys(map(UUID, given)))


def number(name: str, usual: int, most: int) -> int:
    """Return a whole number from 1 to ``most``."""
    text = request.args.get(name)
    if text is None:
        return usual
    if not re.fullmatch(r"[0-9]{1,6}", text) or not 1 <= int(text) <= most:
        raise invalid(f"{name} must be a whole number from 1 to {most}")
    return int(text)


def flag(name: str, *, usual: bool) -> bool:
    """Return ``true`` or ``false``."""
    text = request.args.get(name)
    if text not in {None, "true", "false"}:
        raise invalid(f"{name} must be true or false")
    return usual if text is None else text == "true"


def window() -> Window:
    """Return the window between ``from`` and ``to``."""
    start, end = _moment("from"), _moment("to")
    if end <= start:
        raise invalid("to must be later than from")
    if end - start > LONGEST_WINDOW:
        raise invalid(f"the window must not be longer than {LONGEST_WINDOW.days} days")
    return Window(start, end)


def zone() -> tzinfo | None:
    """Return the zone for the window's dates; null when the caller leaves it to us."""
    text = request.args.get("time_zone")
    if text is None:
        return None
    if iana_name(text) != text:
        raise invalid("time_zone must be an IANA name")
    return find_zone(text)


def _moment(name: str) -> datetime:
    text = request.args.get(name)
    if text is None:
        raise invalid(f"{name} is missing")
    # An offset's plus sign that was not escaped has become a blank.
    text = re.sub(r" (?=\d\d:\d\d$)", "+", text)
    if not _MOMENT.fullmatch(text):
        raise invalid(f"{name} must be RFC 3339 with an offset, such as 2026-11-23T09:00:00Z")
    try:
        found = datetime.fromisoformat(text.upper().replace(" ", "T")).astimezone(UTC)
    except (ValueError, OverflowError):
        raise invalid(f"{name} is no time there is") from None
    if found.year not in _YEARS:
        raise invalid(f"{name} must be in the years {_YEARS.start} to {_YEARS.stop - 1}")
    return found
