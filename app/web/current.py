"""What belongs to the application and to the request being answered."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, cast
from uuid import UUID

from flask import current_app, g, request

from app.bootstrap import Services
from app.domain.people import BrowserSession, Person, Service
from app.web import cookies
from app.web.failed_attempts import FailedAttempts
from app.web.settings import WebSettings

if TYPE_CHECKING:
    from app.web.api.quick_lane import QuickLane

SERVICES_KEY = "latchkey.services"
SETTINGS_KEY = "latchkey.settings"
FAILED_ATTEMPTS_KEY = "latchkey.failed_attempts"
QUICK_LANE_KEY = "latchkey.quick_lane"


def services() -> Services:
    """Return the use cases."""
    return cast("Services", current_app.extensions[SERVICES_KEY])


def settings() -> WebSettings:
    """Return the settings of the web edge."""
    return cast("WebSettings", current_app.extensions[SETTINGS_KEY])


def failed_attempts() -> FailedAttempts:
    """Return who failed to authenticate lately."""
    return cast("FailedAttempts", current_app.extensions[FAILED_ATTEMPTS_KEY])


def quick_lane() -> QuickLane:
    """Return what stands in front of the framework."""
    return cast("QuickLane", current_app.extensions[QUICK_LANE_KEY])


def now() -> datetime:
    """Return now, aware UTC."""
    return settings().clock()


def session() -> BrowserSession | None:
    """Return the live session of the browser, looked up once per request; null when nobody is signed in."""
    if "session" not in g:
        token = cookies.session_token(request)
        g.session = services().sessions.resolve(token.reveal()) if token else None
    return cast("BrowserSession | None", g.session)


def known_session() -> BrowserSession | None:
    """Return the session if this request has looked it up already; asks nobody, so that error pages cannot fail."""
    return cast("BrowserSession | None", g.get("session"))


def person() -> Person:
    """Return who is signed in; only for views declared for a person."""
    found = session()
    if found is None:
        raise RuntimeError("a person's view ran without a session")
    return found.person


def person_id() -> UUID:
    """Return the id of who is signed in."""
    return person().id


def service() -> Service:
    """Return the authenticated internal service; only for views declared for a service."""
    return cast("Service", g.service)
