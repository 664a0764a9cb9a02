"""Whether this process lives, and whether it is of use."""

from __future__ import annotations

from flask import Blueprint
from werkzeug.wrappers import Response

from app.web import current
from app.web.access import caller
from app.web.rendering import json_answer

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
@caller("anyone")
def alive() -> Response:
    """Answer 200 while the process answers at all; ask nothing else: a restart never cured a database."""
    return json_answer({"status": "alive"})


@blueprint.get("/readyz")
@caller("anyone")
def ready() -> Response:
    """Answer 200 when this process is of use, otherwise 503; name what is missing either way."""
    health = current.services().health
    faults = health.ready()
    if faults:
        return json_answer({"status": "not_ready", "faults": list(faults)}, 503)
    slowed_by = health.slowed_by()
    return json_answer({"status": "degraded" if slowed_by else "ready", "faults": list(slowed_by)})
