"""Answers in the forms we give: a page, a redirect to our own path, a page that leads to a provider, JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping

from flask import jsonify, make_response, render_template, request
from flask.wrappers import Response as FlaskResponse
from werkzeug.wrappers import Response

from app.domain.authorizations import Started
from app.web import cookies

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def page(template: str, status: int = 200, **values: object) -> Response:
    """Return a rendered page."""
    return make_response(render_template(template, **values), status)


def see_other(path: str) -> Response:
    """Return a 303 to one of our own paths, or to a whole address that an operator has allowed."""
    answer = make_response("", 303)
    answer.headers["Location"] = path
    return answer


def lead_to_provider(started: Started, provider_name: str) -> Response:
    """Return a page that goes on to the provider by GET, and bind the browser to the request.

    Not a redirect: ``form-action 'self'`` also governs where the answer to a posted form may lead.
    """
    answer = page("leave.html", url=started.authorization_url, provider_name=provider_name)
    if started.browser_token != cookies.browser_token(request):
        cookies.set_browser_token(answer, started.browser_token)
    return answer


def compact_answer(body: Mapping[str, object]) -> Response:
    """Return a JSON object that may be large, without blanks; the framework's own way indents and sorts."""
    return FlaskResponse(_encode(body), content_type="application/json")


def json_answer(body: Mapping[str, object], status: int = 200) -> Response:
    """Return a JSON object."""
    answer = jsonify(dict(body))
    answer.status_code = status
    return answer
