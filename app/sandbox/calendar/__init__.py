"""The calendar half of the sandbox: people's calendars, Google Calendar v3, Microsoft Graph, push, event pages.

`register` adds it to the sandbox's application; nothing else needs to be called from outside.
"""

from app.sandbox.calendar.registration import register

__all__ = ["register"]
