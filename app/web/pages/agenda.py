"""The agenda: what is planned, across all accounts, in the person's zone."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, request
from werkzeug.wrappers import Response

from app.web import current
from app.web.access import caller
from app.web.pages.agenda_days import Day, Span, days_of, span_of
from app.web.rendering import page
from app.web.times import zone_of

blueprint = Blueprint("agenda", __name__, url_prefix="/agenda")

MOST_ITEMS = 1000
"""About thirty a day for the longest span; more cannot be read as a list anyway."""


@dataclass(frozen=True, slots=True)
class AgendaView:
    """What the agenda page shows."""

    days: tuple[Day, ...]
    span: Span
    zone_name: str
    is_cut: bool
    """Whether there were more items than are shown."""


@blueprint.get("")
@caller("person")
def agenda() -> Response:
    """Show the agenda of ``?from=YYYY-MM-DD&days=7``."""
    has_connections = bool(current.services().connections.of_person(current.person_id()))
    return page("agenda.html", agenda=_agenda(), has_connections=has_connections)


@blueprint.get("/live")
@caller("person")
def agenda_live() -> Response:
    """Return the days alone, for the script that refreshes them."""
    return page("_agenda.html", agenda=_agenda())


def _agenda() -> AgendaView:
    person = current.person()
    zone = zone_of(person.time_zone)
    today = current.now().astimezone(zone).date()
    span = span_of(request.args.get("from", ""), request.args.get("days", ""), today, zone)
    items = current.services().agenda.of_person(person.id, span.window(), MOST_ITEMS)
    return AgendaView(days_of(items, span, today), span, person.time_zone, len(items) == MOST_ITEMS)
