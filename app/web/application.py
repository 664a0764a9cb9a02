"""Build the Flask application. Nothing happens at import; every call gives a new one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, request
from jinja2 import StrictUndefined
from werkzeug.routing import Rule

from app.bootstrap import Services
from app.domain.errors import ConfigurationError
from app.web import access_log, assets, csrf, current, texts
from app.web.access import admit
from app.web.api import (
    connect_links,
    documentation,
    health,
    hooks,
    listing,
    metadata,
    revocation,
    tokens,
    v1_calendars,
    v1_changes,
    v1_events,
    v1_tokens,
)
from app.web.api.quick_lane import QuickLane
from app.web.error_answers import register_error_handlers
from app.web.failed_attempts import FailedAttempts
from app.web.pages import agenda, calendar_files, connect_link, connections, consent, start
from app.web.probes import ProbesByAnyName
from app.web.security_headers import add_security_headers
from app.web.settings import MAX_BODY_BYTES, WebSettings

_BLUEPRINTS = (
    start.blueprint,
    consent.blueprint,
    connect_link.blueprint,
    connections.blueprint,
    agenda.blueprint,
    calendar_files.blueprint,
    tokens.blueprint,
    revocation.blueprint,
    v1_tokens.blueprint,
    listing.blueprint,
    v1_calendars.blueprint,
    v1_events.blueprint,
    v1_changes.blueprint,
    metadata.blueprint,
    connect_links.blueprint,
    hooks.blueprint,
    health.blueprint,
    documentation.blueprint,
    assets.blueprint,
)


class _Synchronous(Flask):
    """A Flask whose views and hooks are all plain functions: asking each of them on every request is saved."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``func`` as it is."""
        return func


def create_app(services: Services, settings: WebSettings) -> Flask:
    """Return the web edge over ``services``; raises ``ConfigurationError`` when the framework is set up unsafely."""
    # Static files have a route of our own, so that every route declares who may call it.
    app = _Synchronous("app.web", static_folder=None)
    app.config.update(
        TRUSTED_HOSTS=[settings.host],
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_BODY_BYTES,
        MAX_FORM_PARTS=100,
        PROVIDE_AUTOMATIC_OPTIONS=False,
    )
    app.extensions[current.SERVICES_KEY] = services
    app.extensions[current.SETTINGS_KEY] = settings
    app.extensions[current.FAILED_ATTEMPTS_KEY] = FailedAttempts()
    _set_up_templates(app)
    app.before_request(access_log.start_clock)
    app.before_request(admit)
    # In reverse order: the log line comes last and sees the final status.
    app.after_request(access_log.log_answer)
    app.after_request(add_security_headers)
    register_error_handlers(app)
    register_routes(app)
    lane = QuickLane(ProbesByAnyName(app.wsgi_app, settings.host), services, settings)
    app.extensions[current.QUICK_LANE_KEY] = lane
    app.wsgi_app = lane  # type: ignore[method-assign]  # Flask's documented hook
    faults = framework_faults(app)
    if faults:
        raise ConfigurationError(faults)
    return app


def register_routes(app: Flask) -> None:
    """Give ``app`` every route of the product; enough to make the OpenAPI document, not to answer anything else."""
    for blueprint in _BLUEPRINTS:
        app.register_blueprint(blueprint)


def framework_faults(app: Flask) -> tuple[str, ...]:
    """Return what is unsafe in the framework's settings; empty when all is well.

    Most are today's defaults. They are asserted because a default can change, and an environment variable
    (``FLASK_DEBUG``) can switch some of them.
    """
    wrong = {
        "debug mode is on": app.debug,
        "propagating exceptions would show tracebacks": bool(app.config["PROPAGATE_EXCEPTIONS"]),
        "no trusted hosts are set": not app.config["TRUSTED_HOSTS"],
        "no limit for request bodies is set": not app.config["MAX_CONTENT_LENGTH"],
        "the framework's cookie session is enabled": app.config["SECRET_KEY"] is not None,
        "templates are not escaped": not app.jinja_env.autoescape,
        "a static folder bypasses the declarations": app.static_folder is not None,
    }
    return tuple(text for text, is_wrong in wrong.items() if is_wrong)


def _set_up_templates(app: Flask) -> None:
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(texts=texts, assets=assets.asset_addresses(), csrf_field=csrf.FIELD)

    @app.context_processor
    def values_of_the_request() -> dict[str, object]:
        session = current.known_session()
        return {
            "viewer": None if session is None else session.person,
            "csrf_value": csrf.token_for(current.settings(), request),
            "path": request.path,
        }


def rules(app: Flask) -> tuple[Rule, ...]:
    """Return the URL map's rules, for the test that every route is declared."""
    return tuple(app.url_map.iter_rules())
