"""Build the sandbox as one Flask application that serves every emulated provider on one port."""

from flask import Flask, Response, g, jsonify, render_template, request
from werkzeug.exceptions import ClientDisconnected, HTTPException

from app.sandbox import (
    authorization_pages,
    control,
    google_identity,
    microsoft_identity,
    oidc_identity,
    pages,
)
from app.sandbox.calendar import register as register_calendar
from app.sandbox.request_log import Entry, masked
from app.sandbox.settings import SandboxSettings
from app.sandbox.state import Sandbox, current_sandbox, new_sandbox
from app.sandbox.tokens import bearer_value, subject_of_request

MAX_BODY_BYTES = 8 * 1024 * 1024
OWN_PREFIXES = ("/static/", "/_control/", "/sandbox/", "/people/")
"""Paths of the sandbox itself; only requests that the real providers would see are worth remembering."""
CHANGING_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
"""Without `form-action`: browsers apply it to the redirect after a form, and consent ends at the client's address."""


def create_sandbox(settings: SandboxSettings) -> Flask:
    """Return the sandbox's WSGI application; its state is `app.extensions["sandbox"]`."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    state = new_sandbox(settings)
    app.extensions["sandbox"] = state
    for module in (authorization_pages, google_identity, microsoft_identity, oidc_identity, pages, control):
        app.register_blueprint(module.blueprint)
    register_calendar(app, state)
    app.register_error_handler(HTTPException, _explain)
    app.after_request(_finish)
    state.restore()
    return app


def sandbox_of(app: Flask) -> Sandbox:
    """Return the state of a sandbox application, for tests that run it in their own process."""
    state = app.extensions["sandbox"]
    if not isinstance(state, Sandbox):
        raise TypeError("not a sandbox application")
    return state


def _explain(error: HTTPException) -> tuple[Response, int] | tuple[str, int]:
    """Answer an unknown path loudly, naming it; people get a page."""
    status = error.code or 500
    if request.path.startswith(OWN_PREFIXES) and request.accept_mimetypes.accept_html:
        return render_template("sandbox/message.html", heading=error.name, text=error.description), status
    body = {"error": "unknown_path" if status == 404 else error.name, "method": request.method, "path": request.path}
    return jsonify(body | {"error_description": error.description}), status


def _finish(answer: Response) -> Response:
    state = current_sandbox()
    if not request.path.startswith(OWN_PREFIXES) and request.path != "/":
        state.request_log.record(_entry(state, answer))
    if request.method in CHANGING_METHODS or request.path.endswith("/authorize"):
        state.save()
    if answer.mimetype == "text/html":
        answer.headers.setdefault("Content-Security-Policy", PAGE_POLICY)
        answer.headers.setdefault("X-Content-Type-Options", "nosniff")
    return answer


def _parameters() -> list[tuple[str, str]]:
    try:
        return list(request.values.items())
    except ClientDisconnected:
        # A client that was killed while it sent its form.
        return list(request.args.items())


def _entry(state: Sandbox, answer: Response) -> Entry:
    # The calendar routes do not mark the request with an account; the bearer token tells.
    account = g.get("account")
    if account is None and bearer_value(request.headers.get("Authorization")):
        account = subject_of_request(state, request)[0]
    return Entry(
        at=state.clock.now(),
        method=request.method,
        path=request.path,
        parameters=masked(_parameters()),
        status=0 if g.get("is_dropped") else answer.status_code,
        operation=g.get("operation"),
        account=account,
    )
