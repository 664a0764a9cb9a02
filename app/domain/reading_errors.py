"""Errors of reading calendars; a branch of the tree in ``errors``."""

from __future__ import annotations

from app.domain.errors import LatchkeyError


class CalendarsUnread(LatchkeyError):
    """The connection is new: its calendars are being read for the first time, and nothing can be said of them yet."""

    code = "calendars_unread"


class CalendarTooLarge(LatchkeyError):
    """The calendar has more events than fit into one file; pages can be read of any."""

    code = "calendar_too_large"


class FeedCursorForeign(LatchkeyError):
    """The cursor was made for another question, or by another service; ``detail`` says which."""

    code = "feed_cursor_foreign"


class FeedCursorExpired(LatchkeyError):
    """The cursor counts the transactions of another database: of before a restore, a move or a fail-over."""

    code = "feed_cursor_expired"
