"""One log line per answer: the route's pattern, never the query, a header, a cookie or a body."""

from __future__ import annotations

import time

import structlog
from flask import g, request
from werkzeug.wrappers import Response

_log = structlog.get_logger("latchkey.web")
_QUIET = ("/static/<name>", "/healthz", "/readyz", "/live", "/oauth2/token")
"""Ends of routes asked for all the time, worth a line only when something is wrong. Hand-outs have their own rows."""


def start_clock() -> None:
    """Note when the request came in. Registered as ``before_request``."""
    g.started_at = time.monotonic()


def log_answer(response: Response) -> Response:
    """Write the line. Registered as ``after_request``."""
    rule = request.url_rule
    route = rule.rule if rule else "unmatched"
    if response.status_code < 400 and route.endswith(_QUIET):
        return response
    started_at: float = g.get("started_at", time.monotonic())
    _log.info(
        "request",
        method=request.method,
        route=route,
        status=response.status_code,
        duration_ms=round((time.monotonic() - started_at) * 1000, 1),
    )
    return response
