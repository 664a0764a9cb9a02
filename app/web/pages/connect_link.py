"""Open a connect link: see who asks for what, then go on to the provider or say no.

The address of a link carries its secret. Opening it moves the secret into a cookie and leaves the address behind; it
changes nothing, because mail scanners and previews open links too. What takes the link is the form on the page.
"""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import UUID

import structlog
from flask import Blueprint, request
from werkzeug.wrappers import Response

from app.domain.connect_link_errors import UnknownConnectLink
from app.domain.connect_links import Completion, ConnectLink, LinkState, return_host
from app.domain.features import Feature
from app.domain.secret import Secret
from app.services.connect_link_visits import Returned
from app.web import cookies, csrf, current, texts
from app.web.access import caller
from app.web.paths import connect_link_path
from app.web.rendering import lead_to_provider, page, see_other

blueprint = Blueprint("connect_link", __name__, url_prefix="/connect-links")

_log = structlog.get_logger("latchkey.web")
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
"""The shape of our own secrets; anything else was never an address of ours."""
_TO_SAY_SO = timedelta(minutes=1)
"""How long a link is remembered that has expired: enough for the page that says so."""


@blueprint.get("/open/<secret>")
@caller("anyone")
def opening(secret: str) -> Response:
    """Remember the secret in this browser and lead to the page of the link, whose address holds none."""
    if not _SECRET.fullmatch(secret):
        raise UnknownConnectLink
    link = current.services().connect_link_visits.recognise(Secret(secret))
    answer = see_other(connect_link_path(link.id))
    cookies.set_link_secret(answer, link.id, Secret(secret), max(link.expires_at - current.now(), _TO_SAY_SO))
    return answer


@blueprint.get("/<uuid:link_id>")
@caller("anyone")
def show(link_id: UUID) -> Response:
    """Show who asks for what; somebody who is not signed in is asked to do that first."""
    secret, session = cookies.link_secret(request, link_id), current.session()
    if secret is None:
        raise UnknownConnectLink
    visits = current.services().connect_link_visits
    if session is None:
        return _ask_to_sign_in(link_id, visits.recognise(secret))
    link = visits.show(link_id, secret, session.person.id, cookies.browser_token(request))
    return page(
        "connect_link.html",
        link=link,
        person=session.person,
        provider_name=current.services().providers.get(link.provider).display_name,
        granted=[texts.FEATURES[feature] for feature in Feature if feature in link.features],
        return_host=return_host(link),
        host_confirms=link.completion is Completion.HOST,
    )


@blueprint.post("/<uuid:link_id>")
@caller("person")
def start(link_id: UUID) -> Response:
    """Take the link for this browser and go on to the provider."""
    services = current.services()
    secret, browser = cookies.link_secret(request, link_id), cookies.browser_token(request)
    link, started = services.connect_link_visits.start(link_id, secret, current.person_id(), browser)
    return lead_to_provider(started, services.providers.get(link.provider).display_name)


@blueprint.post("/<uuid:link_id>/decline")
@caller("person")
def decline(link_id: UUID) -> Response:
    """End the link by the person's word and lead back to the service."""
    secret, browser = cookies.link_secret(request, link_id), cookies.browser_token(request)
    returned = current.services().connect_link_visits.decline(link_id, secret, current.person_id(), browser)
    # Not a redirect: the policy that forms lead nowhere else also governs redirects after a post.
    answer = page("leave.html", url=returned.address, provider_name=returned.link.service_name)
    cookies.forget_link(answer, link_id)
    return answer


def back_to_service(returned: Returned) -> Response:
    """Lead the browser that came back from the provider on to the service, by the address an operator allowed."""
    if returned.link.state is LinkState.FAILED:
        _log.info("connect_link_failed", connect_link=str(returned.link.id), error=returned.link.reason)
    answer = see_other(returned.address)
    cookies.forget_link(answer, returned.link.id)
    return answer


def _ask_to_sign_in(link_id: UUID, link: ConnectLink) -> Response:
    """Ask who is there. Whom the link is for is not said: nobody knows yet who reads this."""
    if link.id != link_id:
        raise UnknownConnectLink
    fresh = None if cookies.browser_token(request) else cookies.new_browser_token()
    answer = page(
        "connect_link_sign_in.html",
        service_name=link.service_name,
        providers=current.services().providers.all(),
        form_token=csrf.token_for(current.settings(), request, fresh),
    )
    if fresh is not None:
        cookies.set_browser_token(answer, fresh)
    return answer
