"""Addresses and shapes of Microsoft Graph v1.0, as far as Latchkey uses it for calendars.

Source: Graph reference for calendar, event, event: delta and subscription.
"""

from __future__ import annotations

from typing import Final, TypedDict
from urllib.parse import quote, urlsplit

ORIGIN: Final = "https://graph.microsoft.com"
BASE: Final = f"{ORIGIN}/v1.0"
CALENDARS: Final = f"{BASE}/me/calendars"
SUBSCRIPTIONS: Final = f"{BASE}/subscriptions"

READ_SCOPE: Final = "Calendars.Read"

CALENDARS_A_PAGE: Final = 50
INSTANCES_A_PAGE: Final = 100

PREFER: Final = 'outlook.timezone="UTC", odata.maxpagesize=50, IdType="ImmutableId"'
"""Sent with every call, links included. Pages above 50 make the service time out on long series; immutable ids survive
a move between folders, but only when every call asks for them."""

SUBSCRIPTION_LIFE_MIN: Final = 10_080 - 15
"""The maximum for events, less what two clocks may differ: a minute above it the request fails."""


class SubscriptionRequest(TypedDict):
    """Body of a subscription's creation."""

    changeType: str
    notificationUrl: str
    lifecycleNotificationUrl: str
    resource: str
    expirationDateTime: str
    clientState: str


class RenewalRequest(TypedDict):
    """Body of a subscription's renewal."""

    expirationDateTime: str


def delta_url(calendar_id: str) -> str:
    """Return where a first round of a calendar's changes starts."""
    return f"{CALENDARS}/{quote(calendar_id, safe='')}/calendarView/delta"


def event_url(event_id: str) -> str:
    """Return the address of one event; ids hold ``=``, old ones also ``/`` and ``+``."""
    return f"{BASE}/me/events/{quote(event_id, safe='')}"


def subscription_url(subscription_id: str) -> str:
    """Return the address of one subscription."""
    return f"{SUBSCRIPTIONS}/{quote(subscription_id, safe='')}"


def watched_resources(calendar_id: str) -> tuple[str, str]:
    """Return what a subscription names, the better first: one calendar, else all events of the mailbox.

    Only the second is documented; the first is what calendar services use, and spares the others of the mailbox a
    notification for every change.
    """
    return f"me/calendars/{calendar_id}/events", "me/events"


def is_own_link(link: str) -> bool:
    """Return whether a link leads back to Graph v1.0: any other would be given the person's token."""
    try:
        parts = urlsplit(link)
    except ValueError:
        return False
    return f"{parts.scheme}://{parts.netloc}" == ORIGIN and parts.path.startswith("/v1.0/") and ".." not in parts.path
