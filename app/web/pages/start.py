"""The front door: what this is, sign in, sign out."""

from __future__ import annotations

from flask import Blueprint, request
from werkzeug.wrappers import Response

from app.web import cookies, csrf, current
from app.web.access import caller
from app.web.paths import CONNECTIONS, HOME, own_path
from app.web.rendering import lead_to_provider, page, see_other

blueprint = Blueprint("start", __name__)


@blueprint.get("/")
@caller("anyone")
def home() -> Response:
    """Show what this is with a button per provider; who is signed in goes to their connections."""
    if current.session() is not None:
        return see_other(CONNECTIONS)
    fresh = None if cookies.browser_token(request) else cookies.new_browser_token()
    answer = page(
        "home.html",
        providers=current.services().providers.all(),
        return_to=own_path(request.args.get("return_to")),
        news=request.args.get("news"),
        form_token=csrf.token_for(current.settings(), request, fresh),
    )
    if fresh is not None:
        cookies.set_browser_token(answer, fresh)
    return answer


@blueprint.post("/sign-in/<provider>")
@caller("anyone")
def sign_in(provider: str) -> Response:
    """Begin a sign-in at ``provider``."""
    services = current.services()
    started = services.authorization.start_sign_in(
        provider, own_path(request.form.get("return_to")), cookies.browser_token(request)
    )
    return lead_to_provider(started, services.providers.get(provider).display_name)


@blueprint.post("/sign-out")
@caller("anyone")
def sign_out() -> Response:
    """End this browser's session; harmless when there is none."""
    token = cookies.session_token(request)
    if token is not None:
        current.services().sessions.end(token.reveal())
    answer = see_other(f"{HOME}?news=signed-out")
    cookies.clear(answer)
    return answer
