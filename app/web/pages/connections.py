"""A person's connections: the list, one of them, repair and disconnect."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from flask import Blueprint, request
from werkzeug.wrappers import Response

from app.domain.connections import Status
from app.services.calendar_choices import Choice
from app.web import cookies, current
from app.web.access import caller
from app.web.pages.connection_cards import Card, account_name, can_be_added, card_of, history_of, reason_sentence
from app.web.pages.consent import chosen_features
from app.web.paths import connection_path
from app.web.rendering import lead_to_provider, page, see_other
from app.web.times import moment, zone_of

blueprint = Blueprint("connections", __name__, url_prefix="/connections")


@dataclass(frozen=True, slots=True)
class Listing:
    """What the list of connections shows."""

    cards: tuple[Card, ...]
    is_syncing: bool
    """Whether any first read is under way, so that the page should change by itself."""


@blueprint.get("")
@caller("person")
def listing() -> Response:
    """Show all connections with their states."""
    return page("connections.html", listing=_listing(), news=request.args.get("news"))


@blueprint.get("/live")
@caller("person")
def listing_live() -> Response:
    """Return the changing part of the list alone, for the script that refreshes it."""
    return page("_connections.html", listing=_listing())


@blueprint.get("/<uuid:connection_id>")
@caller("person")
def one(connection_id: UUID) -> Response:
    """Show one connection: features, calendars, history."""
    view = current.services().connections.get(current.person_id(), connection_id)
    zone = zone_of(current.person().time_zone)
    return page(
        "connection.html",
        view=view,
        card=card_of(view, current.now()),
        addable=can_be_added(view.connection),
        history=history_of(view, zone),
        when=lambda at: moment(at, zone),
        news=request.args.get("news"),
    )


@blueprint.get("/<uuid:connection_id>/live")
@caller("person")
def one_live(connection_id: UUID) -> Response:
    """Return the changing part of one connection's page alone."""
    view = current.services().connections.get(current.person_id(), connection_id)
    return page("_connection.html", card=card_of(view, current.now()))


@blueprint.post("/<uuid:connection_id>/calendars")
@caller("person")
def choose_calendars(connection_id: UUID) -> Response:
    """Keep in step, pause or leave out each calendar as the form says; what it does not name stays as it is."""
    wanted = {key: choice for name, value in request.form.items() if (key := _id(name)) and (choice := _choice(value))}
    current.services().calendar_choices.choose(current.person_id(), connection_id, wanted)
    return see_other(f"{connection_path(connection_id)}?news=calendars-chosen")


@blueprint.post("/<uuid:connection_id>/reconnect")
@caller("person")
def reconnect(connection_id: UUID) -> Response:
    """Begin a consent for the same connection, with everything it had and what was ticked in addition."""
    services = current.services()
    view = services.connections.get(current.person_id(), connection_id)
    connection = view.connection
    chosen = chosen_features(connection.kind)
    started = services.authorization.start_connect(
        current.person_id(),
        connection.provider,
        tuple(dict.fromkeys((*connection.requested_features, *chosen))),
        connection_path(connection_id),
        connection_id=connection_id,
        browser_token=cookies.browser_token(request),
    )
    return lead_to_provider(started, view.provider_name)


@blueprint.get("/<uuid:connection_id>/repair")
@caller("person")
def repair(connection_id: UUID) -> Response:
    """Show what is wrong and the button that mends it: where services send people."""
    view = current.services().connections.get(current.person_id(), connection_id)
    connection = view.connection
    return page(
        "repair.html",
        view=view,
        account=account_name(connection),
        is_broken=connection.status is not Status.ACTIVE,
        reason=reason_sentence(connection.reason),
        addable=can_be_added(connection),
    )


@blueprint.get("/<uuid:connection_id>/disconnect")
@caller("person")
def confirm_disconnect(connection_id: UUID) -> Response:
    """Say what disconnecting does and ask once."""
    view = current.services().connections.get(current.person_id(), connection_id)
    return page("disconnect.html", view=view, account=account_name(view.connection))


@blueprint.post("/<uuid:connection_id>/disconnect")
@caller("person")
def disconnect(connection_id: UUID) -> Response:
    """Disconnect for good and show the receipt."""
    services, person = current.services(), current.person()
    view = services.connections.get(person.id, connection_id)
    receipt = services.disconnect.disconnect(person.id, connection_id)
    return page(
        "receipt.html",
        receipt=receipt,
        account=account_name(view.connection),
        account_page=view.account_page,
        at=moment(receipt.at, zone_of(person.time_zone)),
    )


def _listing() -> Listing:
    views = current.services().connections.of_person(current.person_id())
    cards = tuple(card_of(view, current.now()) for view in views)
    return Listing(cards, any(view.is_syncing for view in views))


def _id(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None


def _choice(value: str) -> Choice | None:
    return Choice(value) if value in tuple(Choice) else None
