"""Who may call a route, declared beside the view and enforced before it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar, cast
from urllib.parse import quote

from flask import abort, current_app, g, request
from werkzeug.wrappers import Response

from app.domain.errors import InvalidClient, RateLimited
from app.web import csrf, current
from app.web.api.client_authentication import authenticate, shows_known_token
from app.web.errors import FormExpired
from app.web.paths import HOME, own_path
from app.web.rendering import see_other
from app.web.settings import MAX_BODY_BYTES

Who = Literal["person", "service", "provider", "anyone"]
"""``person``: a signed-in browser. ``service``: an authenticated internal client. ``provider``: a push
notification, which proves itself inside the view. ``anyone``: no proof asked."""

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_ATTRIBUTE = "latchkey_access"

View = TypeVar("View", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a view declared."""

    who: Who
    accepts: str | None
    """The only media type its body may have; null when it reads none or judges for itself."""


def caller(who: Who, *, accepts: str | None = None) -> Callable[[View], View]:
    """Declare who may call the view, and which media type its body must have."""

    def declare(view: View) -> View:
        vars(view)[_ATTRIBUTE] = Declaration(who, accepts)
        return view

    return declare


def declaration(view: Callable[..., object] | None) -> Declaration | None:
    """Return what ``view`` declared; null when it declared nothing."""
    return None if view is None else cast("Declaration | None", vars(view).get(_ATTRIBUTE))


def admit() -> Response | None:
    """Let the request through to its view, or answer in its place. Registered as ``before_request``."""
    if request.endpoint is None:
        return None
    declared = declaration(current_app.view_functions[request.endpoint])
    if declared is None:
        # Fail closed: a route that forgot its declaration serves nobody.
        abort(403)
    _refuse_cut_body()
    if declared.accepts is not None and request.method == "POST" and request.mimetype != declared.accepts:
        abort(415)
    if declared.who == "service":
        _admit_service()
    if declared.who in {"person", "anyone"}:
        return _admit_browser(declared.who)
    return None


def _admit_service() -> None:
    attempts = current.failed_attempts()
    try:
        attempts.refuse_more(request)
    except RateLimited:
        # Services behind one address share what it may fail: one that proved itself before is not held back by another.
        if not shows_known_token(request, current.services()):
            raise
    try:
        g.service = authenticate(request, current.services())
    except InvalidClient:
        attempts.note(request)
        raise


def _refuse_cut_body() -> None:
    """Refuse a body of unannounced length that reaches the limit: it was cut there in silence.

    With ``Content-Length`` the framework refuses by itself.
    """
    if request.method == "POST" and request.content_length is None and len(request.get_data()) >= MAX_BODY_BYTES:
        abort(413)


def _admit_browser(who: Who) -> Response | None:
    if request.method not in _SAFE and not csrf.is_genuine(current.settings(), request):
        raise FormExpired
    if who == "anyone" or current.session() is not None:
        return None
    if request.path.endswith("/live"):
        # Asked for by our script: it reloads the page, which then leads to the sign-in.
        return Response(status=401)
    if request.method not in _SAFE:
        return see_other(HOME)
    wanted = own_path(request.full_path.rstrip("?"))
    return see_other(f"{HOME}?return_to={quote(wanted)}")
