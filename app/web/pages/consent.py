"""Connect an account: choose, leave for the provider, come back."""

from __future__ import annotations

from flask import Blueprint, request
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response

from app.domain.authorizations import Callback
from app.domain.errors import StateMismatch
from app.domain.features import Feature, offered_features
from app.domain.secret import Secret
from app.services.authorization import SignedIn
from app.services.connect_link_visits import Returned
from app.web import cookies, current
from app.web.access import caller
from app.web.pages.connect_link import back_to_service
from app.web.paths import CONNECTIONS, own_path
from app.web.rendering import lead_to_provider, page, see_other

blueprint = Blueprint("consent", __name__)

SUGGESTED = frozenset({Feature.CALENDAR_READ})
"""Ticked beforehand: what the product is mostly for. Everything else starts off."""

_LONGEST = {"state": 512, "code": 8192, "error": 100, "iss": 512}
"""Characters. Entra's codes reach about 2,000; the rest is short everywhere."""


@blueprint.get("/connect")
@caller("person")
def choose() -> Response:
    """Show the providers, their features in words, who will use them and how long data is kept."""
    providers = current.services().providers.all()
    offers = [(p, [f for f in offered_features(p.kind) if f is not Feature.IDENTITY]) for p in providers]
    return page("connect.html", offers=offers, chosen=request.args.get("provider"), suggested=SUGGESTED)


@blueprint.post("/connect/<provider>")
@caller("person")
def connect(provider: str) -> Response:
    """Begin a consent for a new connection."""
    services = current.services()
    found = services.providers.get(provider)
    started = services.authorization.start_connect(
        current.person_id(),
        found.key,
        chosen_features(found.kind),
        CONNECTIONS,
        connection_id=None,
        browser_token=cookies.browser_token(request),
    )
    return lead_to_provider(started, found.display_name)


@blueprint.get("/callback/<provider>")
@caller("anyone")
def callback(provider: str) -> Response:
    """Finish a sign-in or consent, then leave this address and its code behind."""
    services = current.services()
    finished = services.connect_link_visits.finish(_callback(provider))
    if isinstance(finished, Returned):
        return back_to_service(finished)
    if not isinstance(finished, SignedIn):
        news = "connected" if finished.is_new else "reconnected"
        return see_other(f"{own_path(finished.return_to)}?news={news}")
    former = cookies.session_token(request)
    if former is not None:
        services.sessions.end(former.reveal())
    answer = see_other(own_path(finished.return_to))
    cookies.set_session(answer, finished.session_token)
    return answer


def chosen_features(kind: str) -> tuple[Feature, ...]:
    """Return the features ticked in the posted form, identity always, in reading order.

    Raises ``BadRequest`` for one that does not exist or that the kind cannot serve: our forms have no such box.
    """
    chosen = set(request.form.getlist("feature"))
    offered = offered_features(kind)
    if not chosen <= {feature.value for feature in offered}:
        raise BadRequest
    return tuple(f for f in offered if f is Feature.IDENTITY or f.value in chosen)


def _callback(provider: str) -> Callback:
    """Read the redirect's parameters; a repeated or oversized one belongs to no honest answer."""
    values = request.args
    if any(len(values.getlist(name)) > 1 for name in values) or "access_token" in values or "id_token" in values:
        raise StateMismatch("parameters")
    if any(len(values.get(name, "")) > longest for name, longest in _LONGEST.items()):
        raise StateMismatch("length")
    if not values.get("state"):
        raise StateMismatch("missing")
    session = current.session()
    return Callback(
        provider=provider,
        state=values["state"],
        code=Secret(values["code"]) if values.get("code") else None,
        error=values.get("error") or None,
        iss=values.get("iss"),
        browser_token=cookies.browser_token(request),
        person_id=None if session is None else session.person.id,
        error_detail=values.get("error_description", "")[:200] or None,
    )
