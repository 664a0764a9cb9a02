"""Find the calendar half of the running sandbox."""

from dataclasses import dataclass
from typing import cast

from flask import Flask, current_app

from app.sandbox.calendar.chaos import Chaos
from app.sandbox.calendar.push import PushSender
from app.sandbox.calendar.world import World
from app.sandbox.state import Sandbox

_EXTENSION = "sandbox_calendar"


@dataclass
class CalendarSide:
    """What the calendar interfaces share."""

    sandbox: Sandbox
    world: World
    push: PushSender
    chaos: Chaos
    has_public_links: bool = True
    """True: links in Graph's answers name https://graph.microsoft.com, as real ones do; False: the request's host."""


def attach(app: Flask, side: CalendarSide) -> None:
    """Make `side` the one that `current_side` finds for requests of `app`."""
    app.extensions[_EXTENSION] = side


def current_side() -> CalendarSide:
    """Return the calendar side of the sandbox that serves the current request."""
    return cast("CalendarSide", current_app.extensions[_EXTENSION])


def side_of(app: Flask) -> CalendarSide:
    """Return the calendar side of a sandbox application, for callers outside a request."""
    return cast("CalendarSide", app.extensions[_EXTENSION])
