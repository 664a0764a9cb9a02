"""What of an event somebody sees whose rights on the calendar are not an owner's.

Source: Calendar API v3 reference: `accessRole`, `visibility`, and events.list for people with free/busy access.
"""

from app.sandbox.calendar.world import Calendar, Json

FREE_BUSY = "freeBusyReader"
_SEES_PRIVATE = ("owner", "writer")
_BLOCK = ("kind", "etag", "id", "status", "start", "end", "endTimeUnspecified")
_PRIVATE = (
    *_BLOCK,
    "created",
    "eventType",
    "htmlLink",
    "iCalUID",
    "originalStartTime",
    "recurrence",
    "recurringEventId",
    "sequence",
    "transparency",
    "updated",
    "visibility",
)


def role_of(calendar: Calendar) -> str:
    """Return the person's role on a calendar."""
    return str(calendar.entry.get("accessRole", "reader"))


def seen(body: Json, calendar: Calendar) -> Json:
    """Return an event as the person may see it: whole, without the details of a private one, or a bare block."""
    role = role_of(calendar)
    if body.get("status") == "cancelled" or role in _SEES_PRIVATE:
        return body
    if role == FREE_BUSY:
        return {name: body[name] for name in _BLOCK if name in body} | {"visibility": "private"}
    if body.get("visibility") in ("private", "confidential"):
        return {name: body[name] for name in _PRIVATE if name in body}
    return body
